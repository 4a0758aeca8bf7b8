"""The routes of the pages about one image."""

from image_api.console.pages.image import addresses, edit, page, reprocess, trash

IMAGE_ROUTERS = (page.router, edit.router, trash.router, addresses.router, reprocess.router)
