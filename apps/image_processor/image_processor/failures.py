"""Whose failure it is that ends a job early, and what therefore becomes of the claim's attempt."""

from enum import Enum

from image_core import errors
from image_core.db import REFUSED_VALUES, ForeignKeyViolation, ServerError, UniqueViolation
from image_engine.contract.rejections import WorkerInterrupted, WorkerUnavailable


class Passing(Exception):
    """Something that another try may not meet, and that the picture did not cause."""


class Verdict(Enum):
    """What becomes of a job that ended early, and of the attempt that its claim took."""

    GIVEN_BACK = "given-back"
    """The service failed: tried again, and the attempt does not count."""
    COUNTED = "counted"
    """The picture may be the cause: tried again, and the attempt counts."""
    FINAL = "final"
    """The same would happen each time."""


# Another transaction removed or added a row meanwhile. That is no fault, yet nothing may be tried without end.
_COUNTED = (WorkerInterrupted, ForeignKeyViolation, UniqueViolation)
# No memory, no descriptor, no disk and no time left are the machine's failures.
_GIVEN_BACK = (errors.Unavailable, WorkerUnavailable, Passing, OSError, MemoryError)


def judge(error: Exception) -> Verdict:
    """Tell what becomes of a job that this error ended."""
    if isinstance(error, _COUNTED):
        return Verdict.COUNTED
    if isinstance(error, _GIVEN_BACK):
        return Verdict.GIVEN_BACK
    # A grant that was revoked, a table that is locked or missing: anything but the values.
    if isinstance(error, ServerError) and not isinstance(error, REFUSED_VALUES):
        return Verdict.GIVEN_BACK
    return Verdict.FINAL
