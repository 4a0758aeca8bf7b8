"""The table of events: every type that others are told of, with the schema of its data.

Messages of the topic `events`, the feed and webhooks share the envelope `{id, type, timestamp, team_id, data}`. Types
and fields are only ever added. No data has a filename, a tag, metadata, a key's name or the token of a link.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, RootModel

from image_core.events import EventType
from image_core.states import ImageStatus, LinkEnd


class Data(BaseModel):
    """The data of an event."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ReadableData(Data):
    """What every event has that is about something that can be read."""

    path: str = Field(
        pattern="^/api/v1/",
        description="Where to read it: the path of a GET at the API. By then it may have changed again, or be gone.",
    )


class ImagePurged(Data):
    """The image and its files are gone."""

    image_id: UUID
    revision: int = Field(ge=1, description="The image's revision after the change.")


class ImageData(ReadableData):
    """What every other event about an image has."""

    image_id: UUID
    revision: int = Field(ge=1, description="The image's revision after the change.")


class ImageReady(ImageData):
    """Pictures and facts are there."""

    width: int = Field(ge=1)
    height: int = Field(ge=1)
    presets: list[str] = Field(description="Presets of which the image has a picture.")


class ImageFailed(ImageData):
    """The image cannot be processed."""

    code: str = Field(description="Why, as in the image's `failure`.")


class ImageDuplicate(ImageData):
    """The upload has no image of its own."""

    duplicate_of: UUID | None = Field(description="The image that the team has; null if it has just been removed.")


Changed = Literal[
    "filename", "tags", "metadata", "description", "alt_text", "rating", "focal_point", "visibility",
    "delivery_addresses", "derivatives", "status",
]  # fmt: skip


class ImageChanged(ImageData):
    """Names of fields only; the values are the image's to tell."""

    changed: list[Changed] = Field(min_length=1, description="What changed.")
    status: ImageStatus


class ImageRestored(ImageData):
    """The image is back from the trash."""

    status: ImageStatus


class AnalysisData(ReadableData):
    """What every event about an analysis has."""

    analysis_id: UUID
    analyzer: str
    image_id: UUID | None = Field(None, description="The image, where its upload caused the analysis.")


class AnalysisFailed(AnalysisData):
    """The analysis cost nothing."""

    code: str


class CredentialData(ReadableData):
    """What every event about a credential has."""

    credential_id: UUID
    user_id: UUID
    key_prefix: str = Field(description="The public part of its current key.")


class CredentialCreated(CredentialData):
    """A user has a new key."""

    expires_at: AwareDatetime | None


class CredentialRotated(CredentialData):
    """The key was replaced."""

    previous_expires_at: AwareDatetime | None = Field(description="Until when the key before it works; null if ended.")


class CredentialExpiring(CredentialData):
    """The key ends soon."""

    expires_at: AwareDatetime


class StorageLow(ReadableData):
    """A team's storage is nearly used up."""

    quota: Literal["storage"]
    used_bytes: int
    used_images: int
    quota_bytes: int | None
    quota_images: int | None


class CreditsLow(ReadableData):
    """A team's credits have fallen below its threshold."""

    quota: Literal["credits"]
    left: int
    threshold: int


class QuotaLow(RootModel[Annotated[StorageLow | CreditsLow, Field(discriminator="quota")]]):
    """Storage or credits."""


class DeliveryQuotaLow(ReadableData):
    """A team has delivered most of what it may in a month."""

    month: str = Field(pattern=r"^\d{4}-\d{2}$")
    used_bytes: int
    quota_bytes: int


class OperationData(ReadableData):
    """What every event about an operation has."""

    operation_id: UUID
    kind: str
    total: int | None = Field(ge=0, description="Null while it is estimated.")
    done: int = Field(ge=0)
    failed: int = Field(ge=0)


class OperationProgressed(OperationData):
    """The operation is under way."""

    status: Literal["estimating", "running"]


class OperationFinished(OperationData):
    """The operation is over."""

    status: Literal["succeeded", "failed", "cancelled"]
    code: str | None = Field(None, description="Why it could not go on.")


class LinkCreated(ReadableData):
    """A share link is open."""

    link_id: UUID
    collection_id: UUID | None
    expires_at: AwareDatetime | None


class LinkEnded(ReadableData):
    """A share link shows nothing more."""

    link_id: UUID
    reason: LinkEnd


