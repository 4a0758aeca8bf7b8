"""The routes of the pages about what belongs to one image."""

from image_api.console.pages.image.related import analyses, collections, history, similar

RELATED_ROUTERS = (analyses.router, similar.router, collections.router, history.router)
