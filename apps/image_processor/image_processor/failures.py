"""Classification of the errors that end a job early: whether to retry it, and whether the attempt counts."""

from enum import Enum

from image_core import errors
from image_core.db import REFUSED_VALUES, ForeignKeyViolation, ServerError, UniqueViolation
from image_engine.contract.rejections import WorkerInterrupted, WorkerUnavailable


class TransientFailure(Exception):
    """A failure that a retry may not meet, and that the picture did not cause."""


class Verdict(Enum):
    """The consequence of a job's failure for the job and for the claim's attempt."""

    GIVEN_BACK = "given-back"
    """The service failed: retry, and do not count the attempt."""
    COUNTED = "counted"
    """The picture may be the cause: retry, and count the attempt."""
    FINAL = "final"
    """The failure is permanent."""


# A concurrent transaction removed or added a row. That is not an error, but retries must be bounded.
_COUNTED = (WorkerInterrupted, ForeignKeyViolation, UniqueViolation)
# Running out of memory, descriptors, disk space or time is a failure of the machine.
_GIVEN_BACK = (errors.Unavailable, WorkerUnavailable, TransientFailure, OSError, MemoryError)


def judge(error: Exception) -> Verdict:
    """Return the verdict for the error that ended a job."""
    if isinstance(error, _COUNTED):
        return Verdict.COUNTED
    if isinstance(error, _GIVEN_BACK):
        return Verdict.GIVEN_BACK
    # A revoked grant, or a locked or missing table: anything but the values.
    if isinstance(error, ServerError) and not isinstance(error, REFUSED_VALUES):
        return Verdict.GIVEN_BACK
    return Verdict.FINAL
