"""The timeline: months with their numbers of images, and the images of a month in columns."""

from datetime import UTC, datetime
from typing import Any

import pytest

from image_api.listing.timeline import service
from image_core import testing
from image_core.testing import UserWithKey

from ..conftest import Api

TIMELINE = "/api/v1/images/timeline"


async def add(api: Api, owner: UserWithKey, local: str | None, uploaded: str = "2024-06-15T12:00", **more: Any) -> str:
    """Add an image whose camera's clock showed a time, an hour east of UTC."""
    assert owner.team_id is not None
    columns: dict[str, Any] = {"created_at": datetime.fromisoformat(uploaded).replace(tzinfo=UTC), **more}
    if local is not None:
        columns |= {
            "taken_at": datetime.fromisoformat(f"{local}+01:00"), "taken_at_source": "exif",
            "taken_local": datetime.fromisoformat(local),
        }  # fmt: skip
    return str(await testing.add_image(api.rows, owner.team_id, **columns))


async def get(api: Api, by: UserWithKey, path: str = "", expected: int = 200, **params: Any) -> Any:
    answer = await api.client.get(f"{TIMELINE}{path}", headers=by.headers, params=params)
    assert answer.status_code == expected, answer.text
    return answer.json()


async def months(api: Api, by: UserWithKey, **params: Any) -> list[tuple[Any, ...]]:
    """Return the months of all answers."""
    found: list[tuple[Any, ...]] = []
    before: dict[str, str] = {}
    while True:
        answer = await get(api, by, **params, **before)
        found += [tuple(each.values()) for each in answer["months"]]
        if answer["next_before"] is None:
            return found
        before = {"before": answer["next_before"]}


