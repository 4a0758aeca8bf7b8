"""Request and response bodies of delivery keys."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from image_api.http.field_types import LINE
from image_api.http.shown_once import ShownOnce
from image_core.states import DeliveryKeyState

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120, pattern=LINE)]


class NewDeliveryKey(BaseModel):
    """Delivery key to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "shop"}]})

    name: Name | None = Field(None, description="Display name, 1 to 120 characters. Null for none.")


class DeliveryKey(BaseModel):
    """A delivery key, without its bytes."""

    id: UUID
    team_id: UUID
    number: int = Field(description="Number of the key, `k{number}` in the addresses that it signs.")
    name: str | None = Field(description="Display name. Null for none.")
    state: DeliveryKeyState = Field(
        description="`active`: signs addresses. `verifying`: signs no more; its addresses stay valid."
        " `retired`: its addresses are refused."
    )
    created_at: datetime
    verifying_at: datetime | None = Field(
        description="Time at which the key was replaced, in UTC. Null while it is active."
    )
    retired_at: datetime | None = Field(description="Time at which the key was retired, in UTC. Null if it was not.")


class CreatedDeliveryKey(DeliveryKey):
    """A new delivery key with its bytes."""

    key: ShownOnce = Field(
        description="The 32 bytes of the key in base64url, to sign addresses with. Shown only in the first response;"
        " null in a repeated one (`Idempotency-Replayed: true`)."
    )


class DeliveryKeyPage(BaseModel):
    """A page of delivery keys, newest first."""

    items: list[DeliveryKey]
    next_cursor: str | None
