from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from image_api.images.body import human_size, summary_body

IMAGE_ID = UUID("0199c0de-0000-7000-8000-000000000004")


@pytest.mark.parametrize(
    ("size_bytes", "size"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1_521_000, "1.45 MiB"),
        (2**30, "1.00 GiB"),
        (5 * 2**40, "5.00 TiB"),
        (2**50, "1024.00 TiB"),
    ],
)
def test_sizes_are_shown_in_binary_units(size_bytes: int, size: str) -> None:
    assert human_size(size_bytes) == size


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
