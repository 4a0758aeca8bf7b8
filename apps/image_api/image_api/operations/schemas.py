"""Response bodies of operations."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from image_core.states import OperationStatus

_ID = "0199c0de-0000-7000-8000-00000000000d"


class StartedOperation(BaseModel):
    """An operation that has been accepted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"operation_id": _ID}]})

    operation_id: UUID = Field(description="ID of the operation, of `GET /api/v1/operations/{operation_id}`.")


class OperationEstimate(BaseModel):
    """What an operation was expected to take, when its items were counted."""

    items: int = Field(description="Number of items found so far.")
    bytes: int = Field(description="Total size of the files.")
    credits: int = Field(description="Price of the analyses that are not stored yet.")
    minutes: int | None = Field(description="Null while its items are being found.")


class OperationFailure(BaseModel):
    """Why an operation could not go on."""

    code: str = Field(description="Error code, such as `budget-exhausted`.")
    detail: str = Field(description="What happened, and what to do.")


class Operation(BaseModel):
    """Work that takes long, item by item."""

    id: UUID = Field(description="ID of the operation.")
    team_id: UUID | None = Field(description="Team to which it is limited. Null for work on the whole platform.")
    kind: str = Field(description="What it does, such as `batch`.")
    status: OperationStatus = Field(
        description="`estimating` while its items are found, then `running`. It ends as `succeeded` when every item was"
        " tried, however many failed; as `failed` when it could not go on; or as `cancelled`."
    )
    parameters: dict[str, Any] = Field(description="What was asked for.")
    total: int | None = Field(description="Number of items. Null while they are found.")
    done: int = Field(description="Number of items that were done, as of at most a few seconds ago.")
    failed: int = Field(description="Number of items that failed; see `failures`.")
    left: int | None = Field(
        description="Number of items that were neither done nor failed. After the end, they were never begun. Null"
        " while items are found."
    )
    estimate: OperationEstimate = Field(description="What it was expected to take when its items were counted.")
    budget: int | None = Field(description="Credits that it may spend. Null for no limit.")
    credits_spent: int = Field(description="Credits that its items have cost.")
    failure: OperationFailure | None = Field(description="Why its status is `failed`, and else null.")
    created_by: UUID | None = Field(description="ID of the user who asked for it. Null if the user was removed.")
    created_at: datetime = Field(description="Time at which it was asked for, in UTC.")
    started_at: datetime | None = Field(description="When its items were known. Null before that.")
    finished_at: datetime | None = Field(
        description="When nothing of it was in progress any more: what had begun before a cancellation is finished."
        " Null before that."
    )


class OperationPage(BaseModel):
    """A page of operations, newest first."""

    items: list[Operation] = Field(description="The operations of the page.")
    next_cursor: str | None
