"""The lines of an import by URL: each is valid or broken by itself."""

from typing import Any

import orjson
from pydantic import ValidationError

from image_api.http.validation import request_invalid
from image_api.imports.schemas import ImportLine
from image_api.operations.items import NewItem
from image_core import errors

MOST_LINES = 10_000
MOST_LINE_BYTES = 8 * 1024
MOST_BYTES = 10 * 1024 * 1024


def items_of(body: bytes) -> list[NewItem]:
    """Return an item for each line, so that an item's position is the number of its line.

    A broken line becomes an item that fails; so does an empty one between others.

    Raises:
        errors.TooManyLines: There are more lines than one import takes.
        errors.RequestInvalid: There is no line.
    """
    # No further than the limit: ten million empty lines would take nine times the memory of the body.
    lines = body.rstrip(b"\r\n").split(b"\n", MOST_LINES) if body.strip() else []
    if not lines:
        message = 'It is empty. Send one JSON object per line, such as {"url": "https://example.org/a.jpg"}.'
        raise errors.invalid_fields([{"field": "body", "code": "body-empty", "message": message}])
    if len(lines) > MOST_LINES:
        raise errors.TooManyLines(
            f"Too many lines: the limit is {MOST_LINES:,}. Send the others in another import.", limit=MOST_LINES
        )
    return [NewItem(payload=_payload(line)) for line in lines]


def _payload(line: bytes) -> dict[str, Any]:
    """Return what a line says, or why it is broken."""
    if len(line) > MOST_LINE_BYTES:
        return _broken(f"The line is too long: the limit is {MOST_LINE_BYTES // 1024} KiB.")
    try:
        return ImportLine.model_validate(orjson.loads(line)).model_dump(mode="json")
    except orjson.JSONDecodeError:
        return _broken('The line is no JSON object. Send one such as {"url": "https://example.org/a.jpg"}.')
    except ValidationError as error:
        problems = request_invalid(error.errors()).extra.get("errors", [])
        return _broken(" ".join(f"{problem['field']}: {problem['message']}" for problem in problems))


def _broken(detail: str) -> dict[str, Any]:
    return {"broken": detail[:1000]}
