"""The routes of the pages about one image."""

from image_api.console.pages.image import addresses, duplicates, edit, page, reprocess, trash, upload

# The form comes before the address of one image.
IMAGE_ROUTERS = (
    upload.router,
    page.router,
    edit.router,
    trash.router,
    addresses.router,
    reprocess.router,
    duplicates.router,
)
