"""Dependencies of routes: the services, a transaction, and common request parameters."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Query, Request
from fastapi.params import Depends as DependsMarker

from image_api.http.field_types import QueryInteger
from image_api.http.pagination import MAX_LIMIT, Cursor, decode_cursor
from image_api.services import Services
from image_core import events
from image_core.db import Transaction


# Coroutines, because FastAPI runs a plain function in a thread, which costs more than its work.
async def services_of(request: Request) -> Services:
    """Return the services of the application that serves this request."""
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(services_of)]


async def open_transaction(services: ServicesDep) -> AsyncIterator[Transaction]:
    """Open a transaction for the request; it commits before the response is sent, then its events are published."""
    async with events.committing(services.database, services.publisher) as transaction:
        yield transaction


# With the default scope the response would be sent before the commit, so a failed commit would look like a success.
TransactionDep = Annotated[Transaction, DependsMarker(open_transaction, scope="function")]


async def _delivery_master(services: ServicesDep) -> bytes:
    """Return the master secret, before a transaction is opened."""
    return await services.require_delivery_master()


DeliveryMasterDep = Annotated[bytes, Depends(_delivery_master)]

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description="ETag that the resource must still have; otherwise the response is 412."),
]


async def _cursor_query(
    cursor: Annotated[str | None, Query(max_length=100, description="`next_cursor` of the previous page.")] = None,
) -> Cursor | None:
    return None if cursor is None else decode_cursor(cursor)


CursorQuery = Annotated[Cursor | None, Depends(_cursor_query)]
TeamQuery = Annotated[
    UUID | None, Query(description="Team to use. Only for platform admins; default: the caller's team.")
]
LimitQuery = Annotated[QueryInteger, Query(ge=1, le=MAX_LIMIT, description="Maximum number of items on the page.")]
