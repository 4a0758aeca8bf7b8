from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from image_api.images.body import summary_body

IMAGE_ID = UUID("0199c0de-0000-7000-8000-000000000004")


@pytest.mark.parametrize(
    ("has_thumbnail", "url"),
    [(True, f"https://images.example/api/v1/images/{IMAGE_ID}/derivatives/thumb"), (False, None)],
)
def test_summary_has_a_thumbnail_url_only_where_a_thumbnail_exists(has_thumbnail: bool, url: str | None) -> None:
    row: Any = {
        "id": IMAGE_ID, "filename": None, "content_type": "image/png", "size_bytes": 1, "width": 1, "height": 1,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC), "has_thumbnail": has_thumbnail,
    }  # fmt: skip
    assert summary_body(row, "https://images.example")["thumbnail_url"] == url
