"""The routes of the console, and the files that its pages load."""

from image_api.console.frame import static_files
from image_api.console.pages import components, home, nowhere, sign_in, sign_out

# The last one takes every other path.
ROUTERS = (
    home.router, sign_in.router, sign_out.router, components.router, static_files.router(), nowhere.router
)  # fmt: skip
