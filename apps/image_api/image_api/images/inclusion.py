"""The parameter `include`: what callers may request in addition to an image."""

from starlette.datastructures import QueryParams

from image_core import errors

INCLUDABLE = ("facts", "metadata", "derivatives", "analyses", "delivery")
INCLUDE_PARAMETER = {
    "name": "include",
    "in": "query",
    "required": False,
    "schema": {"type": "array", "items": {"type": "string", "enum": list(INCLUDABLE)}},
    "description": "What to include in the response. `facts`: facts, format, SHA-256, `duplicate_of` and `ready_at`."
    " `metadata`: metadata. `derivatives`: derivatives. `analyses`: stored results. `delivery`: the tag and the"
    " delivery addresses for pages, signed for a week. A single image always has the first three.",
}


def parse_include(query: QueryParams) -> tuple[str, ...]:
    """Return what to include with an image or with each image of a list.

    Raises:
        errors.RequestInvalid: The value is not one of those allowed.
    """
    requested = tuple(dict.fromkeys(name for value in query.getlist("include") for name in value.split(",")))
    if unknown := [name for name in requested if name not in INCLUDABLE]:
        message = f"{unknown[0][:64]!r} cannot be included. Send one of: {', '.join(INCLUDABLE)}."
        raise errors.invalid_fields([{"field": "include", "code": "enum", "message": message}])
    return requested
