"""HTTP of the feed."""

from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Send
from starlette.types import Scope as ConnectionScope

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.changes import cursors, schemas, service, streams
from image_api.dependencies import LimitQuery, ServicesDep, TeamQuery
from image_api.guarded_route import GuardedRoute
from image_api.http.pagination import DEFAULT_LIMIT
from image_api.services import Services

MAX_WAIT_SECONDS = 25.0
NO_STORE = {"Cache-Control": "no-store"}

router = APIRouter(tags=["changes"], route_class=GuardedRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
After = Annotated[
    str | None,
    Query(
        max_length=100, description="`next_cursor` of the previous response; without it, the feed's end is returned."
    ),
]
AllTeams = Annotated[
    bool, Query(description="Events of all teams, and those that belong to none. Only for platform admins.")
]
Wait = Annotated[
    float, Query(ge=0, description="Seconds to wait for an event if there is none. Values above 25 count as 25.")
]
_MEDIA_TYPE = "text/event-stream"
_EXPIRED = {
    "description": "The cursor has expired: take a new one, list what you need, then read on from the new cursor."
}
_NO_TEAM = {"description": "The team does not exist, or you may not see it."}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events. `data` is an event as in `GET /changes`, `id` the cursor after it. The last"
        " one has `event: end`.",
        "content": {_MEDIA_TYPE: {"schema": {"type": "string"}}},
    },
    404: _NO_TEAM,
    410: _EXPIRED,
}


async def _feed(
    actor: Reader, services: ServicesDep, team_id: TeamQuery = None, all_teams: AllTeams = False
) -> service.Feed:
    return await service.feed_of(services.database, actor, team_id, all_teams=all_teams)


FeedDep = Annotated[service.Feed, Depends(_feed)]


@router.get("/changes", response_model=schemas.Changes, responses={404: _NO_TEAM, 410: _EXPIRED})
async def list_changes(
    request: Request,
    response: Response,
    actor: Reader,
    services: ServicesDep,
    feed: FeedDep,
    after: After = None,
    limit: LimitQuery = DEFAULT_LIMIT,
    wait: Wait = 0,
) -> Any:
    """List what happened after a cursor, oldest first.

    Without `after` there are no items: take that cursor first, then list the images, then read on from the cursor.
    """
    response.headers.update(NO_STORE)
    # It repeats nothing that the caller sent.
    request.state.may_compress = True
    seconds = 0 if is_head(request) else min(wait, MAX_WAIT_SECONDS)
    return await service.list_changes(services, actor, feed, after, limit, seconds, request.is_disconnected)


@router.get("/events", response_class=StreamingResponse, responses=_STREAM)
async def stream_events(
    actor: Reader,
    services: ServicesDep,
    feed: FeedDep,
    after: After = None,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", max_length=100, description="Takes precedence over `after`.")
    ] = None,
) -> StreamingResponse:
    """Stream what happens as server-sent events, from a cursor or from now on.

    A stream ends after four minutes, or after one without events, with `event: end`. A user may have two at a time.
    """
    text = last_event_id or after
    if text is None:
        cursor = await service.newest_cursor(services.database, feed)
    else:
        cursor = cursors.decode(text, feed.team_id)
        await service.read(services.database, feed, cursor, 1)
    return _EventStream(services, actor, feed, cursor)


class _EventStream(StreamingResponse):
    """A response that holds its place from its beginning to its end, however it ends."""

    def __init__(self, services: Services, actor: Actor, feed: service.Feed, cursor: cursors.Cursor) -> None:
        self._messages = streams.stream(services, actor, feed, cursor)
        super().__init__(self._messages, media_type=_MEDIA_TYPE, headers=NO_STORE)
        self._places, self._user_id = services.long_requests, actor.user_id

    async def __call__(self, scope: ConnectionScope, receive: Receive, send: Send) -> None:
        """Send the response."""
        with self._places.hold(self._user_id):
            async with aclosing(self._messages):
                await super().__call__(scope, receive, send)


def is_head(request: Request) -> bool:
    """Return whether only the head of the response is wanted."""
    return getattr(request.state, "is_head", False)
