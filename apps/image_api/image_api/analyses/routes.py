"""HTTP of analyses."""

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Response

from image_api.actor import Actor, Scope
from image_api.analyses import schemas, service
from image_api.auth import RequireScope
from image_api.dependencies import CursorQuery, LimitQuery, ServicesDep
from image_api.http.pagination import DEFAULT_LIMIT, page_of
from image_api.http.paths import API_PREFIX
from image_api.idempotency.route import ClaimDep, IdempotentRoute
from image_api.images.body import analysis_body
from image_core.analyses.catalogue import CATALOGUE, price_credits
from image_core.states import AnalysisStatus

MAX_WAIT_SECONDS = 25.0

router = APIRouter(tags=["analyses"], route_class=IdempotentRoute)
Runner = Annotated[Actor, Depends(RequireScope(Scope.ANALYSES_RUN))]
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
Wait = Annotated[float, Query(ge=0, description="Seconds to wait for the result. Values above 25 count as 25.")]

LATER: dict[int | str, dict[str, Any]] = {
    202: {"model": schemas.Analysis, "description": "The analysis is in progress. Poll `Location` for the result."},
    404: {"description": "The image does not exist."},
    409: {"description": "The image file has not been received yet."},
}


def _json(body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    options = orjson.OPT_UTC_Z | orjson.OPT_SORT_KEYS
    return Response(orjson.dumps(body, option=options), status, headers, "application/json")


@router.post("/analyze", response_model=schemas.Analysis, responses=LATER)
async def analyze(
    body: schemas.NewAnalysis, actor: Runner, services: ServicesDep, _: ClaimDep, wait: Wait = 10
) -> Response:
    """Run an analyzer on an image, or return the stored result, which costs nothing."""
    outcome = await service.analyze(
        services, actor, body.image_id, body.analyzer, body.parameters, min(wait, MAX_WAIT_SECONDS)
    )
    return analysis_response(outcome, body.image_id)


def analysis_response(outcome: service.AnalysisOutcome, image_id: UUID | None) -> Response:
    """Return 200 with the result, or 202 with the location of the result."""
    credits_body = {"spent": outcome.spent, "left": outcome.left}
    body = {**analysis_body(outcome.row, image_id), "cached": outcome.cached, "credits": credits_body}
    if outcome.row["status"] == AnalysisStatus.DONE:
        return _json(body)
    return _json(body, 202, {"location": f"{API_PREFIX}/analyses/{outcome.row['id']}", "retry-after": "1"})


@router.get("/analyses/{analysis_id}", response_model=schemas.StoredAnalysis)
async def get_analysis(analysis_id: UUID, actor: Reader, services: ServicesDep) -> Response:
    """Get an analysis in any status."""
    row = await service.get_analysis(services.database, actor, analysis_id)
    return _json(analysis_body(row, row["image_id"]))


@router.get("/images/{image_id}/analyses", response_model=schemas.AnalysisPage)
async def list_analyses(
    image_id: UUID, actor: Reader, services: ServicesDep, limit: LimitQuery = DEFAULT_LIMIT, cursor: CursorQuery = None
) -> Response:
    """List the analyses of an image, newest first."""
    rows = await service.list_analyses(services.database, actor, image_id, cursor, limit + 1)
    return _json(page_of(rows, limit, lambda row: analysis_body(row, image_id)))


@router.get("/analyzers", response_model=schemas.AnalyzerList)
async def list_analyzers(actor: Annotated[Actor, Depends(RequireScope())], services: ServicesDep) -> Any:
    """List the analyzers with their parameters, results and prices, and the model that each uses for your team."""
    models = {name: await service.current_model(services, actor.team_id, name) for name in CATALOGUE}
    return {
        "items": [
            {
                "name": spec.name,
                "version": models[spec.name].version,
                "model": models[spec.name].model,
                "summary": spec.summary,
                "measures": list(spec.measures),
                "price_credits": price_credits(spec.name, models[spec.name].version),
                "parameters": spec.parameters.model_json_schema(),
                "result": spec.result.model_json_schema(),
            }
            for spec in CATALOGUE.values()
        ]
    }
