"""JSON from callers: its reader limits the size, this module limits its shape before anything validates it."""

import json
from itertools import chain
from typing import Any

from image_core import errors

MAX_MEMBERS = 200
"""Maximum number of members of one object. The largest documented object is a patch of 100 metadata entries."""
MAX_NAME_LENGTH = 256
MAX_DEPTH = 16
MAX_VALUES = 2_000
"""Maximum number of objects and numbers in a document, and of arrays. The largest body is a schema of 50 fields."""
MAX_NUMBER_LENGTH = 400
"""Longer than the longest double: -1.7976931348623157e+308 written out has 310 characters."""


def parse(text: bytes | str, field: str = "body", example: str = "") -> Any:
    """Return the value of a JSON text.

    The error names `field` and may show an example.

    Raises:
        errors.RequestInvalid: The text is not acceptable JSON.
    """
    reader = _Reader()
    try:
        value = json.loads(
            text,
            object_pairs_hook=reader.object,
            parse_int=reader.integer,
            parse_float=reader.float,
            parse_constant=_refuse_constant,
        )
        _check_nesting(value)
    except _JsonRejected as rejected:
        raise _invalid(field, rejected.code, str(rejected)) from None
    except RecursionError:
        raise _invalid(field, "json-too-deep", _TOO_DEEP) from None
    except ValueError as error:
        position = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        remedy = f". Send {example}" if example else position
        raise _invalid(field, "json_invalid", f"Not valid JSON{remedy}.") from None
    return value


class _JsonRejected(Exception):
    """JSON whose shape is not accepted; the message is for the caller."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


_TOO_DEEP = f"JSON nested too deeply: the limit is {MAX_DEPTH} levels."
_TOO_MANY = f"JSON too large: the limit is {MAX_VALUES} objects and numbers, and as many arrays."


def _invalid(field: str, code: str, message: str) -> errors.RequestInvalid:
    return errors.invalid_fields([{"field": field, "code": code, "message": message}])


class _Reader:
    """Builds the objects and numbers of a document while it is parsed, so that an extreme one fails early."""

    def __init__(self) -> None:
        self._count = 0

    def object(self, members: list[tuple[str, Any]]) -> dict[str, Any]:
        self._count_value()
        if len(members) > MAX_MEMBERS:
            counts = f"{MAX_MEMBERS} members, and one has {len(members)}"
            raise _JsonRejected("json-too-many-members", f"Object too large: the limit is {counts}.")
        found = dict(members)
        if len(found) < len(members):
            raise _JsonRejected(
                "json-name-repeated", "An object has two members with the same name. Send each name once."
            )
        if any(len(name) > MAX_NAME_LENGTH for name in found):
            raise _JsonRejected(
                "json-name-too-long", f"Member name too long: the limit is {MAX_NAME_LENGTH} characters."
            )
        return found

    def integer(self, digits: str) -> int:
        self._check_number(digits)
        return int(digits)

    def float(self, digits: str) -> float:
        self._check_number(digits)
        return float(digits)

    def _check_number(self, digits: str) -> None:
        self._count_value()
        if len(digits) > MAX_NUMBER_LENGTH:
            raise _JsonRejected(
                "json-number-too-long", f"Number too long: the limit is {MAX_NUMBER_LENGTH} characters."
            )

    def _count_value(self) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            raise _JsonRejected("json-too-many-values", _TOO_MANY)


def _refuse_constant(name: str) -> Any:
    raise _JsonRejected("json_invalid", f"Not valid JSON: {name} is not a JSON number.")


def _check_nesting(value: Any) -> None:
    """Walk through containers level by level, no further than the limits."""
    level, count = [value] if isinstance(value, dict | list) else [], 0
    for _ in range(MAX_DEPTH):
        count += len(level)
        if count > MAX_VALUES:
            raise _JsonRejected("json-too-many-values", _TOO_MANY)
        inside = chain.from_iterable(
            container.values() if isinstance(container, dict) else container for container in level
        )
        level = [container for container in inside if isinstance(container, dict | list)]
        if not level:
            return
    raise _JsonRejected("json-too-deep", _TOO_DEEP)
