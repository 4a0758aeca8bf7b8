"""The routes of the console, and the files that its pages load."""

from image_api.console.frame import static_files
from image_api.console.pages import components, find, home, keyboard, nowhere
from image_api.console.pages.account.routers import ACCOUNT_ROUTERS
from image_api.console.pages.admin.routers import ADMIN_ROUTERS
from image_api.console.pages.catalogue.routers import CATALOGUE_ROUTERS
from image_api.console.pages.image.routers import IMAGE_ROUTERS
from image_api.console.pages.images.routers import IMAGES_ROUTERS
from image_api.console.pages.keys.routers import KEY_ROUTERS
from image_api.console.pages.settings.routers import SETTINGS_ROUTERS
from image_api.console.pages.team.routers import TEAM_ROUTERS
from image_api.console.pages.webhooks.routers import WEBHOOK_ROUTERS

ROUTERS = (
    home.router,
    find.router,
    keyboard.router,
    *IMAGES_ROUTERS,
    *IMAGE_ROUTERS,
    *CATALOGUE_ROUTERS,
    *ACCOUNT_ROUTERS,
    *KEY_ROUTERS,
    *TEAM_ROUTERS,
    *WEBHOOK_ROUTERS,
    *SETTINGS_ROUTERS,
    *ADMIN_ROUTERS,
    components.router,
    static_files.router(),
    # It takes every other path.
    nowhere.router,
)
