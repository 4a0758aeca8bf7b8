"""Where the thing that an event is about can be read: a path at the API."""

from collections.abc import Mapping
from typing import Any

_API = "/api/v1"
_OF_THING = {
    "image": "/images/{image_id}",
    "analysis": "/analyses/{analysis_id}",
    "credential": "/users/{user_id}/credentials/{credential_id}",
    "operation": "/operations/{operation_id}",
    "link": "/links/{link_id}",
    "webhook": "/webhooks/{webhook_id}",
    "delivery": "/usage",
}
_OF_QUOTA = {"storage": "/usage/storage", "credits": "/credits"}


def path_of(kind: str, data: Mapping[str, Any]) -> str | None:
    """Return the path at which to read what an event is about; None if nothing is left of it.

    Args:
        kind: the event's type; one that only a newer release knows has no path either.
        data: the event's data.
    """
    if kind == "image.purged":
        return None
    path = _OF_QUOTA.get(data.get("quota", "")) or _OF_THING.get(kind.partition(".")[0])
    try:
        return None if path is None else _API + path.format_map(data)
    except KeyError:
        return None
