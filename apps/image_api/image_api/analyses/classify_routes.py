"""HTTP of classification: a file, a URL or an image, in one operation."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import ValidationError

from image_api.actor import Actor, Scope
from image_api.analyses import schemas, service
from image_api.analyses.classify import classify_file, classify_url
from image_api.analyses.routes import LATER, MAX_WAIT_SECONDS, Wait, analysis_response
from image_api.auth import RequireScope
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.guarded_route import GuardedRoute
from image_api.http import json_bodies
from image_api.http.validation import request_invalid
from image_api.services import Services
from image_api.teams import service as teams
from image_api.uploads.source import upload_source
from image_core import errors

_JSON = "application/json"

router = APIRouter(tags=["analyses"], route_class=GuardedRoute)
AnalyzerQuery = Annotated[
    str | None,
    Query(
        max_length=64,
        description="Analyzer to run on a file; default: `labels`. With a JSON body, send it in the body.",
    ),
]
ParametersQuery = Annotated[
    str | None,
    Query(
        max_length=4096,
        description="Parameters of the analyzer as a JSON object. With a JSON body, send them in the body.",
    ),
]

# A file or a URL costs as much as an upload does.
Uploader = Annotated[Actor, Depends(RequireScope(Scope.ANALYSES_RUN, uploads=True))]

_FILE = {"type": "string", "format": "binary", "description": "The image file."}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": {"type": "object", "required": ["file"], "properties": {"file": _FILE}}},
            "image/*": {"schema": _FILE},
            "application/octet-stream": {"schema": _FILE},
            _JSON: {"schema": {"$ref": "#/components/schemas/NewClassification"}},
        },
    }
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    **LATER,
    400: {"description": "The request body is malformed or incomplete."},
    404: {"description": "The image or the team does not exist."},
    408: {"description": "The request body took too long to arrive."},
    415: {"description": "The file is not an image, or its format is not allowed."},
}


@router.post("/classify", response_model=schemas.Analysis, responses=_ANSWERS, openapi_extra=_BODY)
async def classify(
    request: Request,
    actor: Uploader,
    services: ServicesDep,
    wait: Wait = 10,
    team_id: TeamQuery = None,
    analyzer: AnalyzerQuery = None,
    parameters: ParametersQuery = None,
) -> Response:
    """Run an analyzer, by default `labels`, on an uploaded file, a public URL or a stored image.

    A file or a download is deleted after the analysis, and no image is created.
    """
    seconds = min(wait, MAX_WAIT_SECONDS)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == _JSON:
        if analyzer is not None or parameters is not None:
            raise _invalid("analyzer" if parameters is None else "parameters", "Send this in the JSON body.")
        return await _classify_named(request, actor, services, seconds, team_id)
    order = service.build_order(analyzer or "labels", _parse_parameters(parameters))
    owner_id = await teams.receiving_team(services.database, actor, team_id)
    source = upload_source(request, field_names=())
    return analysis_response(await classify_file(services, actor, owner_id, source, order, seconds), None)


async def _classify_named(
    request: Request, actor: Actor, services: Services, seconds: float, team_id: TeamQuery
) -> Response:
    classification = _parse_body(await request.json())
    if classification.image_id is not None:
        outcome = await service.analyze(
            services, actor, classification.image_id, classification.analyzer, classification.parameters, seconds
        )
        return analysis_response(outcome, classification.image_id)
    order = service.build_order(classification.analyzer, classification.parameters)
    owner_id = await teams.receiving_team(services.database, actor, team_id)
    return analysis_response(
        await classify_url(services, actor, owner_id, classification.url or "", order, seconds), None
    )


def _parse_body(body: Any) -> schemas.NewClassification:
    try:
        return schemas.NewClassification.model_validate(body)
    except ValidationError as error:
        field_errors = [{**item, "loc": ("body", *item["loc"])} for item in error.errors()]
        raise request_invalid(field_errors, skip=1, model=schemas.NewClassification) from error


def _parse_parameters(parameters: str | None) -> dict[str, Any]:
    values = json_bodies.parse(parameters or "{}", "parameters")
    if not isinstance(values, dict):
        raise _invalid("parameters", "Send a JSON object.")
    return values


def _invalid(field: str, message: str) -> errors.RequestInvalid:
    return errors.invalid_fields([{"field": field, "code": "value_error", "message": message}])
