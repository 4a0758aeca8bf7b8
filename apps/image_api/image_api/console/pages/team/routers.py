"""The routes of the pages about teams and who belongs to them."""

from image_api.console.pages.team import invitations, new_operations, new_user, operations, people, teams, usage

TEAM_ROUTERS = (
    usage.router,
    # Before the address of one operation.
    new_operations.router,
    operations.router,
    # Before the address of one person.
    new_user.router,
    people.router,
    teams.router,
    invitations.router,
)
