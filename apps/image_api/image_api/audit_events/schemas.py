"""Bodies and filters of the audit log."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from image_api.http.field_types import LINE, QueryInteger, described
from image_api.http.pagination import DEFAULT_LIMIT, MAX_LIMIT
from image_api.http.timestamps import UtcTime, check_period

MAX_POSITION = 2**63 - 1
_Text = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=LINE)]
_ACTION = described(r"^[a-z_.]+\*?$", "Send an action such as image.trashed, or the beginning of several: image.*")
_Action = Annotated[str, StringConstraints(max_length=100, pattern=_ACTION)]


class AuditFilters(BaseModel):
    """What the log can be narrowed by."""

    model_config = ConfigDict(extra="forbid")

    action: _Action | None = Field(None, description="`image.trashed`, or all that begin so: `image.*`.")
    team_id: UUID | None = None
    actor_user_id: UUID | None = None
    credential_id: UUID | None = None
    session_id: UUID | None = None
    target_type: _Text | None = None
    target_id: UUID | None = None
    request_id: _Text | None = None
    address: _Text | None = None
    created_after: UtcTime | None = Field(None, description="At this time or later.")
    created_before: UtcTime | None = Field(None, description="Before this time.")

    @model_validator(mode="after")
    def _can_match(self) -> Self:
        check_period(self.created_after, self.created_before)
        return self

    def conditions(self) -> dict[str, Any]:
        """The filters that are set, by name."""
        return {name: getattr(self, name) for name in AuditFilters.model_fields if getattr(self, name) is not None}


class AuditPageFilters(AuditFilters):
    """The same, with the place of the page."""

    limit: QueryInteger = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Most items of the page.")
    cursor: str | None = Field(None, max_length=100, description="`next_cursor` of the page before.")


class AuditExportFilters(AuditFilters):
    """The same, with the place where an export goes on."""

    after_position: QueryInteger = Field(
        0, ge=0, le=MAX_POSITION, description="`position` of the last line that you have."
    )
    unsealed: bool = Field(
        False, description="Go beyond the newest seal, where rows that are committed later may still come in between."
    )


class AuditEvent(BaseModel):
    """Something that was changed. Without an actor it was the system itself, or somebody who need not say who."""

    id: UUID
    position: int = Field(description="Its place in the log, which seals and exports follow.")
    team_id: UUID | None
    actor_user_id: UUID | None
    credential_id: UUID | None
    session_id: UUID | None
    action: str
    target_type: str
    target_id: UUID | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    request_id: str | None
    address: str | None
    created_at: datetime


class AuditEventPage(BaseModel):
    """A page of audit events, newest first."""

    items: list[AuditEvent]
    next_cursor: str | None
