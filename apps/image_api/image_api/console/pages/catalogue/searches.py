"""`/console/searches`: a team's saved searches, which open as the list of images with their filters."""

from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.catalogue.collections import Writer
from image_api.console.pages.images.page import Reader
from image_api.console.pages.images.sheets import IMAGES
from image_api.console.policy import HOME
from image_api.console.team_first import ask_for_team, lacks_team
from image_api.dependencies import CursorQuery, ServicesDep, TeamQuery, TransactionDep
from image_api.http.pagination import DEFAULT_LIMIT, next_cursor
from image_api.idempotency.route import CreationDep
from image_api.saved_searches import schemas, service
from image_api.saved_searches.filters import parse
from image_core.db import Record

SEARCHES = f"{HOME}/searches"
# They say where in the list of images somebody was, and of which team.
_NOT_SAVED = frozenset({"at", "before", "cursor", "facet", "include_total", "limit", "team_id", "view"})
router = APIRouter(prefix=SEARCHES, include_in_schema=False, route_class=PageRoute)
_CREATE = same_as("POST /api/v1/saved-searches")
_CHANGE = same_as("PATCH /api/v1/saved-searches/{saved_search_id}")
_REMOVE = same_as("DELETE /api/v1/saved-searches/{saved_search_id}")


@router.get("", openapi_extra=same_as("GET /api/v1/saved-searches"))
async def show(
    request: Request, actor: Reader, services: ServicesDep, team_id: TeamQuery = None, cursor: CursorQuery = None,
    done: Annotated[Literal["saved", "changed", "removed"] | None, Query()] = None,
) -> Response:  # fmt: skip
    """List the saved searches, newest first."""
    if lacks_team(actor, team_id):
        return ask_for_team(request, "Saved searches")
    rows = await service.list_searches(services.database, actor, team_id, cursor, DEFAULT_LIMIT + 1)
    values = {
        "searches": [{**dict(row), "address": _address(row, team_id)} for row in rows[:DEFAULT_LIMIT]],
        "next_cursor": next_cursor(rows, DEFAULT_LIMIT), "is_first": cursor is None, "done": done,
    }  # fmt: skip
    return render(request, "searches.html", values, team_id=team_id)


def _address(row: Record, team_id: UUID | None) -> str:
    """Return the page of the images that match."""
    pairs = parse_qsl(row["query"], keep_blank_values=True)
    return f"{IMAGES}?{urlencode([*pairs, *([('team_id', team_id)] if team_id else [])])}"


@router.get("/new", openapi_extra=_CREATE)
async def show_new(
    request: Request, actor: Writer, team_id: TeamQuery = None,
    query: Annotated[str, Query(max_length=4000)] = "",
) -> Response:  # fmt: skip
    """Show the form that saves a search."""
    if lacks_team(actor, team_id):
        return ask_for_team(request, "Saved searches")
    return _new_page(request, team_id, Form((("query", query),)), None)


def _new_page(request: Request, team_id: UUID | None, form: Form, refusal: Refusal | None) -> Response:
    values = {"name": form.get("name"), "query": form.get("query"), "refusal": refusal}
    return render(request, "search_new.html", values, team_id=team_id)


@router.post("", openapi_extra=_CREATE)
async def create(
    request: Request, actor: Writer, form: FormDep, services: ServicesDep, transaction: CreationDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Save a search for everybody in the team."""
    show_again_if_refused(request, lambda refusal: _new_page(request, team_id, form, refusal))
    body = form.parse(schemas.NewSavedSearch, "name", query=_filters_of(form.get("query")))
    most = services.settings.saved_searches_per_team
    filters = parse(body.query)
    await service.create_saved_search(transaction, actor, team_id, body.model_dump(), filters, most)
    return go_to(SEARCHES, team_id, done="saved")


def _filters_of(address: str) -> str:
    """Return the filters in the address of a page of images, or in the part of it after the question mark."""
    text = address.strip()
    is_address = text.startswith(("/", "http:", "https:"))
    pairs = parse_qsl(text.partition("?")[2] if is_address else text.removeprefix("?"), keep_blank_values=True)
    return urlencode([(name, value) for name, value in pairs if name not in _NOT_SAVED and value.strip()])


async def _found(saved_search_id: UUID, actor: Writer, services: ServicesDep) -> Record:
    """Return the search that is to be changed or removed.

    Raises:
        errors.SavedSearchNotFound: There is none, or it is another team's.
    """
    return await service.get_search(services.database, actor, saved_search_id)


Found = Annotated[Record, Depends(_found)]
"""Declared after the form, which is compared with the session first."""


def _change_page(request: Request, row: Record, team_id: UUID | None, form: Form, refusal: Refusal | None) -> Response:
    sent = {name: form.get(name) if form.fields else row[name] for name in ("name", "query")}
    values: dict[str, Any] = {"search": row, "sent": sent, "refusal": refusal}
    return render(request, "search_change.html", values, team_id=team_id)


@router.get("/{saved_search_id}/change", openapi_extra=_CHANGE)
async def show_change(request: Request, found: Found, team_id: TeamQuery = None) -> Response:
    """Show the form that changes a saved search."""
    return _change_page(request, found, team_id, Form(()), None)


@router.post("/{saved_search_id}/change", openapi_extra=_CHANGE)
async def change(
    saved_search_id: UUID, request: Request, actor: Writer, form: FormDep, found: Found, transaction: TransactionDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Change the name or the filters, unless somebody has changed them since the form was shown."""
    show_again_if_refused(request, lambda refusal: _change_page(request, found, team_id, form, refusal))
    body = form.parse(schemas.SavedSearchPatch, "name", query=_filters_of(form.get("query")))
    patch = {name: value for name, value in body.model_dump().items() if value != found[name]}
    filters = parse(body.query) if "query" in patch else None
    await service.change_search(transaction, actor, saved_search_id, patch, filters, form.seen_version())
    return go_to(SEARCHES, team_id, done="changed")


def _removal(request: Request, row: Record, team_id: UUID | None, refusal: Refusal | None) -> Response:
    values: dict[str, Any] = {"search": row, "refusal": refusal}
    return render(request, "search_remove.html", values, team_id=team_id)


@router.get("/{saved_search_id}/remove", openapi_extra=_REMOVE)
async def show_removal(request: Request, found: Found, team_id: TeamQuery = None) -> Response:
    """Say what the removal of a saved search does."""
    return _removal(request, found, team_id, None)


@router.post("/{saved_search_id}/remove", openapi_extra=_REMOVE)
async def remove(
    saved_search_id: UUID, request: Request, actor: Writer, form: FormDep, found: Found, transaction: TransactionDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Remove a saved search; the images stay."""
    show_again_if_refused(request, lambda refusal: _removal(request, found, team_id, refusal))
    await service.remove_search(transaction, actor, saved_search_id, form.seen_version())
    return go_to(SEARCHES, team_id, done="removed")
