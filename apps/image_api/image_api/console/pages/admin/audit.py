"""`/console/audit`: the audit log, newest first, and the state of its chain of seals."""

from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError

from image_api.actor import Actor, Scope
from image_api.audit_events import schemas, service
from image_api.auth import RequireScope
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.images.sheets import list_address
from image_api.console.policy import HOME
from image_api.dependencies import ServicesDep
from image_api.http.paths import API_PREFIX
from image_api.http.validation import request_invalid
from image_api.services import Services
from image_api.teams import service as teams
from image_api.users import service as users

AUDIT = f"{HOME}/audit"
router = APIRouter(prefix=AUDIT, include_in_schema=False, route_class=PageRoute)
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]
_PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "string"}} for name in schemas.AuditPageFilters.model_fields
]
_SAME = same_as(
    "GET /api/v1/audit-events", "GET /api/v1/audit-events/chain", "GET /api/v1/teams", "GET /api/v1/users/{user_id}"
)


@router.get("", openapi_extra=_SAME | {"parameters": _PARAMETERS})
async def show(request: Request, actor: Admin, services: ServicesDep) -> Response:
    """Show the events that match."""
    given = {name: value for name, value in request.query_params.items() if value.strip()}
    if len(given) < len(request.query_params):
        # A form sends its empty fields, too.
        return go_to(list_address(list(given.items()), AUDIT))
    values: dict[str, Any] = {
        "given": given, "chain": await service.get_chain(services.database, actor), "refusal": None, "events": [],
        "next_cursor": None, "is_first": "cursor" not in given, "names": {}, "team_names": {},
        "query": {name: value for name, value in given.items() if name not in ("cursor", "team_id")},
        "export": f"{API_PREFIX}/audit-events/export?{_export_query(given)}",
    }  # fmt: skip

    def show_again(refusal: Refusal) -> Response:
        return render(request, "audit.html", values | {"refusal": refusal})

    show_again_if_refused(request, show_again)
    try:
        filters = schemas.AuditPageFilters.model_validate(given)
    except ValidationError as error:
        raise request_invalid(error.errors(), model=schemas.AuditPageFilters) from None
    page = await service.list_audit_events(services.database, actor, filters)
    values |= {
        "events": [item | {"changes": _changes(item["before"] or {}, item["after"] or {})} for item in page["items"]],
        "next_cursor": page["next_cursor"], **await _names(services, actor, page["items"]),
    }  # fmt: skip
    return render(request, "audit.html", values, team_id=filters.team_id)


def _export_query(given: dict[str, str]) -> str:
    kept = {name: value for name, value in given.items() if name in schemas.AuditFilters.model_fields}
    return urlencode({**kept, "unsealed": "true"})


async def _names(services: Services, actor: Actor, items: list[dict[str, Any]]) -> dict[str, dict[UUID, str]]:
    """Return the names of users and teams that the events mention."""
    user_ids = {item["actor_user_id"] for item in items} | {
        item["target_id"] for item in items if item["target_type"] == "user"
    }
    team_ids = {item["team_id"] for item in items}
    return {
        "names": await users.user_names(services.database, actor, user_ids - {None}),
        "team_names": await teams.team_names(services.database, actor, team_ids - {None}),
    }


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str | None, str | None]]:
    """Return the names in either, each with its values as text; null where there is none."""
    return [(name, _text(before, name), _text(after, name)) for name in dict.fromkeys([*before, *after])]


def _text(values: dict[str, Any], name: str) -> str | None:
    if name not in values:
        return None
    value = values[name]
    return value if isinstance(value, str) else orjson.dumps(value).decode()
