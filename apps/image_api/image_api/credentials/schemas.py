"""Bodies of the credential operations."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from image_api.timestamps import UtcTime

MAX_GRACE_SECONDS = 7 * 24 * 3600


class Rotation(BaseModel):
    """How to rotate a credential; an empty body is a rotation with a day of grace."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"grace_period_seconds": 3600, "reason": "yearly"}]}
    )

    grace_period_seconds: int = Field(86_400, ge=0, le=MAX_GRACE_SECONDS, description="How long the old key lives on.")
    force: bool = Field(False, description="Rotate although the previous key is still in its grace period.")
    credential_id: UUID | None = Field(None, description="By default the calling key's own, or the user's first.")
    expires_at: UtcTime | None = Field(None, description="When the new key ends; as before where it is absent.")
    reason: Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")] | None = None


class PreviousKey(BaseModel):
    """The key that the new one replaces."""

    credential_id: UUID
    expires_at: datetime
    last_used_at: datetime | None


class RotatedKey(BaseModel):
    """The new key, shown this once; `previous` is null where no earlier key lives on."""

    credential_id: UUID
    api_key: str
    key_prefix: str
    previous: PreviousKey | None
