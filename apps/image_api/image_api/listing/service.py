"""The rules of lists of images: the conditions of a caller's filters, and how a page is found."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from image_api.actor import Actor
from image_api.http.pagination import decode_cursor
from image_api.images.columns import INCLUDED_COLUMNS
from image_api.listing import queries
from image_api.listing.metadata_filters import MetadataFilter, condition
from image_api.listing.metadata_terms import team_term
from image_api.listing.result_filters import ResultCondition
from image_api.listing.schemas import ImageFilters
from image_api.metadata_schemas import service as metadata_schemas
from image_api.metadata_schemas.rules import Declared
from image_core.capture.areas import Area, Circle
from image_core.capture.place_cells import MAX_RANGES
from image_core.db import Record, Runner
from image_core.images import filenames

_NOT_CONDITIONS = ("limit", "cursor", "include_total", "status", "tag", "q", "content_type", "has", "near", "bbox")


def _conditions(actor: Actor, filters: ImageFilters) -> tuple[set[str], dict[str, Any]]:
    values: dict[str, Any] = {
        name: value for name, value in filters if value is not None and name not in _NOT_CONDITIONS
    }
    names = set(values)
    if not actor.is_admin:
        # A filter on another team finds nothing, as if that team were empty.
        if filters.team_id not in (None, actor.team_id):
            names.add("nothing")
        names.add("team_id")
        values["team_id"] = actor.team_id
    if filters.tag:
        values |= _tag_values(filters.tag)
        names |= {name for name in values if name.startswith("tag")}
    if filters.q:
        names.add("q")
        values["q"] = f"%{filters.q.translate({ord(c): chr(92) + c for c in chr(92) + '%_'})}%"
    if filters.content_type not in (None, "image/*"):
        names.add("content_type")
        values["content_type"] = filters.content_type
    names |= {f"has_{name}" for name in filters.has}
    for name, area in (("near", filters.near), ("bbox", filters.bbox)):
        if area is not None:
            names.add(name)
            values |= area_values(name, area)
    for_status, statuses = _status_condition(set(filters.status))
    return names | for_status, values | statuses


def _status_condition(selected: set[str]) -> tuple[set[str], dict[str, Any]]:
    if not selected:
        return {"not_trashed", "not_expired"}, {}
    states = sorted(selected - {"trashed"})
    if not states:
        return {"trashed"}, {}
    if "trashed" in selected:
        return {"status_or_trashed"}, {"statuses": states}
    # A single status has its own statement: an index returns its images in the order of the list.
    return (
        ({"not_trashed", "status"}, {"status": states[0]})
        if len(states) == 1
        else ({"not_trashed", "statuses"}, {"statuses": states})
    )


def area_values(name: str, area: Circle | Area) -> dict[str, Any]:
    """Return the values of an area's condition: its numbers, and always the same number of ranges of cells."""
    ranges = area.ranges()
    ranges += ranges[-1:] * (MAX_RANGES - len(ranges))
    cells = {f"{name}_{side}_{n}": each[at] for n, each in enumerate(ranges) for at, side in enumerate(("low", "high"))}
    return cells | {f"{name}_{part}": value for part, value in area._asdict().items()}


def _tag_values(tags: Sequence[str]) -> dict[str, list[str]]:
    forms = [filenames.normal_forms(tag) for tag in tags]
    unambiguous = [tag for (tag, *others) in forms if not others]
    ambiguous = (tag_forms for tag_forms in forms if len(tag_forms) > 1)
    groups = {f"tag_{number}": tag_forms for number, tag_forms in enumerate(ambiguous)}
    return ({"tag": unambiguous} if unambiguous else {}) | groups


async def list_images(
    runner: Runner,
    actor: Actor,
    filters: ImageFilters,
    on_metadata: Sequence[MetadataFilter],
    on_results: Sequence[ResultCondition],
    included: Collection[str] = (),
) -> tuple[list[Record], int | None]:
    """Return a page of images plus one extra row, if there are more, and the number of all matches if requested.

    The rows have the columns of what is `included`.

    Raises:
        errors.FilterUnknown: The filter does not exist.
        errors.FilterInvalid: The filter is not valid.
    """
    names, values = await conditions(runner, actor, filters, on_metadata, on_results)
    total = await queries.count(runner, frozenset(names), values) if filters.include_total else None
    if filters.cursor is not None:
        cursor = decode_cursor(filters.cursor)
        names.add("cursor")
        values |= {"cursor_at": cursor.created_at, "cursor_id": cursor.row_id}
    values, columns = {"limit": filters.limit + 1, **values}, frozenset(INCLUDED_COLUMNS.keys() & set(included))
    if "terms" not in names:
        return await queries.page(runner, frozenset(names), values, columns), total
    without_terms = frozenset(name for name in names if not name.startswith("terms"))
    rows = await queries.page_near(runner, without_terms, values, columns)
    if len(rows) <= filters.limit:
        # Older images may match as well; terms find them however rare they are.
        rows = await queries.page_by_terms(runner, frozenset(names), values, columns)
    return rows, total


async def conditions(
    runner: Runner,
    actor: Actor,
    filters: ImageFilters,
    on_metadata: Sequence[MetadataFilter],
    on_results: Sequence[ResultCondition],
) -> tuple[set[str], dict[str, Any]]:
    """Return the conditions of all filters by name, and their values.

    Raises:
        errors.FilterUnknown: The filter does not exist.
        errors.FilterInvalid: The filter is not valid.
    """
    names, values = _conditions(actor, filters)
    for number, on_result in enumerate(on_results):
        names.add(f"result_{number}")
        values |= {f"analyzer_{number}": on_result.analyzer, f"result_path_{number}": on_result.path}
    if on_metadata:
        team_id = values.get("team_id")
        metadata_condition = condition(on_metadata, await find_schemas(runner, team_id))
        names.add("metadata")
        values["metadata_path"] = metadata_condition.path
        if metadata_condition.terms or metadata_condition.groups:
            names |= {"terms", *(f"terms_{number}" for number in range(len(metadata_condition.groups)))}
            values |= {f"terms_{number}": group for number, group in enumerate(metadata_condition.groups)}
            values["terms"] = (
                metadata_condition.terms if team_id is None else [team_term(team_id), *metadata_condition.terms]
            )
    return names, values


async def find_schemas(runner: Runner, team_id: UUID | None) -> list[Declared]:
    """Return the schemas that apply to filters: the team's, or without a team those of all teams."""
    if team_id is None:
        return await metadata_schemas.fields_of_all_teams(runner)
    return [await metadata_schemas.declared_fields(runner, team_id)]
