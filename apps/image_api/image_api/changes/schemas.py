"""Bodies of the feed."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field


class Change(BaseModel):
    """An event of the feed."""

    id: UUID = Field(description="Id of the event. It is the same in the feed, in webhooks and in messages.")
    type: str = Field(description="Type of the event, for example `image.ready`. Ignore types that you do not know.")
    timestamp: datetime = Field(description="When it happened, in UTC.")
    team_id: UUID | None = Field(description="Null for events that belong to no team; only admins see them.")
    data: dict[str, Any] = Field(description="Data of the event; see docs/events.md. Fields may be added.")


class Changes(BaseModel):
    """A part of the feed, oldest first."""

    items: list[Change]
    next_cursor: str = Field(description="Send it as `after` to read on. There is always one.")
    has_more: bool = Field(description="Whether there are more events already.")
