"""The conditions of lists of images in SQL, by name; values are bind parameters."""

from collections.abc import Iterable

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    Double,
    Text,
    and_,
    bindparam,
    case,
    cast,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONPATH

from image_api.listing.filters.metadata import MAX_FILTERS
from image_api.listing.schemas import MAX_TAG_FILTERS
from image_core.analyses.catalogue import CATALOGUE
from image_core.capture.place_cells import EARTH_RADIUS_METRES, MAX_RANGES
from image_core.models import analysis, image, team
from image_core.states import ImageStatus

_TEXTS = ARRAY(Text)
_terms = func.image_terms(image.c.team_id, image.c.metadata, type_=_TEXTS)


def _result_holds(number: int) -> ColumnElement[bool]:
    """Return whether the newest result of an analyzer matches a path; a missing result matches like an empty one."""
    newest = (
        select(analysis.c.result)
        .where(
            analysis.c.team_id == image.c.team_id,
            analysis.c.sha256 == image.c.sha256,
            analysis.c.analyzer == bindparam(f"analyzer_{number}"),
            # A literal, because the index covers what has not failed, which no parameter can guarantee.
            analysis.c.status == literal_column("'done'"),
        )
        .order_by(analysis.c.analyzed_at.desc())
        .limit(1)
        .correlate(image)
        .scalar_subquery()
    )
    known = func.coalesce(newest, literal_column("'{}'::jsonb"))
    path = bindparam(f"result_path_{number}", type_=JSONPATH)
    # The operator `@@` is equivalent, but the planner considers matches so rare that it sorts the whole team.
    return func.jsonb_path_match(known, path, literal_column("'{}'::jsonb"), true(), type_=Boolean)


def _degrees(name: str) -> ColumnElement[float]:
    return cast(image.c.facts.op("#>>")(literal_column(f"'{{location,{name}}}'")), Double)


_latitude, _longitude = _degrees("latitude"), _degrees("longitude")


def _number(name: str) -> ColumnElement[float]:
    return bindparam(name, type_=Double)


def _in_cells(area: str) -> ColumnElement[bool]:
    """Return whether the place lies in one of the ranges of cells that cover an area, which an index finds."""
    return or_(
        *(
            image.c.location_cell.between(bindparam(f"{area}_low_{n}"), bindparam(f"{area}_high_{n}"))
            for n in range(MAX_RANGES)
        )
    )


def _is_near() -> ColumnElement[bool]:
    """Return whether the place lies within a distance, by the haversine formula on a sphere."""
    up, other_up = func.radians(_latitude), func.radians(_number("near_latitude"))
    half_up, half_across = (other_up - up) / 2, func.radians(_longitude - _number("near_longitude")) / 2
    squared = func.power(func.sin(half_up), 2) + func.cos(up) * func.cos(other_up) * func.power(
        func.sin(half_across), 2
    )
    metres = 2 * EARTH_RADIUS_METRES * func.asin(func.sqrt(func.least(squared, literal_column("1"))))
    return metres <= _number("near_radius_metres")


def _is_in_box() -> ColumnElement[bool]:
    """Return whether the place lies in a box; the meridians 180 and -180 are the same."""
    west, east = _number("bbox_west"), _number("bbox_east")

    def between(longitude: ColumnElement[float]) -> ColumnElement[bool]:
        crossing = or_(longitude >= west, longitude <= east)
        return case((west <= east, longitude.between(west, east)), else_=crossing)

    opposite = case((func.abs(_longitude) == literal_column("180"), -_longitude), else_=_longitude)
    return and_(
        _latitude.between(_number("bbox_south"), _number("bbox_north")), or_(between(_longitude), between(opposite))
    )


def _is_model(fact: str) -> ColumnElement[bool]:
    model = image.c.facts.op("#>>")(literal_column(f"'{{exif,{fact}}}'"))
    return func.lower(model) == func.lower(bindparam({"camera_model": "camera"}.get(fact, fact), type_=Text))


def _is_visible() -> ColumnElement[bool]:
    """Return whether an image has a visibility: its own, or its team's default."""
    asked = bindparam("visibility", type_=Text)
    # Read once for all images that are examined; looked up for each one, it would take longer than the walk.
    teams = select(team.c.id).where(team.c.default_visibility == asked)
    return or_(image.c.visibility == asked, and_(image.c.visibility.is_(None), image.c.team_id.in_(teams)))


