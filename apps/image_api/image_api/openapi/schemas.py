"""The schemas of the OpenAPI document that no route names as its own."""

from typing import Any

from image_api.analyses.schemas import NewClassification
from image_api.openapi.descriptions import PARAMETERS, PROPERTIES, SPECIAL

_FIELD_ERROR = {
    "type": "object",
    "title": "FieldError",
    "description": "What is wrong with one field.",
    "required": ["field", "code", "message"],
    "properties": {
        "field": {"type": "string", "description": "The field's name, with dots between the levels."},
        "code": {"type": "string", "description": "What kind of fault it is."},
        "message": {"type": "string", "description": "What is wrong, and what would be right."},
    },
}
_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457. Some codes come with more members, which docs/errors.md names.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {
            "type": "string", "examples": ["/errors/image-not-found"], "description": "The page that explains the code."
        },
        "title": {"type": "string", "description": "The code in words."},
        "status": {"type": "integer", "description": "The answer's status."},
        "detail": {"type": "string", "description": "What is wrong here, and what to do."},
        "code": {"type": "string", "examples": ["image-not-found"], "description": "For programs; it does not change."},
        "request_id": {"type": ["string", "null"], "description": "Names this request in our logs."},
        "errors": {
            "type": "array", "items": {"$ref": "#/components/schemas/FieldError"}, "description": "Field by field."
        },
    },
    "additionalProperties": True,
}  # fmt: skip


def complete_schemas(schemas: dict[str, Any]) -> None:
    """Add what routes do not name, and name what they leave open."""
    # What the framework says of a validation error is not what is answered here.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["FieldError"], schemas["Problem"] = _FIELD_ERROR, _PROBLEM
    schemas["NewClassification"] = NewClassification.model_json_schema()
    for name in ("Image", "UploadedImage"):
        # Analyses stand above images, so that the model of an image cannot name theirs.
        schemas[name]["properties"]["analyses"]["anyOf"][0]["items"] = {"$ref": "#/components/schemas/StoredAnalysis"}
    for name, schema in schemas.items():
        for field, described in schema.get("properties", {}).items():
            described.setdefault("description", SPECIAL.get(f"{name}.{field}", PROPERTIES.get(field)))


def describe_parameters(operation: dict[str, Any]) -> None:
    """Describe the parameters that do not say anything of their own, and name bounds as JSON Schema does."""
    for parameter in operation.get("parameters", ()):
        parameter.setdefault("description", PARAMETERS.get(parameter["name"]))
        for schema in (parameter["schema"], *parameter["schema"].get("anyOf", ())):
            # Pydantic writes the bounds that stand behind a validator under its own names.
            for name, standard in (("ge", "minimum"), ("le", "maximum")):
                if name in schema:
                    schema[standard] = schema.pop(name)
