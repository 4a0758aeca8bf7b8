"""The routes of what a team makes of its images."""

from image_api.console.pages.catalogue import (
    arrange,
    collection,
    collections,
    link,
    links,
    preset_try,
    presets,
    searches,
    trash,
)

CATALOGUE_ROUTERS = (
    collections.router,
    collection.router,
    arrange.router,
    links.router,
    link.router,
    presets.router,
    preset_try.router,
    searches.router,
    trash.router,
)
