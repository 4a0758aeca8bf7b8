"""The sidebar of the list of images: fields for its filters, the filters that are set, and counted values."""

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import orjson
from fastapi import Request

from image_api.actor import Actor
from image_api.console.pages.images.field_filters import FieldFilter, filter_of
from image_api.console.pages.images.sheets import FACET, OTHERS, Sheet, list_address
from image_api.listing import facets
from image_api.listing.filters.metadata import PREFIX
from image_api.listing.filters.query_string import parse_all
from image_api.listing.orders import NEWEST_FIRST
from image_api.listing.schemas import ListedType, Orientation
from image_api.metadata_schemas.rules import Declared
from image_api.metadata_schemas.schemas import NUMBERS, FieldType
from image_api.services import Services
from image_core.states import Visibility

STATUSES = {
    "ready": "Ready",
    "processing": "In processing",
    "stored": "Waiting for processing",
    "pending": "Being uploaded",
    "failed": "Failed",
    "trashed": "In the trash",
}
ORDERS = {
    "": "Newest uploads first",
    "created_at": "Oldest uploads first",
    "taken_at desc": "Latest photographs first",
    "taken_at": "Earliest photographs first",
    "filename": "Filename from A to Z",
    "filename desc": "Filename from Z to A",
}
HAS = {"location": "A place", "taken_at": "A time", "description": "A description", "alt_text": "Alternative text"}
VISIBILITIES = {each.value: each.value.capitalize() for each in Visibility}
ORIENTATIONS = {each: each.capitalize() for each in get_args(Orientation)}
MOST_VALUES = 20
"""How many values of a field are shown, the most frequent ones."""
_NOT_FILTERS = frozenset({"team_id", "order_by", "limit", "include_total", "view"})
_TYPES = [(each, "All pictures" if each == "image/*" else each) for each in get_args(get_args(ListedType)[0])]
# Name of each input, and its label; two make a range.
_RANGES: list[tuple[str, str, tuple[str, str], tuple[str, str]]] = [
    ("Taken", "date", ("taken_after", "from"), ("taken_before", "before")),
    ("Uploaded", "date", ("created_after", "from"), ("created_before", "before")),
    ("Rating", "number", ("min_rating", "from"), ("max_rating", "to")),
    ("Width", "number", ("min_width", "from"), ("max_width", "to")),
    ("Height", "number", ("min_height", "from"), ("max_height", "to")),
    ("Bytes", "number", ("min_size", "from"), ("max_size", "to")),
]


class Chip(NamedTuple):
    """A filter that is set, and the address of the list without it."""

    text: str
    address: str


class FacetValue(NamedTuple):
    """A value of a field, the number of images that have it, and the address that selects them, or no longer does."""

    text: str
    number: int
    address: str
    is_chosen: bool


class Facet(NamedTuple):
    """A field whose values can be counted; `values` is null until somebody asks, at `address`."""

    field: str
    label: str
    address: str
    values: list[FacetValue] | None


def _fields(declared: Declared, kept: Sequence[tuple[str, str]]) -> list[FieldFilter]:
    """Return the fields of the form, filled in by the address."""
    given = dict(kept)

    def one(label: str, name: str, kind: str, options: list[tuple[str, str]]) -> FieldFilter:
        # Another tag is added to those that are chosen.
        value = "" if name == "tag" else given.get(name, "")
        return FieldFilter(label, [(name, label, value)], kind, options, None)

    ranges = [
        FieldFilter(label, [(name, f"{label} {side}", given.get(name, "")) for name, side in sides], kind, [], None)
        for label, kind, *sides in _RANGES
    ]
    return [
        one("Another tag" if "tag" in given else "Tag", "tag", "search", []),
        *ranges[:3],
        one("Camera", "camera", "search", []),
        one("Lens", "lens", "search", []),
        one("Type", "content_type", "select", [("", "Any"), *_TYPES]),
        one("Orientation", "orientation", "select", [("", "Any"), *ORIENTATIONS.items()]),
        one("Visibility", "visibility", "select", [("", "Any"), *VISIBILITIES.items()]),
        *ranges[3:],
        # The values of the others are counted.
        *(filter_of(field, kept) for field in declared.values() if not _is_counted(field.type)),
    ]


