"""The routes of the console, and the files that its pages load."""

from image_api.console.frame import static_files
from image_api.console.pages import components, home, nowhere, sign_in, sign_in_link, sign_out

ROUTERS = (
    home.router,
    sign_in.router,
    sign_in_link.router,
    sign_in_link.programs_router,
    sign_out.router,
    components.router,
    static_files.router(),
    # It takes every other path.
    nowhere.router,
)
