"""`/console/settings/remove`: the removal of a team, with what ends then."""

from fastapi import APIRouter, Request, Response

from image_api.console.forms import FormDep
from image_api.console.frame import go_to, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.settings.team import SETTINGS, Admin, Step, StepDep
from image_api.console.pages.team.operations import operation_path
from image_api.console.pages.team.teams import TEAMS
from image_api.dependencies import ServicesDep, TransactionDep
from image_api.teams import service
from image_core import errors

router = APIRouter(prefix=SETTINGS, include_in_schema=False, route_class=PageRoute)
_REMOVE = same_as("DELETE /api/v1/teams/{team_id}")


@router.get("/remove", openapi_extra=_REMOVE)
async def show_removal(step: StepDep) -> Response:
    """Say what the removal of a team does, and to how many."""
    return step.page("settings_remove.html", None)


@router.post("/remove", openapi_extra=_REMOVE)
async def remove(
    request: Request, actor: Admin, form: FormDep, step: StepDep, services: ServicesDep, transaction: TransactionDep
) -> Response:
    """Remove a team; of one that is not empty, only if its name was typed, and show the operation."""
    show_again_if_refused(request, lambda refusal: step.page("settings_remove.html", refusal))
    team_id = step.team["id"]
    force = _names_the_team(step, form.get("name").strip())
    removing = await service.remove_team(transaction, actor, team_id, force=force, if_match=form.seen_version())

    def forget() -> None:
        request.app.state.key_cache.forget_team(team_id)
        services.session_cache.forget_team(team_id)

    transaction.on_commit.append(forget)
    if removing is not None:
        return go_to(operation_path(removing.operation_id))
    return go_to(TEAMS, done="removed")


def _names_the_team(step: Step, typed: str) -> bool:
    """Return whether the name of the team was typed.

    Raises:
        errors.RequestInvalid: Another name was typed.
    """
    if typed and typed != step.team["name"]:
        message = "This is not the name of the team."
        raise errors.invalid_fields([{"field": "name", "code": "another-name", "message": message}])
    return bool(typed)
