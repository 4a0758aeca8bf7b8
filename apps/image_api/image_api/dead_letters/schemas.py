"""Bodies of the operations on dead letters."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from image_core.states import DeadLetterStatus


class DeadLetter(BaseModel):
    """A message that no attempt could deliver."""

    id: UUID
    status: DeadLetterStatus = Field(
        description="`open` until somebody deals with it, `redriven` once it was published again, or `discarded`."
    )
    subscription: str = Field(description="Subscription that gave the message up.")
    topic: str | None = Field(description="Topic that the message is published to again. Null if it is not known.")
    work_key: str = Field(description="What the message is about: an object with its generation, or an event's ID.")
    team_id: UUID | None = Field(description="Team that the message names. Null if it names none.")
    image_id: UUID | None = Field(description="Image that the message names. Null if it names none.")
    attributes: dict[str, str] = Field(description="Attributes of the message. Empty if the message was too large.")
    preview: str | None = Field(
        description="First 1000 bytes of the message as text. Null if the message was too large to be kept."
    )
    size_bytes: int = Field(description="Size of the message with its attributes, in bytes.")
    attempts: int = Field(description="Number of deliveries that failed.")
    arrivals: int = Field(description="How often messages about the same work were given up.")
    is_redrivable: bool = Field(description="Whether it can be published again: its topic is known, and it was kept.")
    source_published_at: datetime = Field(description="Time at which the message was published, in UTC.")
    arrived_at: datetime = Field(description="Time at which it was given up last, in UTC.")
    handled_at: datetime | None = Field(
        description="Time at which it was published again or discarded, in UTC. Null while it is open."
    )
    created_at: datetime = Field(description="Time at which it was given up first, in UTC.")


class DeadLetterPage(BaseModel):
    """A page of dead letters, newest first."""

    items: list[DeadLetter]
    next_cursor: str | None
