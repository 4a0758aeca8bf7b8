"""What pydantic found wrong, as one error that names every field."""

from collections.abc import Iterable
from typing import Any

from image_core import errors


def request_invalid(found: Iterable[Any], skip: int = 0) -> errors.RequestInvalid:
    """The error for the items of a `ValidationError.errors()`; `skip` leaves out the first parts of each place."""
    return errors.invalid_fields(
        [
            {
                "field": ".".join(str(part) for part in each["loc"][skip:]) or str(each["loc"][0]),
                "code": each["type"],
                "message": each["msg"],
            }
            for each in found
        ]
    )
