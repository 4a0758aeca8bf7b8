"""Bodies of the check of hashes."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from image_api.http.field_types import describe_pattern
from image_core.states import ImageStatus

MOST_HASHES = 1000
_HEX = describe_pattern(r"^[0-9a-fA-F]{64}$", "Send a SHA-256 as 64 hexadecimal digits.")
Sha256 = Annotated[str, StringConstraints(pattern=_HEX)]
EXAMPLE_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


class HashState(StrEnum):
    """What a team knows of a file."""

    ABSENT = "absent"
    PRESENT = "present"
    TRASHED = "trashed"
    PURGED = "purged"


class Hashes(BaseModel):
    """Files, by their SHA-256."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"sha256": [EXAMPLE_SHA256]}]})

    sha256: Annotated[list[Sha256], Field(min_length=1, max_length=MOST_HASHES)] = Field(
        description="SHA-256 of each file, 64 hexadecimal digits; at most 1,000. One that is repeated counts once."
    )


class CheckedHash(BaseModel):
    """What the team knows of one file."""

    sha256: str
    state: HashState = Field(
        description="`present`: the team has an image of this file. `trashed`: only in the trash. `purged`: the team"
        " had one, which was removed from the trash in the last 90 days. `absent`: none of these."
    )
    image_id: UUID | None = Field(description="ID of the image. Null if the file is `purged` or `absent`.")
    status: ImageStatus | None = Field(
        description="Status of the image, which can be `failed`. Null if the file is `purged` or `absent`."
    )
    purged_at: datetime | None = Field(
        description="Time at which the image was purged, in UTC. Null if the file is not `purged`."
    )


class CheckedHashes(BaseModel):
    """What the team knows of each file."""

    items: list[CheckedHash] = Field(description="One item for each hash, in the order of the request.")
