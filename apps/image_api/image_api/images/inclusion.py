"""What callers may ask to see beside an image, by `include`."""

from starlette.datastructures import QueryParams

from image_core import errors

_INCLUDABLE = ("analyses",)
INCLUDE_PARAMETER = {
    "name": "include",
    "in": "query",
    "required": False,
    "schema": {"type": "array", "items": {"type": "string", "enum": list(_INCLUDABLE)}},
    "description": "What to include in the response. `analyses`: stored results for the image.",
}


def parse_include(query: QueryParams) -> tuple[str, ...]:
    """What shall be shown beside an image. Raises `errors.RequestInvalid`."""
    asked = tuple(dict.fromkeys(name for value in query.getlist("include") for name in value.split(",")))
    if unknown := [name for name in asked if name not in _INCLUDABLE]:
        message = f"{unknown[0][:64]!r} cannot be included. Send one of: {', '.join(_INCLUDABLE)}."
        raise errors.invalid_fields([{"field": "include", "code": "enum", "message": message}])
    return asked
