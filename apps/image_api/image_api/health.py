"""Health, version and metrics of the service."""

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from sqlalchemy import column, func, select, table
from starlette.exceptions import HTTPException

from image_api.dependencies import ServicesDep
from image_api.guarded_route import GuardedRoute
from image_core import errors, events
from image_core.db import Database, Query
from image_core.feed import epoch
from image_core.migrations import HEAD
from image_core.models import credential

router = APIRouter(tags=["service"], route_class=GuardedRoute)

_schema = Query(
    select(
        select(column("version_num")).select_from(table("alembic_version")).scalar_subquery(),
        select(func.count()).where(credential.c.is_default, credential.c.revoked_at.is_(None)).scalar_subquery(),
    )
)


class Live(BaseModel):
    """The process is alive."""

    status: str = "ok"


class Ready(BaseModel):
    """Whether the service can handle requests."""

    ready: bool
    database: str
    schema_revision: str | None
    storage: str
    warnings: list[str]


class Version(BaseModel):
    """Version of the service."""

    service: str
    version: str
    schema_revision: str


@router.get("/health/live")
async def live() -> Live:
    """Check that the process responds."""
    return Live()


@router.get(
    "/health/ready",
    responses={503: {"model": Ready, "description": "The service is not ready. `database` shows the reason."}},
    response_model=Ready,
)
async def ready(services: ServicesDep, response: Response) -> Any:
    """Check that the database is available and its schema is recent enough for this version."""
    database, revision, default_keys = await _state_of(services.database)
    warnings = ["The default admin key is still valid. Rotate it."] if default_keys else []
    if services.shutdown.stopping:
        database = "stopping"
    is_ready = database == "ok"
    if not is_ready:
        response.status_code = 503
        response.headers["Retry-After"] = "2"
    storage = services.storage_probe.state()
    return {
        "ready": is_ready,
        "database": database,
        "schema_revision": revision,
        "storage": storage,
        "warnings": warnings,
    }


async def _state_of(database: Database) -> tuple[str, str | None, int]:
    """Return what the database is ready for, its revision, and the number of default keys."""
    try:
        row = await database.fetch_one(_schema)
        revision, default_keys = (row[0], row[1]) if row else (None, 0)
        if revision is None or revision < HEAD:
            return "schema-behind", revision, default_keys
        needed = await epoch.is_needed(database)
    except errors.DatabaseUnavailable:
        return "unavailable", None, 0
    except Exception:  # noqa: BLE001 (a database without our tables is one that is not migrated yet)
        return "schema-missing", None, 0
    return "feed-epoch-needed" if needed else "ok", revision, default_keys


@router.get("/version")
async def version(services: ServicesDep) -> Version:
    """Get the version of the service and of its database schema."""
    return Version(service="image-api", version=services.settings.service_version, schema_revision=HEAD)


_METRICS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {}}},
    404: {"description": "Metrics are disabled."},
}


@router.get("/metrics", response_class=Response, responses=_METRICS)
async def metrics(request: Request, services: ServicesDep) -> Response:
    """Get the Prometheus metrics of this process, if they are enabled."""
    if not services.settings.metrics_enabled:
        raise HTTPException(404)
    try:
        age = await events.outbox_age_seconds(services.database)
    except errors.DatabaseUnavailable:
        # During an outage the other metrics are needed most.
        age = float("nan")
    request.app.state.metrics.outbox_age.set(age)
    return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)
