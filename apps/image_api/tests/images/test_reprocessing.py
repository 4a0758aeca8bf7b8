"""`POST /api/v1/images/{image_id}/reprocess`: an image is processed again on request."""

from typing import Any

import orjson
import pytest
from sqlalchemy import func, select

from image_core import testing
from image_core.models import audit_event, event
from image_core.testing import UserWithKey

from ..conftest import Api
from .test_images import IMAGES, LONG_AGO, add

FAILED = {"failure_code": "processing-attempts-exhausted", "failure_message": "Processing failed.", "attempts": 5}


@pytest.mark.parametrize(("status", "columns"), [("failed", FAILED), ("ready", {})])
async def test_its_processing_is_requested_and_audited(
    api: Api, member: UserWithKey, status: str, columns: dict[str, Any]
) -> None:
    image_id = await add(api, member, status, **columns)
    answer = await api.client.post(f"{IMAGES}/{image_id}/reprocess", headers=member.headers)
    assert (answer.status_code, answer.json()["status"], answer.json()["failure"]) == (200, "stored", None)
    assert answer.headers["etag"] == '"2"'
    row = await api.row(image_id)
    assert (row["attempts"], row["queued_at"] is None) == (0, False)
    changed, requested = await api.rows.fetch(select(event).order_by(event.c.position))
    assert (changed["type"], orjson.loads(changed["payload"])["changed"]) == ("image.changed", ["status"])
    assert (requested["type"], requested["published_at"] is None) == ("image.process", False)
    payload = orjson.loads(requested["payload"])
    assert (payload["name"], payload["generation"]) == (row["object_name"], str(testing.GENERATION))
    audited = await api.rows.fetch_one(select(audit_event))
    assert audited is not None
    assert (audited["action"], str(audited["target_id"])) == ("image.reprocessed", image_id)


@pytest.mark.parametrize(
    ("status", "columns"),
    [
        ("stored", {}),
        ("processing", {}),
        ("pending", {}),
        ("expired", {}),
        ("ready", {"deleted_at": LONG_AGO}),
        ("failed", FAILED | {"failure_code": "original-missing"}),
    ],
)
async def test_any_other_image_stays_as_it_is(
    api: Api, member: UserWithKey, status: str, columns: dict[str, Any]
) -> None:
    image_id = await add(api, member, status, **columns)
    before = await api.row(image_id)
    answer = await api.client.post(f"{IMAGES}/{image_id}/reprocess", headers=member.headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "image-not-reprocessable")
    assert await api.row(image_id) == before
    assert await api.rows.fetch_value(select(func.count()).select_from(event)) == 0
