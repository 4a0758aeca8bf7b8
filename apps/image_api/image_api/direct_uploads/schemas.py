"""Bodies of direct uploads, as the OpenAPI document shows them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from image_api.http.field_types import JsonBoolean, JsonInteger, describe_pattern
from image_api.http.shown_once import ShownOnce
from image_api.images.schemas import Failure
from image_api.uploads.fields import UploadFields
from image_core.states import ImageStatus

_SHA256 = describe_pattern(r"^[0-9a-fA-F]{64}$", "Send a SHA-256 as 64 hexadecimal digits.")
_ORIGIN = describe_pattern(
    r"^https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$",
    "Send scheme, host and, if it is not the default, port in lower case, such as https://www.example.org.",
)
ContentType = Literal["image/jpeg", "image/png", "image/webp", "image/gif", "image/avif", "image/heic", "image/tiff"]


class UploadState(StrEnum):
    """How far a direct upload has come."""

    OPEN = "open"
    RECEIVED = "received"
    REFUSED = "refused"
    EXPIRED = "expired"


class NewUpload(UploadFields):
    """File to be uploaded directly to storage."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"filename": "fjord.tif", "content_type": "image/tiff", "size_bytes": 94371840}]
        }
    )

    content_type: ContentType = Field(description="Media type of the file, which its bytes must confirm.")
    size_bytes: Annotated[JsonInteger, Field(ge=1)] = Field(
        description="Exact size of the file. The team's quota is charged for it until the upload ends."
    )
    sha256: Annotated[str, StringConstraints(pattern=_SHA256)] | None = Field(
        None,
        description="SHA-256 of the file, 64 hexadecimal digits. If the team already has the file, nothing is sent; if"
        " not, the bytes must have this hash. Null if it is not known.",
    )
    origin: Annotated[str, StringConstraints(pattern=_ORIGIN, max_length=300)] | None = Field(
        None,
        description="Origin of the page that sends the file. Only its pages can then use the address. Null if"
        " no page sends it.",
    )
    restore_trashed: JsonBoolean = Field(
        True,
        description="Whether a file that is in the team's trash is restored instead of being sent again. Applies only"
        " with `sha256`.",
    )


class OpenedUpload(BaseModel):
    """Upload that waits for its bytes."""

    upload_id: UUID
    image_id: UUID | None = Field(
        description="ID of the image, once the file has arrived. Null for the holder of an upload token."
    )
    state: UploadState = Field(description="`open`: the upload waits for bytes.")
    expires_at: datetime = Field(description="Time until which the file must have arrived, in UTC.")
    url: ShownOnce
    method: Literal["PUT"] = Field(description="Method with which the bytes are sent.")
    headers: dict[str, str] = Field(description="Headers to send with the bytes.")
    chunk_multiple: int = Field(
        description="If the file is sent in pieces, the size of each but the last is a multiple of this, in bytes."
    )
    curl: ShownOnce


class Upload(BaseModel):
    """A direct upload."""

    upload_id: UUID
    image_id: UUID | None = Field(
        description="ID of the image. If the team already had the file, the ID of the existing image. Null for the"
        " holder of an upload token."
    )
    state: UploadState = Field(
        description="`open`: waits for bytes. `received`: the file has arrived; `status` tells whether it was checked."
        " `refused`: the file was not what had been declared, see `failure`. `expired`: it did not arrive in time, or"
        " the upload was cancelled."
    )
    status: ImageStatus | None = Field(
        description="Status of the image. It is `pending` until the file was checked. Null for the holder of an upload"
        " token."
    )
    size_bytes: int
    received_bytes: int | None = Field(description="How many bytes have arrived. Null if storage does not know.")
    expires_at: datetime | None = Field(
        description="Time until which the file must have arrived, in UTC. Null if the upload has ended."
    )
    failure: Failure | None = Field(
        description="Why the upload or its image failed. Null if it did not, and for the holder of an upload token."
    )
