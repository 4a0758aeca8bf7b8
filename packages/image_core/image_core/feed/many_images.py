"""Events about many images that one statement changes."""

from typing import Any

from sqlalchemy import ColumnElement, Insert, Update, func, insert, literal_column, select

from image_core.events import EventType, Topic
from image_core.models import event, image


def record_of_many(kind: EventType, changing: Update, **fields: ColumnElement[Any]) -> Insert:
    """Build the statement that changes images and writes an event about each, which the sweep publishes.

    Both asyncpg and pg8000 can run it; it affects as many rows as images were changed.
    """
    changed = changing.returning(image.c.id, image.c.team_id, image.c.revision).cte("changed")
    payload = {"revision": changed.c.revision, **fields}
    columns: dict[Any, ColumnElement[Any]] = {
        event.c.id: func.gen_random_uuid(),
        event.c.topic: _text(Topic.EVENTS),
        event.c.type: _text(kind),
        event.c.team_id: changed.c.team_id,
        event.c.image_id: changed.c.id,
        event.c.payload: func.jsonb_build_object(*(part for name in payload for part in (_text(name), payload[name]))),
    }
    return insert(event).from_select(list(columns), select(*columns.values()))


def queued_again(changing: Update) -> Insert:
    """Build the statement that moves images back to `stored`, and tells of each that its status changed."""
    status = _text("stored")
    return record_of_many(
        EventType.IMAGE_CHANGED, changing, changed=func.jsonb_build_array(_text("status")), status=status
    )


def _text(value: str) -> ColumnElement[str]:
    return literal_column(f"'{value}'::text")
