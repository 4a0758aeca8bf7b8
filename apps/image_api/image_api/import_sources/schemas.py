"""Request and response bodies of import sources."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from image_api.http.field_types import LINE, describe_pattern
from image_core.models.operations import BUCKET_PATTERN

MOST_PREFIX_BYTES = 900
_NAME_PATTERN = describe_pattern(
    r"^[a-z0-9][a-z0-9-]{0,63}$", "Use lower-case letters, digits and hyphens, at most 64; begin with no hyphen."
)
_BUCKET_PATTERN = describe_pattern(
    BUCKET_PATTERN, "Send the name of a bucket: 3 to 222 lower-case letters, digits, dots, hyphens and underscores."
)
Name = Annotated[
    str,
    StringConstraints(pattern=_NAME_PATTERN),
    Field(description="Name by which imports refer to it: lower-case letters, digits and hyphens, at most 64."),
]


class NewImportSource(BaseModel):
    """Bucket that a team may copy images from."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "team_id": "0199c0de-0000-7000-8000-000000000002",
                    "name": "old-site",
                    "bucket": "example-old-site",
                    "prefix": "uploads/",
                }
            ]
        },
    )

    team_id: UUID
    name: Name
    bucket: Annotated[str, StringConstraints(pattern=_BUCKET_PATTERN)] = Field(
        description="Name of the bucket in Cloud Storage, without `gs://`."
    )
    prefix: Annotated[str, StringConstraints(max_length=MOST_PREFIX_BYTES, pattern=LINE)] = Field(
        "", description="Folder in the bucket that the source is limited to. It ends in a slash; empty for the bucket."
    )

    @field_validator("prefix")
    @classmethod
    def _is_a_folder(cls, prefix: str) -> str:
        if prefix and not prefix.endswith("/"):
            raise ValueError("it must end in a slash, so that it does not include neighbouring names")
        if len(prefix.encode()) > MOST_PREFIX_BYTES:
            raise ValueError(f"it must have at most {MOST_PREFIX_BYTES} bytes in UTF-8")
        return prefix


class ImportSource(BaseModel):
    """A bucket, or a folder of one, that a team may copy images from."""

    id: UUID
    team_id: UUID
    name: str = Field(description="Name by which imports refer to it.")
    bucket: str = Field(description="Name of the bucket in Cloud Storage.")
    prefix: str = Field(description="Folder in the bucket that the source is limited to; empty for the whole bucket.")
    created_at: datetime


class ImportSourcePage(BaseModel):
    """A page of import sources, newest first."""

    items: list[ImportSource]
    next_cursor: str | None
