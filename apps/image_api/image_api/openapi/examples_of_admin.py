"""Examples of what admins of the platform see."""

from typing import Any

_TEAM_ID, _IMAGE_ID = "01912d0c-1b2d-7e1c-8a8e-6f7a1c2b3d4e", "01912d0c-2c3d-7f4a-9b5c-7d8e9f0a1b2c"
_dead_letter = {
    "id": "01912d0c-4e5f-7a6b-8c7d-8e9f0a1b2c3d",
    "status": "open",
    "subscription": "image-uploads-push",
    "topic": "image-uploads",
    "work_key": f"example-originals/originals/{_TEAM_ID}/{_IMAGE_ID}#1722930000000000",
    "team_id": _TEAM_ID,
    "image_id": _IMAGE_ID,
    "attributes": {
        "bucketId": "example-originals",
        "eventType": "OBJECT_FINALIZE",
        "objectGeneration": "1722930000000000",
        "objectId": f"originals/{_TEAM_ID}/{_IMAGE_ID}",
    },
    "preview": '{"name": "originals/…"}',
    "size_bytes": 743,
    "attempts": 10,
    "arrivals": 1,
    "is_redrivable": True,
    "source_published_at": "2026-08-06T07:40:00Z",
    "arrived_at": "2026-08-06T08:21:17Z",
    "handled_at": None,
    "created_at": "2026-08-06T08:21:17Z",
}

ADMIN: dict[str, dict[str, Any]] = {
    "DeadLetter": _dead_letter,
    "DeadLetterPage": {"items": [_dead_letter], "next_cursor": None},
}
