"""The query parameters of an operation, derived from its route; any other parameter is rejected."""

import re
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from starlette.datastructures import QueryParams

from image_core import errors
from image_core.errors.nearest import nearest

_MAX_NAME_SHOWN = 64


@dataclass(frozen=True)
class QueryParameters:
    """The query parameters of an operation.

    Attributes:
        names: of every parameter; true if it may be repeated.
        prefixes: of names that a caller completes, such as `meta.`.
    """

    names: dict[str, bool]
    prefixes: tuple[str, ...]

    def check(self, query: QueryParams) -> None:
        """Reject unknown parameters and repeated ones that take a single value.

        Raises:
            errors.FilterUnknown: The parameter is unknown, and the operation filters a list.
            errors.ParameterUnknown: The parameter is unknown.
            errors.ParameterRepeated: The parameter is given twice.
        """
        seen = set()
        for name, _ in query.multi_items():
            if name.startswith(self.prefixes):
                continue
            if name not in self.names:
                raise self._unknown(name)
            if name in seen and not self.names[name]:
                raise errors.ParameterRepeated(f"The parameter {name!r} is repeated. Send it once.", field=name)
            seen.add(name)

    def _unknown(self, name: str) -> errors.Invalid:
        suggestion, shown = nearest(name, self.names) or self._completed(name), name[:_MAX_NAME_SHOWN]
        taken = ", ".join([*self.names, *(f"{prefix}…" for prefix in self.prefixes)])
        hint = (
            f"Did you mean {suggestion!r}?"
            if suggestion
            else f"Send one of: {taken}."
            if taken
            else "This operation has no parameters."
        )
        if self.prefixes:
            return errors.FilterUnknown(f"Unknown filter {shown!r}. {hint}", field=shown, nearest=suggestion)
        return errors.ParameterUnknown(f"Unknown parameter {shown!r}. {hint}", field=shown, nearest=suggestion)

    def _completed(self, name: str) -> str | None:
        """Return `meta.country` for `metadata.country`."""
        stem, rest = re.fullmatch(r"([^.\[]*)(.*)", name[:_MAX_NAME_SHOWN], re.DOTALL).groups()  # type: ignore[union-attr]
        stems = {prefix[:-1] for prefix in self.prefixes}
        suggestion = nearest(stem, stems) or next((known for known in stems if stem.startswith(known)), None)
        return suggestion and suggestion + (rest or ".…")


def query_parameters_of(route: APIRoute) -> QueryParameters:
    """Return the parameters that a route declares or documents in `openapi_extra`."""
    found = documented((route.openapi_extra or {}).get("parameters", ()))
    return QueryParameters(dict(_declared(route.dependant)) | found.names, found.prefixes)


def documented(parameters: Iterable[dict[str, Any]]) -> QueryParameters:
    """Return the query parameters among OpenAPI parameters."""
    names, prefixes = {}, []
    for parameter in parameters:
        name = parameter["name"]
        if parameter.get("style") == "deepObject":
            prefixes += [f"{name}.", f"{name}["]
        elif parameter["in"] == "query":
            names[name] = parameter["schema"].get("type") == "array"
    return QueryParameters(names, tuple(prefixes))


def _declared(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    for field in dependant.query_params:
        info = field.field_info
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            for name, inner in info.annotation.model_fields.items():
                yield inner.alias or name, _is_list(inner)
        else:
            yield field.alias, _is_list(info)
    for inner_dependant in dependant.dependencies:
        yield from _declared(inner_dependant)


def _is_list(info: FieldInfo) -> bool:
    return any(typing.get_origin(option) is list for option in _alternatives(info.annotation))


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if is_union else (annotation,)