class WebhookData(ReadableData):
    """What every event about a webhook has."""

    webhook_id: UUID


class WebhookDisabled(WebhookData):
    """Nothing more is sent to the endpoint."""

    reason: Literal["gone", "failing"] = Field(description="It answered 410, or nothing but failures for five days.")


class EventDescription(NamedTuple):
    """A row of the table."""

    data: type[BaseModel]
    summary: str
    in_feed: bool = True
    by_webhook: bool = True


EVENT_TYPES: Mapping[EventType, EventDescription] = {
    EventType.IMAGE_CREATED: EventDescription(
        ImageData, "An image's bytes are stored, by whatever way they came; it will be processed. Once for an image."
    ),
    EventType.READY: EventDescription(ImageReady, "An image has been processed, for the first time or once more."),
    EventType.FAILED: EventDescription(ImageFailed, "An image cannot be processed, or has used up its attempts."),
    EventType.IMAGE_DUPLICATE: EventDescription(
        ImageDuplicate,
        "Processing found that the team already has the bytes of an upload. The API's own answers tell of duplicates"
        " that it finds itself, which cause no event.",
    ),
    EventType.IMAGE_CHANGED: EventDescription(
        ImageChanged,
        "An image was edited, was queued to be processed once more (`status`), stayed as it was where that failed"
        " (`status`), had a lost picture replaced (`derivatives`), or had its delivery addresses revoked.",
    ),
    EventType.TRASHED: EventDescription(ImageData, "An image was moved to the trash."),
    EventType.RESTORED: EventDescription(ImageRestored, "An image was taken out of the trash."),
    EventType.PURGED: EventDescription(ImagePurged, "An image is gone for good."),
    EventType.ANALYZED: EventDescription(AnalysisData, "An analysis has its result."),
    EventType.ANALYSIS_FAILED: EventDescription(AnalysisFailed, "An analysis has failed and cost nothing."),
    EventType.KEY_CREATED: EventDescription(CredentialCreated, "A user has a new key."),
    EventType.KEY_ROTATED: EventDescription(CredentialRotated, "A key was replaced by a new one."),
    EventType.KEY_EXPIRING: EventDescription(
        CredentialExpiring, "A key expires: told a week before, and again a day before."
    ),
    EventType.KEY_LEAKED: EventDescription(CredentialData, "Somebody reported a key, and it was revoked at once."),
    EventType.KEY_REVOKED: EventDescription(CredentialData, "A key was revoked."),
    EventType.QUOTA_LOW: EventDescription(QuotaLow, "A team's storage or its credits run low."),
    EventType.DELIVERY_QUOTA_LOW: EventDescription(
        DeliveryQuotaLow, "A team has used most of the bytes that may be delivered in a month. Once a month."
    ),
    EventType.OPERATION_PROGRESSED: EventDescription(
        OperationProgressed, "A long operation has come further. At most once in five seconds.", by_webhook=False
    ),
    EventType.OPERATION_FINISHED: EventDescription(OperationFinished, "A long operation is over."),
    EventType.LINK_CREATED: EventDescription(LinkCreated, "A share link was created."),
    EventType.LINK_ENDED: EventDescription(LinkEnded, "A share link has ended."),
    EventType.WEBHOOK_TEST: EventDescription(
        WebhookData, "Somebody asked for a test of a webhook; sent to its endpoint alone.", in_feed=False
    ),
    EventType.WEBHOOK_DISABLED: EventDescription(WebhookDisabled, "A webhook's endpoint was disabled."),
}
"""Every type that others are told of. `by_webhook` says whether endpoints get it."""

SENT_TYPES = tuple(kind for kind, about in EVENT_TYPES.items() if about.by_webhook and about.in_feed)
"""The types that webhooks are sent."""
_KEY_TYPES = frozenset(kind for kind in EVENT_TYPES if kind.startswith("credential."))


def is_about_keys(kind: str) -> bool:
    """Return whether an event is shown only to callers with the scope `keys:self`."""
    return kind in _KEY_TYPES


def validate(kind: str, data: Mapping[str, Any]) -> BaseModel:
    """Read the data of an event by its schema.

    Raises:
        KeyError: The table has no such type.
        pydantic.ValidationError: The data do not fit.
    """
    return EVENT_TYPES[EventType(kind)].data.model_validate_json(orjson.dumps(data))
