"""Which conditions a caller's filters become, and their values."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from image_api.actor import Actor
from image_api.listing.filters.metadata import MetadataFilter, condition
from image_api.listing.filters.metadata_terms import team_term
from image_api.listing.filters.results import ResultCondition
from image_api.listing.filters.search import search_conditions
from image_api.listing.schemas import ImageFilters
from image_api.metadata_schemas import service as metadata_schemas
from image_api.metadata_schemas.rules import Declared
from image_core.capture.areas import Area, Circle
from image_core.capture.place_cells import MAX_RANGES
from image_core.db import Runner
from image_core.images import filenames
from image_core.states import ImageStatus

_NOT_CONDITIONS = (
    "limit", "cursor", "order_by", "include_total", "status", "tag", "q", "content_type", "has", "near", "bbox",
    "orientation",
)  # fmt: skip


def _of_columns(actor: Actor, filters: ImageFilters) -> tuple[set[str], dict[str, Any]]:
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
    if filters.content_type not in (None, "image/*"):
        names.add("content_type")
        values["content_type"] = filters.content_type
    names |= {f"has_{name}" for name in filters.has}
    if filters.orientation is not None:
        names.add(filters.orientation)
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
    # Said even where it follows, since the indexes of a list's orders have no expired uploads.
    names = {"not_trashed"} if ImageStatus.EXPIRED in states else {"not_trashed", "not_expired"}
    # A single status has its own statement: an index returns its images in the order of the list.
    return (
        (names | {"status"}, {"status": states[0]})
        if len(states) == 1
        else (names | {"statuses"}, {"statuses": states})
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
    names, values = _of_columns(actor, filters)
    if filters.q:
        searched = await search_conditions(runner, values.get("team_id"), filters.q)
        names |= searched.keys()
        values |= searched
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
