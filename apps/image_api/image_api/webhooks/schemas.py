"""Request and response bodies of webhooks."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from image_api.http.field_types import LINE, JsonBoolean, JsonInteger
from image_api.http.shown_once import ShownOnce
from image_api.http.timestamps import UtcTime
from image_core.feed.event_types import SENT_TYPES
from image_core.states import WebhookDeliveryStatus, WebhookEnd

MOST_GRACE_SECONDS = 604_800
SentType = StrEnum(  # type: ignore[misc]
    "SentType", {kind.name: kind.value for kind in SENT_TYPES}
)
SentType.__doc__ = "Type of an event that is sent to webhooks."
Url = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2048)]
Description = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=LINE)]
Types = Annotated[list[SentType], Field(min_length=1, max_length=len(SentType))]
_URL = (
    "URL that events are sent to: https, port 443. Whoever knows it may be able to post there, so logs hold only its"
    " host."
)
_TYPES = (
    "Types of events to send. Null for all of them; those about keys only if you have the scope `keys:self`, which"
    " naming them requires."
)
_EXAMPLE: dict[str, Any] = {"url": "https://example.com/hooks/images", "types": ["image.ready", "image.failed"]}


class NewWebhook(BaseModel):
    """Webhook to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    url: Url = Field(description=_URL)
    description: Description | None = Field(None, description="What it is for, 1 to 200 characters. Null for none.")
    types: Types | None = Field(None, description=_TYPES)
    disabled: JsonBoolean = Field(False, description="Whether nothing is sent yet.")


class WebhookPatch(BaseModel):
    """JSON merge patch: absent fields stay as they are."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"types": ["image.ready"], "disabled": False}]}
    )

    url: Url = Field("", description=_URL)
    description: Description | None = Field(None, description="What it is for. Null removes it.")
    types: Types | None = Field(None, description=_TYPES)
    disabled: JsonBoolean = Field(
        False,
        description="True ends what is due. False sends events from now on; those of the meantime can be replayed.",
    )

    @field_validator("url", "disabled", mode="before")
    @classmethod
    def _not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("send a value, or leave the field out")
        return value


class Webhook(BaseModel):
    """A webhook, without its secret."""

    id: UUID
    team_id: UUID
    url: str = Field(description=_URL)
    description: str | None
    types: list[str] | None = Field(description="Types of events that are sent. Null for all of them.")
    disabled: bool = Field(description="Whether nothing is sent.")
    disabled_reason: WebhookEnd | None = Field(
        description="`manual`: by a person. `gone`: it answered 410. `failing`: nothing but failures for five days."
        " Null if it is not disabled."
    )
    disabled_at: datetime | None
    failing_since: datetime | None = Field(
        description="Time of the first failure since the last success, in UTC. Null if the last attempt succeeded."
    )
    held_until: datetime | None = Field(
        description="Nothing is sent before this time, because the endpoint asked for it. Null for no hold."
    )
    previous_secret_expires_at: datetime | None = Field(
        description="Until when the secret before the current one signs as well. Null if it does not."
    )
    created_at: datetime
    updated_at: datetime


class SecretWebhook(Webhook):
    """A webhook with its new secret."""

    secret: ShownOnce = Field(
        description="Secret that signs what is sent: `whsec_` and 32 bytes in base64. Shown only in the first response;"
        " null in a repeated one (`Idempotency-Replayed: true`)."
    )


class WebhookPage(BaseModel):
    """A page of webhooks, newest first."""

    items: list[Webhook]
    next_cursor: str | None


class SecretRotation(BaseModel):
    """How to replace a secret. Without a body, both secrets sign for a day."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"grace_period_seconds": 86_400}]})

    grace_period_seconds: JsonInteger = Field(
        86_400,
        ge=0,
        le=MOST_GRACE_SECONDS,
        description="Seconds for which the old secret signs as well: 0 to 604800 (7 days).",
    )
    force: JsonBoolean = Field(False, description="Rotate even if a secret before the current one still signs.")


class WebhookDelivery(BaseModel):
    """One event on its way to one webhook."""

    id: UUID
    webhook_id: UUID = Field(description="ID of the webhook.")
    team_id: UUID
    event_id: UUID = Field(description="Sent as `webhook-id`, the same in every attempt and replay.")
    event_type: str = Field(description="Type of the event, for example `image.ready`.")
    replay: int = Field(description="0 for the first delivery of the event, then the number of the replay.")
    status: WebhookDeliveryStatus = Field(
        description="`pending`: will be tried, or tried again. `succeeded`. `failed`: not tried again. `ended`: its"
        " webhook was disabled."
    )
    attempt_count: int = Field(description="Number of attempts that have been made or begun.")
    next_attempt_at: datetime | None = Field(description="Time of the next attempt, in UTC. Null if there is none.")
    created_at: datetime
    ended_at: datetime | None = Field(
        description="Time at which the delivery succeeded or was given up, in UTC. Null until then."
    )


class WebhookDeliveryPage(BaseModel):
    """A page of deliveries, newest first."""

    items: list[WebhookDelivery]
    next_cursor: str | None


class WebhookAttempt(BaseModel):
    """One attempt to deliver an event."""

    number: int = Field(description="1 for the first attempt.")
    started_at: datetime = Field(description="Time at which the attempt started, in UTC.")
    duration_ms: int = Field(description="Duration of the attempt in milliseconds.")
    status: int | None = Field(description="HTTP status of the answer. Null if there was none.")
    error: str | None = Field(description="Code of the reason why there was no answer. Null if there was one.")
    response: str | None = Field(
        description="Beginning of the answer's body, at most 2 KiB. Null if there was no answer."
    )


class WebhookDeliveryDetail(WebhookDelivery):
    """A delivery with its attempts."""

    attempts: list[WebhookAttempt] = Field(description="In their order.")


class Replay(BaseModel):
    """Which events to send again."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"since": "2026-03-01T12:00:00Z", "only_failed": True}]}
    )

    since: UtcTime = Field(description="Time of the first event. Events before the webhook was created are left out.")
    until: UtcTime | None = Field(None, description="Time before which events are sent. Null for now.")
    types: Types | None = Field(None, description="Types of events. Null for those of the webhook.")
    only_failed: JsonBoolean = Field(False, description="Only events that no delivery to the webhook has brought.")


class ReplayResult(BaseModel):
    """What is sent again."""

    count: int = Field(description="Number of events that are sent again, at most 10,000, the oldest first.")
    next_since: datetime | None = Field(description="`since` for the rest. Null if nothing is left.")
