"""Bodies of the credit operations."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from image_api.http.field_types import LINE, JsonInteger
from image_core.billing.credits import EntryKind, RefillMode, RefillPeriod

# Far enough below the column's maximum that no number of refills can reach it.
MAX_AMOUNT = 1_000_000_000_000

Amount = Annotated[JsonInteger, Field(ge=0, le=MAX_AMOUNT)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=LINE)]


class Schedule(BaseModel):
    """A recurring refill: daily at midnight, weekly on Monday or monthly on the first, in UTC."""

    model_config = ConfigDict(extra="forbid")

    amount: Amount
    mode: RefillMode = Field(description="`set` replaces the balance, `add` adds to it.")
    period: RefillPeriod


class ScheduledRefill(Schedule):
    """A recurring refill and its next date."""

    next_refill_at: datetime


class Credits(BaseModel):
    """Credits of a team."""

    team_id: UUID
    balance: int
    reserved: int
    low_threshold: int | None
    schedule: ScheduledRefill | None


class CreditsPatch(BaseModel):
    """JSON merge patch: absent fields stay as they are. A schedule is replaced as a whole."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"low_threshold": 100, "schedule": {"amount": 1000, "mode": "set", "period": "month"}}]
        },
    )

    low_threshold: Amount | None = Field(
        None,
        description="Balance below which `quota.low` is published, 0 to 10^12 credits. Null for never.",
    )
    schedule: Schedule | None = None


class Refill(BaseModel):
    """Change of a balance: exactly one of `set`, `add` and `subtract`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"add": 500, "reason": "April"}]})

    set: Amount | None = None
    add: Amount | None = None
    subtract: Amount | None = None
    reason: Reason | None = None

    @model_validator(mode="after")
    def _one_change(self) -> Self:
        if sum(value is not None for value in (self.set, self.add, self.subtract)) != 1:
            raise ValueError("send exactly one of `set`, `add` and `subtract`")
        return self

    @property
    def change(self) -> tuple[EntryKind, int]:
        """Return the kind of change and its amount."""
        given = {EntryKind.SET: self.set, EntryKind.ADD: self.add, EntryKind.SUBTRACT: self.subtract}
        return next((kind, amount) for kind, amount in given.items() if amount is not None)


class LedgerEntry(BaseModel):
    """One change of a balance."""

    id: UUID
    kind: EntryKind
    amount: int
    balance_after: int
    reservation_id: UUID | None
    operation: str | None
    reason: str | None
    actor_user_id: UUID | None
    created_at: datetime


class Refilled(BaseModel):
    """The new balance and its ledger entry."""

    balance: int
    entry: LedgerEntry


class LedgerPage(BaseModel):
    """A page of the ledger, newest first."""

    items: list[LedgerEntry]
    next_cursor: str | None
