"""Health, version and metrics of the processor."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import column, select, table
from starlette.exceptions import HTTPException

from image_core.db import Query
from image_core.migrations import HEAD
from image_processor.parts import Parts

router = APIRouter()
_revision = Query(select(column("version_num")).select_from(table("alembic_version")))


@router.get("/health/live")
async def live() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@router.get("/health/ready")
async def ready(request: Request, response: Response) -> dict[str, Any]:
    """Say whether the database answers, its schema is new enough, and workers are ready."""
    parts: Parts = request.app.state.parts
    try:
        revision = await parts.database.fetch_value(_revision)
        database = "ok" if revision is not None and revision >= HEAD else "schema-behind"
    except Exception:  # noqa: BLE001 (whatever it is, the processor cannot work yet)
        revision, database = None, "unavailable"
    workers = len(parts.pool.process_ids)
    is_ready = database == "ok" and workers > 0
    if not is_ready:
        response.status_code = 503
        response.headers["Retry-After"] = "2"
    confinement = parts.pool.confinement
    answer = {
        "ready": is_ready,
        "database": database,
        "schema_revision": revision,
        "workers": workers,
        "confinement": asdict(confinement),
    }
    # Everything else still works, so this is a warning and does not affect readiness.
    warnings = [f"{role}: {failure}" for role, failure in parts.pool.models.failures().items()]
    if workers and not confinement.system_calls:
        warnings.append("confinement: code in a codec could open sockets, start programs and read this user's files")
    if warnings:
        answer["warnings"] = warnings
    return answer


@router.get("/version")
async def version(request: Request) -> dict[str, str]:
    """Say what is running."""
    parts: Parts = request.app.state.parts
    return {"service": "image-processor", "version": parts.settings.service_version, "schema_revision": HEAD}


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Show the Prometheus metrics of this process, if they are switched on."""
    parts: Parts = request.app.state.parts
    if not parts.settings.metrics_enabled:
        raise HTTPException(404)
    return Response(generate_latest(parts.metrics.registry), media_type=CONTENT_TYPE_LATEST)