PHOTOGRAPHED_AT = func.coalesce(image.c.taken_at, image.c.created_at)
"""When the photograph was taken, and the time of upload where that is not known."""
# The zone is a literal, as in the index.
LOCAL_TIME = func.coalesce(
    image.c.taken_local, func.timezone(literal_column("'UTC'"), image.c.created_at, type_=DateTime)
)
"""The camera's clock when the photograph was taken, and else the time of upload in UTC, without a zone."""
_line: ColumnElement[str] = literal_column("E'\\n'")
# As `search_terms` reads them.
_searched = func.fold_search(
    func.concat_ws(_line, image.c.filename, image.c.description, func.array_to_string(image.c.tags, _line))
)
_among_statuses = image.c.status == func.any(bindparam("statuses", type_=_TEXTS))
_CONDITIONS: dict[str, ColumnElement[bool]] = {
    "team_id": image.c.team_id == bindparam("team_id"),
    "nothing": false(),
    "status": image.c.status == bindparam("status"),
    "statuses": _among_statuses,
    "status_or_trashed": or_(image.c.deleted_at.is_not(None), _among_statuses),
    "tag": image.c.tags.contains(bindparam("tag", type_=ARRAY(Text))),
    # Tags are stored composed today; older ones may be stored in another form.
    **{
        f"tag_{number}": image.c.tags.overlap(bindparam(f"tag_{number}", type_=ARRAY(Text)))
        for number in range(MAX_TAG_FILTERS)
    },
    "content_type": image.c.content_type == bindparam("content_type"),
    "uploaded_by": image.c.uploaded_by == bindparam("uploaded_by"),
    "created_after": image.c.created_at >= bindparam("created_after"),
    "created_before": image.c.created_at < bindparam("created_before"),
    "taken_after": bindparam("taken_after", type_=image.c.created_at.type) <= PHOTOGRAPHED_AT,
    "taken_before": bindparam("taken_before", type_=image.c.created_at.type) > PHOTOGRAPHED_AT,
    "has_location": image.c.location_cell.is_not(None),
    "has_taken_at": image.c.taken_at.is_not(None),
    "has_description": image.c.description.is_not(None),
    "has_alt_text": image.c.alt_text.is_not(None),
    "near": and_(_in_cells("near"), _is_near()),
    "bbox": and_(_in_cells("bbox"), _is_in_box()),
    "camera": _is_model("camera_model"),
    "lens": _is_model("lens"),
    "min_rating": image.c.rating >= bindparam("min_rating"),
    "max_rating": image.c.rating <= bindparam("max_rating"),
    "min_size": image.c.size_bytes >= bindparam("min_size"),
    "max_size": image.c.size_bytes <= bindparam("max_size"),
    "min_width": image.c.width >= bindparam("min_width"),
    "max_width": image.c.width <= bindparam("max_width"),
    "min_height": image.c.height >= bindparam("min_height"),
    "max_height": image.c.height <= bindparam("max_height"),
    "landscape": image.c.width > image.c.height,
    "portrait": image.c.width < image.c.height,
    "square": image.c.width == image.c.height,
    "visibility": _is_visible(),
    "q_patterns": _searched.bool_op("LIKE")(func.all(bindparam("q_patterns", type_=_TEXTS))),
    "q_beginnings": _searched.bool_op("~")(func.all(bindparam("q_beginnings", type_=_TEXTS))),
    # Images that wait for their terms are few, and candidates all the same.
    "terms_q": or_(image.c.search_terms.contains(bindparam("terms_q", type_=_TEXTS)), image.c.search_terms.is_(None)),
    "trashed": image.c.deleted_at.is_not(None),
    "not_trashed": image.c.deleted_at.is_(None),
    # A literal, as the indexes of lists have it: a plan for any value of a parameter could not use them.
    "not_expired": image.c.status != literal_column(f"'{ImageStatus.EXPIRED}'"),
    # Metadata: the path decides, the terms find candidates by their index, which skips images without metadata.
    "metadata": image.c.metadata.bool_op("@@")(bindparam("metadata_path", type_=JSONPATH)),
    "terms": and_(image.c.metadata != literal_column("'{}'::jsonb"), _terms.contains(bindparam("terms", type_=_TEXTS))),
    **{f"terms_{number}": _terms.overlap(bindparam(f"terms_{number}", type_=_TEXTS)) for number in range(MAX_FILTERS)},
    **{f"result_{number}": _result_holds(number) for number in range(len(CATALOGUE))},
    "named": image.c.filename.is_not(None),
    "unnamed": image.c.filename.is_(None),
    "month_start": bindparam("month_start", type_=DateTime) <= LOCAL_TIME,
    "month_end": bindparam("month_end", type_=DateTime) > LOCAL_TIME,
}


def clauses(names: Iterable[str]) -> list[ColumnElement[bool]]:
    """Return the conditions with these names."""
    return [_CONDITIONS[name] for name in sorted(names)]
