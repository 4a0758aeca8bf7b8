"""The routes of the pages that say how a team works."""

from image_api.console.pages.settings import credits, metadata_schema, removal, team

SETTINGS_ROUTERS = (team.router, removal.router, credits.router, metadata_schema.router)
