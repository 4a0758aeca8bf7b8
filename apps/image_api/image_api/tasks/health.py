"""Health, version and metrics of `image-tasks`."""

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import column, select, table
from starlette.exceptions import HTTPException

from image_api.tasks.parts import TaskParts
from image_core.db import Query
from image_core.feed import epoch
from image_core.migrations import HEAD

router = APIRouter()
_revision = Query(select(column("version_num")).select_from(table("alembic_version")))


@router.get("/health/live")
async def live() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@router.get("/health/ready")
async def ready(request: Request, response: Response) -> dict[str, Any]:
    """Say whether the database answers, its schema is new enough, and the feed goes on where it was."""
    parts: TaskParts = request.app.state.parts
    try:
        revision = await parts.database.fetch_value(_revision)
        database = "ok" if revision is not None and revision >= HEAD else "schema-behind"
        if database == "ok" and await epoch.is_needed(parts.database):
            database = "feed-epoch-needed"
    except Exception:  # noqa: BLE001 (whatever it is, no step could run)
        revision, database = None, "unavailable"
    if database != "ok":
        response.status_code = 503
        response.headers["Retry-After"] = "2"
    return {"ready": database == "ok", "database": database, "schema_revision": revision}


@router.get("/version")
async def version(request: Request) -> dict[str, str]:
    """Say what is running."""
    parts: TaskParts = request.app.state.parts
    return {"service": "image-tasks", "version": parts.settings.service_version, "schema_revision": HEAD}


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Show the Prometheus metrics of this process, where they are switched on."""
    parts: TaskParts = request.app.state.parts
    if not parts.settings.metrics_enabled:
        raise HTTPException(404)
    return Response(generate_latest(parts.metrics.registry), media_type=CONTENT_TYPE_LATEST)
