"""Bodies and filters of the audit log."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from image_api.http.field_types import LINE, QueryInteger, describe_pattern
from image_api.http.pagination import DEFAULT_LIMIT, MAX_LIMIT
from image_api.http.timestamps import UtcTime, check_period

MAX_POSITION = 2**63 - 1
MAX_UNSEALED = 10_000
_Text = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=LINE)]
_ACTION = describe_pattern(r"^[a-z_.]+\*?$", "Send an action such as image.trashed, or a prefix such as image.*.")
_Action = Annotated[str, StringConstraints(max_length=100, pattern=_ACTION)]


class AuditFilters(BaseModel):
    """Filters of the audit log."""

    model_config = ConfigDict(extra="forbid")

    action: _Action | None = Field(
        None, description="Only this action, for example `image.trashed`, or all with a prefix: `image.*`."
    )
    team_id: UUID | None = Field(None, description="Only changes that belong to this team.")
    actor_user_id: UUID | None = None
    credential_id: UUID | None = Field(None, description="Only changes made with this credential (API key).")
    session_id: UUID | None = Field(None, description="Only changes made in this session.")
    target_type: _Text | None = None
    target_id: UUID | None = None
    request_id: _Text | None = None
    address: _Text | None = None
    created_after: UtcTime | None = Field(
        None, description="Only changes made at this time or later. A date alone means midnight in UTC."
    )
    created_before: UtcTime | None = Field(
        None, description="Only changes made before this time. A date alone means midnight in UTC."
    )

    @model_validator(mode="after")
    def _can_match(self) -> Self:
        check_period(self.created_after, self.created_before)
        return self

    def conditions(self) -> dict[str, Any]:
        """Return the filters that are set, by name."""
        return {name: getattr(self, name) for name in AuditFilters.model_fields if getattr(self, name) is not None}


class AuditPageFilters(AuditFilters):
    """Filters of the audit log, and the page."""

    limit: QueryInteger = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Maximum number of items on the page.")
    cursor: str | None = Field(None, max_length=100, description="`next_cursor` of the previous page.")


class AuditExportFilters(AuditFilters):
    """Filters of the audit log, and the position where an export continues."""

    after_position: QueryInteger = Field(
        0, ge=0, le=MAX_POSITION, description="`position` of the last received line, to continue an export."
    )
    unsealed: bool = Field(
        False,
        description="Also export events after the newest seal. Events with earlier positions may still be added there.",
    )


class AuditEvent(BaseModel):
    """A change, and who made it."""

    id: UUID
    position: int = Field(description="Position in the log, which orders seals and exports.")
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


class AuditSeal(BaseModel):
    """The newest seal."""

    number: int = Field(description="Number of the seal; the first one is 1.")
    last_position: int = Field(description="Position of the last event that the seal covers.")
    sealed_at: datetime = Field(description="Time of the seal, in UTC.")


class AuditVerification(BaseModel):
    """The newest verification of the whole chain, which `image-manager-admin audit verify` recorded."""

    intact: bool = Field(description="Whether all seals matched.")
    seal: int = Field(description="Number of the newest verified seal, 0 for none; of a broken chain, the first wrong.")
    reason: str | None = Field(description="What is wrong with that seal. Null if the chain is intact.")
    verified_at: datetime = Field(description="Time of the verification, in UTC.")


class AuditChain(BaseModel):
    """The state of the chain of seals."""

    newest_seal: AuditSeal | None = Field(description="The newest seal. Null if nothing is sealed yet.")
    unsealed_events: int = Field(description="Number of events after the newest seal, counted up to 10000.")
    at_least: bool = Field(description="Whether there are more unsealed events.")
    oldest_unsealed_at: datetime | None = Field(
        description="Time of the oldest unsealed event, in UTC. Null if all are sealed."
    )
    verification: AuditVerification | None = Field(
        description="Result of the newest verification. Null if none is recorded."
    )
