"""What a client sent to storage is held to what it declared."""

import hashlib
from typing import Any

import pytest
from sqlalchemy import select

from image_core import testing
from image_core.models import storage_usage

from ..conftest import Processor

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000280000001e0806000000") + bytes(20)
DECLARED: dict[str, Any] = {"size_bytes": len(PNG), "sha256": hashlib.sha256(PNG).digest(), "content_type": "image/png"}


@pytest.mark.parametrize(
    ("body", "lie", "status", "code"),
    [
        (PNG, {}, "ready", None),
        (PNG, {"sha256": None}, "ready", None),
        (PNG, {"size_bytes": len(PNG) - 1}, "expired", "upload-size-mismatch"),
        (PNG, {"size_bytes": len(PNG) + 1}, "expired", "upload-size-mismatch"),
        (PNG, {"sha256": bytes(32)}, "expired", "upload-hash-mismatch"),
        (PNG, {"content_type": "image/jpeg"}, "expired", "upload-type-mismatch"),
        (b"<svg/>", {"size_bytes": 6, "sha256": None}, "expired", "not-an-image"),
    ],
)
async def test_only_what_was_declared_becomes_an_image(
    processor: Processor, body: bytes, lie: dict[str, Any], status: str, code: str | None
) -> None:
    team_id = await testing.add_team(processor.rows)
    image_id = await testing.add_upload(processor.rows, team_id, **(DECLARED | lie))
    row = await processor.row(image_id)
    stored = await processor.parts.originals.put(row["object_name"], body, "image/png")
    assert await processor.push(processor.message(stored.name, stored.generation)) == 204
    row = await processor.row(image_id)
    assert (row["status"], row["failure_code"]) == (status, code)
    used = await processor.rows.fetch_one(select(storage_usage.c.bytes, storage_usage.c.images))
    refused = [(stored.name, None)]
    assert (await processor.discarded(), tuple(used or ())) == ((refused, (0, 0)) if code else ([], (len(body), 1)))
    assert processor.pool.seen == ([] if code else [body])