async def test_months_are_those_of_the_cameras_clock(
    api: Api, member: UserWithKey, stranger: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In UTC the first of these is still of the old year.
    newest = await add(api, member, "2024-01-01T00:30")
    for local in ("2023-12-31T23:59:59.999999", "2023-12-01T00:00", "1999-05-05T05:05"):
        await add(api, member, local)
    await add(api, member, None, "2024-01-31T23:59:59")
    await add(api, member, "2024-03-01T00:00", deleted_at=datetime(2024, 3, 2, tzinfo=UTC))
    await add(api, stranger, "2024-02-01T00:00")
    expected = [("2024-01", 2), ("2023-12", 2), ("1999-05", 1)]
    assert await months(api, member) == expected
    assert await months(api, api.admin, team_id=str(member.team_id)) == expected
    assert await months(api, member, before="2023-12") == expected[2:]
    assert await months(api, member, status="trashed") == [("2024-03", 1)]
    assert await months(api, member, taken_before="2023-12-31T23:00:00Z") == expected[1:]
    # Few images at once, so that each answer has one month; those with fewer than this number are whole.
    monkeypatch.setattr(service, "COUNTED_IMAGES", 2)
    assert await months(api, member) == [("2024-01", 2, True), ("2023-12", 2, True), ("1999-05", 1)]
    assert (await get(api, member, "/2024-01", limit=1))["id"] != [newest]


async def test_filters_narrow_months(api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = {"exif": {"camera_model": "X100"}}
    for local in ("2024-01-01T00:30", "2023-12-31T23:59"):
        await add(api, member, local, facts=camera, tags=["a"])
        await add(api, member, local)
    await add(api, member, "2023-11-01T00:00")
    expected = [("2024-01", 1), ("2023-12", 1)]
    assert await months(api, member, camera="x100") == expected
    assert await months(api, member, tag="a") == expected
    monkeypatch.setattr(service, "WALKED_IMAGES", 3)
    assert await months(api, member, camera="x100") == expected
    # A month of which not all images were examined may have more, or some.
    monkeypatch.setattr(service, "WALKED_IMAGES", 1)
    assert [each[0] for each in await months(api, member, camera="x100")] == ["2024-01", "2023-12", "2023-11"]
    assert {each[2] for each in await months(api, member, camera="x100")} == {True}


async def test_images_of_a_month_are_columns_from_latest_to_earliest(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    facts = {"blurhash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj"}
    inside = [
        await add(api, member, "2023-12-31T23:59:59.999999", width=400, height=300, facts=facts),
        await add(api, member, None, "2023-12-15T00:00", status="pending"),
        await add(api, member, "2023-12-01T00:00"),
    ]
    await add(api, member, "2024-01-01T00:00")
    await add(api, member, "2023-11-30T23:59:59")
    await add(api, stranger, "2023-12-10T00:00")
    whole = await get(api, member, "/2023-12")
    assert whole["id"] == inside
    assert whole["ratio"][:2] == [1.3333, None]
    assert whole["placeholder"][:2] == [facts["blurhash"], None]
    assert whole["status"] == ["ready", "pending", "ready"]
    assert (whole["next_after"], "partial" in whole) == (None, False)
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        part = await get(api, member, "/2023-12", limit=1, **after)
        seen += part["id"]
        if part["next_after"] is None:
            break
        after = {"after": part["next_after"]}
    assert seen == inside
    assert (await get(api, member, "/2023-12", status="pending"))["id"] == inside[1:2]
    assert (await get(api, member, "/9999-12"))["id"] == []


async def test_months_of_the_upload_are_in_utc(api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = ("2024-02-29T23:59:59", "2024-02-01T00:00", "2024-01-31T23:59:59", "2023-12-31T23:59:59")
    ids = [await add(api, member, "1999-05-05T05:05", uploaded) for uploaded in uploads]
    trashed = await add(api, member, None, "2024-02-10T00:00", deleted_at=datetime(2024, 3, 2, tzinfo=UTC))
    by_upload = {"order_by": "created_at desc"}
    expected = [("2024-02", 2), ("2024-01", 1), ("2023-12", 1)]
    assert await months(api, member, **by_upload) == expected
    assert await months(api, member, before="2024-02", **by_upload) == expected[1:]
    assert await months(api, member, created_before="2024-02-29T00:00:00Z", **by_upload) == [
        ("2024-02", 1),
        *expected[1:],
    ]
    assert await months(api, member, status="trashed", **by_upload) == [("2024-02", 1)]
    assert (await get(api, member, "/2024-02", status="trashed", **by_upload))["id"] == [trashed]
    first = await get(api, member, "/2024-02", limit=1, **by_upload)
    rest = await get(api, member, "/2024-02", after=first["next_after"], **by_upload)
    assert [first["id"], rest["id"], rest["next_after"]] == [ids[:1], ids[1:2], None]
    # A filter narrows a month, it does not move it.
    for bounds, found in (({"created_after": "2024-02-29"}, ids[:1]), ({"created_after": "2020-01-01"}, ids[:2])):
        assert (await get(api, member, "/2024-02", **bounds, **by_upload))["id"] == found
    assert (await get(api, member, "/9999-12", **by_upload))["id"] == []
    monkeypatch.setattr(service, "COUNTED_IMAGES", 1)
    assert [each[0] for each in await months(api, member, **by_upload)] == [each[0] for each in expected]


async def test_what_makes_no_sense_is_refused(api: Api, member: UserWithKey) -> None:
    for path, params in (("/2023-13", {}), ("/0000-01", {}), ("/2023-1", {}), ("", {"before": "May"})):
        assert (await get(api, member, path, 422, **params))["code"] == "request-invalid"
    assert (await get(api, member, "/2023-12", 422, limit=2001))["code"] == "request-invalid"
    assert (await get(api, member, "/2023-12", 400, after="AAAA"))["code"] == "cursor-of-another-order"
    for path in ("", "/2023-12"):
        assert (await get(api, api.admin, path, 400))["field"] == "team_id"
        assert (await get(api, member, path, 422, order_by="filename"))["code"] == "request-invalid"
