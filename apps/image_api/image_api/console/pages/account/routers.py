"""The routes of the pages about signing in and about one's own account."""

from image_api.console.pages.account import join, password, reset, sessions, sign_in, sign_in_link, sign_out

ACCOUNT_ROUTERS = (
    sign_in.router,
    sign_in_link.router,
    sign_in_link.programs_router,
    join.router,
    reset.router,
    sign_out.router,
    sessions.router,
    password.router,
)
