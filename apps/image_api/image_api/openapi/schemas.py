"""Schemas of the OpenAPI document that no route declares."""

from typing import Any

from image_api.analyses.schemas import NewClassification
from image_api.openapi.descriptions import PARAMETERS, PROPERTIES, SPECIAL, WHEN_NULL

_FIELD_ERROR = {
    "type": "object",
    "title": "FieldError",
    "description": "Error in one field of the request.",
    "required": ["field", "code", "message"],
    "properties": {
        "field": {"type": "string", "description": "Name of the field; nested names are joined with dots."},
        "code": {"type": "string", "description": "Type of the error, for programs."},
        "message": {"type": "string", "description": "What is wrong, and what to send instead."},
    },
}
_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "Error as an RFC 9457 problem. Some codes add members; `GET /errors/{code}` explains them.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {
            "type": "string",
            "examples": ["/errors/image-not-found"],
            "description": "URL of the page that explains the code.",
        },
        "title": {"type": "string", "description": "What the code means, the same for every occurrence."},
        "status": {"type": "integer", "description": "HTTP status code of the response."},
        "detail": {"type": "string", "description": "What is wrong with this request, and what to do."},
        "code": {"type": "string", "examples": ["image-not-found"], "description": "Stable error code for programs."},
        "request_id": {
            "type": ["string", "null"],
            "description": "ID of the request in the service's logs, as in the header `X-Request-ID`. Null if unknown.",
        },
        "errors": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/FieldError"},
            "description": "Every invalid field of the request.",
        },
    },
    "additionalProperties": True,
}  # fmt: skip


def complete_schemas(schemas: dict[str, Any]) -> None:
    """Add schemas that routes do not declare, and complete those they leave open."""
    # The framework's description of validation errors does not match our responses.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["FieldError"], schemas["Problem"] = _FIELD_ERROR, _PROBLEM
    schemas["NewClassification"] = NewClassification.model_json_schema()
    for name in ("Image", "ListedImage", "UploadedImage"):
        # Analyses are a layer above images, so the model of an image cannot refer to theirs.
        schemas[name]["properties"]["analyses"]["anyOf"][0]["items"] = {"$ref": "#/components/schemas/StoredAnalysis"}
    for name, schema in schemas.items():
        for field, schema_of_field in schema.get("properties", {}).items():
            schema_of_field.setdefault("description", _describe_property(name, field, schema_of_field))


def _describe_property(model: str, name: str, schema: dict[str, Any]) -> str | None:
    """Return the description of a property that has none of its own, or None for an unknown name."""
    if special := SPECIAL.get(f"{model}.{name}"):
        return special
    shared = PROPERTIES.get(name)
    return f"{shared} {WHEN_NULL[name]}" if shared and is_nullable(schema) and name in WHEN_NULL else shared


def is_nullable(schema: dict[str, Any]) -> bool:
    """Return whether a schema allows null."""
    types = schema.get("type", ())
    return "null" in ([types] if isinstance(types, str) else types) or any(map(is_nullable, schema.get("anyOf", ())))


def describe_parameters(operation: dict[str, Any]) -> None:
    """Describe parameters that have no description of their own, and name bounds as JSON Schema does."""
    for parameter in operation.get("parameters", ()):
        parameter.setdefault("description", PARAMETERS.get(parameter["name"]))
        for schema in (parameter["schema"], *parameter["schema"].get("anyOf", ())):
            # Pydantic writes bounds behind a validator under its own names.
            for name, standard in (("ge", "minimum"), ("le", "maximum")):
                if name in schema:
                    schema[standard] = schema.pop(name)
