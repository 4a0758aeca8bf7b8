"""`/console/usage`: what a team used day by day, its credits, and its limits."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.console.frame import render
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.team.charts import chart_of
from image_api.console.pages.team.chooser import choose_team, name_of_team
from image_api.console.policy import HOME
from image_api.console.team_first import lacks_team
from image_api.credentials.service import is_admin
from image_api.credits import service as credits
from image_api.dependencies import CursorQuery, ServicesDep, TeamQuery
from image_api.http.pagination import next_cursor
from image_api.services import Services
from image_api.usage import service
from image_core.storage.sizes import format_size

router = APIRouter(prefix=f"{HOME}/usage", include_in_schema=False, route_class=PageRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.USAGE_READ))]
Day = Annotated[date | None, Query()]
_ENTRIES = 20
_SAME = same_as(
    "GET /api/v1/usage", "GET /api/v1/limits", "GET /api/v1/credits", "GET /api/v1/credits/ledger", "GET /api/v1/teams"
)


@router.get("", openapi_extra=_SAME)
async def show(
    request: Request, actor: Reader, services: ServicesDep, team_id: TeamQuery = None, first_day: Day = None,
    last_day: Day = None, cursor: CursorQuery = None,
    done: Annotated[Literal["refilled", "scheduled"] | None, Query()] = None,
) -> Response:  # fmt: skip
    """Show a period, by default the last 30 days; `cursor` is a place in the list of credit entries."""
    if lacks_team(actor, team_id):
        return await choose_team(request, actor, "Usage")
    period = first_day, last_day
    used = await service.find_usage(services.database, actor, team_id, period, None, by_key=False)
    entries = await credits.list_entries(services.database, actor, team_id, cursor, _ENTRIES + 1)
    values = {
        **_of_period(used),
        "account": await credits.get_credits(services.database, actor, team_id),
        "entries": entries[:_ENTRIES],
        "next_cursor": next_cursor(entries, _ENTRIES),
        "is_first": cursor is None,
        "team_id": team_id,
        "done": done,
        "may_refill": is_admin(actor),
        "team_name": await name_of_team(services, actor, team_id),
        **await _limits(services, actor, team_id),
    }
    return render(request, "usage.html", values, team_id=team_id)


def _of_period(used: dict[str, Any]) -> dict[str, Any]:
    """Return the charts of a period and its totals."""
    first_day, last_day = used["first_day"], used["last_day"]
    requests = _by_day((row["day"], row["requests"], row["failed"]) for row in used["requests"])
    spent = _by_day((row["day"], row["credits"], 0) for row in used["credits"])
    by_operation: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in used["requests"]:
        by_operation[row["operation"]][0] += row["requests"]
        by_operation[row["operation"]][1] += row["failed"]
    return {
        "first_day": first_day,
        "last_day": last_day,
        "requests": chart_of(first_day, last_day, requests),
        "spent": chart_of(first_day, last_day, spent),
        "by_operation": sorted(by_operation.items(), key=lambda item: (-item[1][0], item[0])),
        "delivered": {
            "requests": sum(row["requests"] for row in used["delivery"]),
            "size": format_size(sum(row["bytes"] for row in used["delivery"])),
            "pictures_made": sum(row["pictures_made"] for row in used["delivery"]),
        },
    }


def _by_day(rows: Iterable[tuple[date, int, int]]) -> dict[date, tuple[int, int]]:
    totals: dict[date, tuple[int, int]] = {}
    for day, number, part in rows:
        before = totals.get(day, (0, 0))
        totals[day] = (before[0] + number, before[1] + part)
    return totals


async def _limits(services: Services, actor: Actor, team_id: UUID | None) -> dict[str, Any]:
    _, quotas = await service.find_quotas(services.database, actor, team_id, services.settings)
    return {
        "quotas": [(name, quota["used"], quota["limit"]) for name, quota in quotas.items()],
        "rates": services.rate_limits.of_callers,
        "upload_size": format_size(services.settings.upload_max_bytes),
        "format_size": format_size,
    }
