"""The routes of the pages about one image."""

from image_api.console.pages.image import addresses, edit, page, rating, reprocess, trash
from image_api.console.pages.image.related.routers import RELATED_ROUTERS

IMAGE_ROUTERS = (
    page.router,
    edit.router,
    trash.router,
    addresses.router,
    rating.router,
    reprocess.router,
    *RELATED_ROUTERS,
)
