"""`/console/images/{image_id}/analyses`: the results of analyzers with their origin and price; run another one."""

from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.analyses import schemas, service
from image_api.auth import RequireScope
from image_api.console.forms import FormDep
from image_api.console.frame import go_to, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.image.facts import Pairs, flat
from image_api.console.pages.image.step import Step, find_step
from image_api.console.pages.images.page import Reader
from image_api.console.pages.images.sheets import IMAGES
from image_api.dependencies import CursorQuery, ServicesDep, TeamQuery
from image_api.http.pagination import Cursor, next_cursor
from image_api.idempotency.route import ClaimDep
from image_api.services import Services
from image_core.analyses.catalogue import CATALOGUE, price_credits
from image_core.db import Record
from image_core.states import AnalysisStatus, ImageStatus

_RESULTS_A_PAGE = 20
_WAIT_SECONDS = 5.0
_LIST = "GET /api/v1/images/{image_id}/analyses"
_ORIGIN = ("model", "source")
router = APIRouter(prefix=IMAGES, include_in_schema=False, route_class=PageRoute)
Runner = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ, Scope.ANALYSES_RUN))]


class Offer(NamedTuple):
    """An analyzer that can be run, and what a result that is not stored yet costs."""

    name: str
    summary: str
    price_credits: int


class Analysis(NamedTuple):
    """An analysis as the page shows it; its result, and where it comes from, in names and texts."""

    row: Record
    result: Pairs
    origin: Pairs


@router.get(
    "/{image_id}/analyses",
    openapi_extra=same_as(_LIST, "GET /api/v1/analyzers"),
)
async def show(
    image_id: UUID, request: Request, actor: Reader, services: ServicesDep, team_id: TeamQuery = None,
    cursor: CursorQuery = None, done: Annotated[Literal["run", "requested"] | None, Query()] = None,
) -> Response:  # fmt: skip
    """List the analyses of an image, newest first, with the analyzers that can be run."""
    step = await find_step(services.database, actor, request, image_id, team_id)
    return step.page("image_analyses.html", done=done, **await _shown(services, actor, step, cursor))


async def _shown(services: Services, actor: Actor, step: Step, cursor: Cursor | None) -> dict[str, Any]:
    rows = await service.list_analyses(services.database, actor, step.row["id"], cursor, _RESULTS_A_PAGE + 1)
    is_ready = step.row["status"] == ImageStatus.READY and step.row["deleted_at"] is None
    may_run = is_ready and Scope.ANALYSES_RUN in actor.scopes
    offers = [await _offer(services, step.row["team_id"], name) for name in CATALOGUE] if may_run else []
    waits = any(row["status"] in (AnalysisStatus.REQUESTED, AnalysisStatus.RUNNING) for row in rows)
    return {
        "analyses": [_analysis(row) for row in rows[:_RESULTS_A_PAGE]], "offers": offers, "waits": waits,
        "next_cursor": next_cursor(rows, _RESULTS_A_PAGE), "is_first": cursor is None,
    }  # fmt: skip


async def _offer(services: Services, team_id: UUID, name: str) -> Offer:
    version = (await service.current_model(services, team_id, name)).version
    return Offer(name, CATALOGUE[name].summary, price_credits(name, version))


def _analysis(row: Record) -> Analysis:
    result: dict[str, Any] = orjson.loads(row["result"] or b"{}")
    origin = {name: result.pop(name) for name in _ORIGIN if name in result}
    return Analysis(row, flat({name: _listed(value) for name, value in result.items()}), flat(origin))


def _listed(value: Any) -> Any:
    """Return lists, also of objects, and what is true or false as texts."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(" ".join(map(str, each.values())) if isinstance(each, dict) else str(each) for each in value)
    return value


@router.post("/{image_id}/analyses", openapi_extra=same_as("POST /api/v1/analyze", _LIST))
async def run(
    image_id: UUID, request: Request, actor: Runner, form: FormDep, services: ServicesDep, _: ClaimDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Run an analyzer, and wait some seconds for its result."""
    step = await find_step(services.database, actor, request, image_id, team_id)
    values = await _shown(services, actor, step, None)
    show_again_if_refused(request, lambda refusal: step.page("image_analyses.html", refusal, done=None, **values))
    analyzer = form.parse(schemas.NewAnalysis, "analyzer", image_id=image_id).analyzer
    outcome = await service.analyze(services, actor, image_id, analyzer, {}, _WAIT_SECONDS)
    done = "run" if outcome.row["status"] == AnalysisStatus.DONE else "requested"
    return go_to(f"{step.path}/analyses", team_id, done=done)
