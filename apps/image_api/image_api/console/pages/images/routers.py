"""The routes of the pages about a team's images."""

from image_api.console.pages.images import batch, duplicates, export, page, upload

# They come before the address of one image.
IMAGES_ROUTERS = (page.router, upload.router, duplicates.router, batch.router, export.router)
