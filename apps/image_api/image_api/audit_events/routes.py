"""HTTP of the audit log."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from image_api.actor import Actor, Scope
from image_api.audit_events import schemas, service
from image_api.auth import RequireScope
from image_api.dependencies import ServicesDep
from image_api.guarded_route import GuardedRoute

router = APIRouter(tags=["audit"], route_class=GuardedRoute)
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]
_MEDIA_TYPE = "application/x-ndjson"
_LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One audit event per line, as a JSON object with sorted keys.",
        "content": {_MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}


@router.get("/audit-events", response_model=schemas.AuditEventPage)
async def list_audit_events(
    actor: Admin, services: ServicesDep, filters: Annotated[schemas.AuditPageFilters, Query()]
) -> Any:
    """List audit events, newest first."""
    return await service.list_audit_events(services.database, actor, filters)


@router.get("/audit-events/export", response_class=StreamingResponse, responses=_LINES)
async def export_audit_events(
    actor: Admin, services: ServicesDep, filters: Annotated[schemas.AuditExportFilters, Query()]
) -> StreamingResponse:
    """Export audit events as lines of JSON (NDJSON), oldest first, up to the newest seal.

    To continue an export, send the `position` of the last received line as `after_position`.
    """
    lines = await service.export_audit_events(services.database, actor, filters)
    return StreamingResponse(lines, media_type=_MEDIA_TYPE)


@router.get("/audit-events/chain", response_model=schemas.AuditChain)
async def get_audit_chain(actor: Admin, services: ServicesDep) -> Any:
    """Get the newest seal of the audit log, the number of unsealed events, and the result of the last verification."""
    return await service.get_chain(services.database, actor)
