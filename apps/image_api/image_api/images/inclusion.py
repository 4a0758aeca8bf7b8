"""The parameter `include`: what callers may request in addition to an image."""

from starlette.datastructures import QueryParams

from image_core import errors

_INCLUDABLE = ("analyses", "delivery")
INCLUDE_PARAMETER = {
    "name": "include",
    "in": "query",
    "required": False,
    "schema": {"type": "array", "items": {"type": "string", "enum": list(_INCLUDABLE)}},
    "description": "What to include in the response. `analyses`: stored results for the image. `delivery`:"
    " delivery addresses for pages, signed for a week.",
}


def parse_include(query: QueryParams) -> tuple[str, ...]:
    """Return what to include with an image.

    Raises:
        errors.RequestInvalid: The value is not one of those allowed.
    """
    requested = tuple(dict.fromkeys(name for value in query.getlist("include") for name in value.split(",")))
    if unknown := [name for name in requested if name not in _INCLUDABLE]:
        message = f"{unknown[0][:64]!r} cannot be included. Send one of: {', '.join(_INCLUDABLE)}."
        raise errors.invalid_fields([{"field": "include", "code": "enum", "message": message}])
    return requested