def _is_counted(kind: FieldType) -> bool:
    return kind not in NUMBERS and kind is not FieldType.DATE


def _label_of(name: str, labels: dict[str, str], declared: Declared) -> str:
    if name in labels:
        return labels[name]
    field = name.removeprefix(PREFIX)
    return _in_words(field) if field in declared else name


def _in_words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _chips(sheet: Sheet, fields: Sequence[FieldFilter], declared: Declared) -> list[Chip]:
    labels = {name: label for field in fields for name, label, _ in field.inputs}
    labels |= {"q": "Words", "status": "Status", "tag": "Tag", "has": "Has"}
    texts = {"status": STATUSES, "has": HAS, "orientation": ORIENTATIONS, "visibility": VISIBILITIES}
    chips = []
    for at, (name, value) in enumerate(sheet.kept):
        if name not in _NOT_FILTERS:
            text = f"{_label_of(name, labels, declared)}: {texts.get(name, {}).get(value, value)}"
            chips.append(Chip(text, list_address([*sheet.kept[:at], *sheet.kept[at + 1 :]])))
    return chips


async def _facets(request: Request, services: Services, actor: Actor, declared: Declared, sheet: Sheet) -> list[Facet]:
    """Return the fields whose values can be counted, with those of the one that the address asks for."""
    asked = request.query_params.get(FACET)
    found = []
    for name, field in declared.items():
        if _is_counted(field.type):
            others = [pair for pair in sheet.kept if pair[0] != f"{PREFIX}{name}"]
            values = await _count(request, services, actor, name, sheet, others) if name == asked else None
            found.append(Facet(name, _in_words(name), list_address([*sheet.kept, (FACET, name)]), values))
    return found


async def _count(
    request: Request, services: Services, actor: Actor, name: str, sheet: Sheet, others: list[tuple[str, str]]
) -> list[FacetValue]:
    _, on_metadata, on_results = parse_all(request.query_params, OTHERS)
    # Other values are counted as if none of them were chosen.
    kept = [each for each in on_metadata if each.name != name]
    facet = await facets.count_values(services.database, actor, name, MOST_VALUES, sheet.filters, kept, on_results)
    chosen = {value for key, value in sheet.kept if key == f"{PREFIX}{name}"}
    return [_value(each, name, others, chosen) for each in facet.values]


def _value(counted: facets.FacetValue, name: str, others: list[tuple[str, str]], chosen: set[str]) -> FacetValue:
    text = counted.value if isinstance(counted.value, str) else orjson.dumps(counted.value).decode()
    is_chosen = text in chosen
    address = list_address(others if is_chosen else [*others, (f"{PREFIX}{name}", text)])
    return FacetValue({"true": "Yes", "false": "No"}.get(text, text), counted.count, address, is_chosen)


async def sidebar(
    request: Request, services: Services, actor: Actor, declared: Declared, sheet: Sheet, *, is_of_team: bool
) -> dict[str, Any]:
    """Return what `images_filters.html` shows. `declared` are the fields of the team, if the list is of one."""
    fields, filters = _fields(declared, sheet.kept), sheet.filters
    chips = _chips(sheet, fields, declared)
    named = {"q", "status", "has", *({"order_by"} if is_of_team else ())}
    named |= {name for field in fields for name, _, _ in field.inputs} - {"tag"}
    return {
        "fields": fields, "chips": chips, "facets": await _facets(request, services, actor, declared, sheet),
        "q": filters.q or "", "statuses": [("", "All but the trash"), *STATUSES.items()],
        "status": filters.status[0] if len(filters.status) == 1 else "",
        "orders": ORDERS.items() if is_of_team else (),
        "order": "" if filters.order_by == str(NEWEST_FIRST) else filters.order_by or "",
        "has": [(value, text, value in filters.has) for value, text in HAS.items()],
        "others": [(name, value) for name, value in sheet.kept if name not in named],
        "is_filtered": bool(chips), "facet_asked": FACET in request.query_params,
    }  # fmt: skip
