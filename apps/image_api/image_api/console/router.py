"""The routes of the console, and the files that its pages load."""

from image_api.console.frame import static_files
from image_api.console.pages import (
    components,
    home,
    images,
    join,
    nowhere,
    password,
    reset,
    sessions,
    sign_in,
    sign_in_link,
    sign_out,
)
from image_api.console.pages.catalogue.routers import CATALOGUE_ROUTERS
from image_api.console.pages.image.routers import IMAGE_ROUTERS
from image_api.console.pages.team import delivery_keys, invitations, keys, new_user, people, teams, usage

ROUTERS = (
    home.router,
    images.router,
    *IMAGE_ROUTERS,
    *CATALOGUE_ROUTERS,
    sign_in.router,
    sign_in_link.router,
    sign_in_link.programs_router,
    join.router,
    reset.router,
    sign_out.router,
    keys.router,
    delivery_keys.router,
    usage.router,
    # Before the address of one person.
    new_user.router,
    people.router,
    teams.router,
    invitations.router,
    sessions.router,
    password.router,
    components.router,
    static_files.router(),
    # It takes every other path.
    nowhere.router,
)
