"""Lists in each order: every image once, in the order of PostgreSQL's values, however the pages are cut."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from image_api.listing import queries
from image_api.listing.orders import (
    LATEST_OF_MONTH,
    MAX_CURSOR_LENGTH,
    NEWEST_FIRST,
    ORDERS,
    Order,
    Position,
    decode_position,
    encode_position,
)
from image_core import errors, testing
from image_core.testing import UserWithKey

from ..conftest import Api

IMAGES = "/api/v1/images"
START = datetime(2020, 1, 1, tzinfo=UTC)
# The filename, the days of upload and of the photograph; equal values are told apart by the id.
SHAPES: list[tuple[str | None, int, int | None]] = [
    ("b.png", 1, 9), ("B.png", 1, 9), (None, 2, None), ("ä.png", 3, 1), ("b.png", 4, None), (None, 4, 3), ("a", 5, 4),
    ("\U0001f600", 6, 6),
]  # fmt: skip

positions = st.one_of(
    st.tuples(
        st.sampled_from([order for order in ORDERS.values() if order.field != "filename"]),
        st.builds(Position, st.datetimes(timezones=st.just(UTC)), st.uuids()),
    ),
    st.tuples(st.just(LATEST_OF_MONTH), st.builds(Position, st.datetimes(), st.uuids())),
    st.tuples(
        st.sampled_from([ORDERS["filename"], ORDERS["filename desc"]]),
        st.builds(
            Position,
            st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=255),
            st.uuids(),
        ),
    ),
)


@given(positions)
@example((ORDERS["filename desc"], Position("\U0001f600" * 255, UUID(int=2**128 - 1))))
def test_a_cursor_comes_back_in_its_order_and_no_other(case: tuple[Order, Position]) -> None:
    order, position = case
    text = encode_position(order, position)
    assert len(text) <= MAX_CURSOR_LENGTH
    assert decode_position(order, text) == position
    for other in {*ORDERS.values(), LATEST_OF_MONTH} - {order}:
        with pytest.raises(errors.CursorOfAnotherOrder):
            decode_position(other, text)


@pytest.mark.parametrize(
    "packed",
    ["", "x", "AAAA", "filename.up.AAAA", "filename.asc.", "filename.asc.AAAAAAAAAAAAAAAAAAAAAAA", "taken_at.desc.A=A",
     "filename.asc.AAAAAAAAAAAAAAAAAAAAAAA_w", "filename.asc.AAAAAAAAAAAAAAAAAAAAAAAA"],
)  # fmt: skip
@pytest.mark.parametrize("order", [NEWEST_FIRST, ORDERS["filename"], ORDERS["taken_at desc"]], ids=str)
def test_what_we_did_not_write_is_refused(order: Order, packed: str) -> None:
    with pytest.raises((errors.CursorInvalid, errors.CursorOfAnotherOrder)):
        decode_position(order, packed)


async def add_all(api: Api, owner: UserWithKey, **columns: Any) -> list[str]:
    """Add an image of each shape, and return their ids; one in two was made with the camera `X100`."""
    assert owner.team_id is not None
    ids = []
    for number, (filename, created, taken) in enumerate(SHAPES):
        times: dict[str, Any] = {"created_at": START + timedelta(created)}
        if taken is not None:
            at = START + timedelta(taken)
            times |= {"taken_at": at, "taken_at_source": "exif", "taken_local": at.replace(tzinfo=None)}
        facts = {"exif": {"camera_model": "X100" if number % 2 else "Other"}}
        image = await testing.add_image(api.rows, owner.team_id, filename=filename, facts=facts, **times, **columns)
        ids.append(str(image))
    return ids


def in_order(ids: list[str], order: Order) -> list[str]:
    def key(item: tuple[str, tuple[str | None, int, int | None]]) -> Any:
        image_id, (filename, created, taken) = item
        value = {"filename": (filename or "").encode(), "created_at": created}
        return (value | {"taken_at": created if taken is None else taken})[order.field], image_id

    shaped = sorted(zip(ids, SHAPES, strict=True), key=key, reverse=order.descending)
    if order.field == "filename":
        # The sort is stable, and images without a filename come last in both directions.
        shaped.sort(key=lambda item: item[1][0] is None)
    return [image_id for image_id, _ in shaped]


async def page(api: Api, by: UserWithKey, expected: int = 200, **params: Any) -> dict[str, Any]:
    answer = await api.client.get(IMAGES, headers=by.headers, params=params)
    assert answer.status_code == expected, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def walk(api: Api, by: UserWithKey, **params: Any) -> list[dict[str, Any]]:
    """Return all pages to the end."""
    pages = [await page(api, by, **params)]
    while pages[-1]["next_cursor"] is not None:
        assert len(pages) < 50
        pages.append(await page(api, by, **params, cursor=pages[-1]["next_cursor"]))
    return pages


def ids_of(pages: list[dict[str, Any]]) -> list[str]:
    return [item["id"] for each in pages for item in each["items"]]


async def test_each_order_shows_every_image_once_however_pages_are_cut(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    await add_all(api, stranger)
    ids = await add_all(api, member)
    for text, order in ORDERS.items():
        for limit in (1, 3, 4, 200):
            assert ids_of(await walk(api, member, order_by=text, limit=limit)) == in_order(ids, order), (text, limit)
    assert ids_of([await page(api, member)]) == in_order(ids, NEWEST_FIRST)


async def test_the_trash_and_each_status_are_listed_in_each_order(api: Api, member: UserWithKey) -> None:
    await add_all(api, member)
    trashed = await add_all(api, member, deleted_at=START)
    failed = await add_all(api, member, status="failed")
    for text, order in ORDERS.items():
        for status, ids in (("trashed", trashed), ("failed", failed), (["failed", "stored"], failed)):
            assert ids_of(await walk(api, member, order_by=text, status=status, limit=3)) == in_order(ids, order)
        pages = await walk(api, member, order_by=text, status=["failed", "trashed"], limit=3)
        assert sorted(ids_of(pages)) == sorted(trashed + failed)


async def test_a_page_that_gives_up_says_so_and_the_next_ones_find_the_rest(
    api: Api, member: UserWithKey, stranger: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_all(api, stranger)
    ids = await add_all(api, member)
    matching = set(ids[1::2])
    for walked in (1, 2, 3):
        monkeypatch.setattr(queries, "WALKED_IMAGES", walked)
        for text, order in ORDERS.items():
            pages = await walk(api, member, order_by=text, camera="x100", limit=2)
            assert ids_of(pages) == [image_id for image_id in in_order(ids, order) if image_id in matching]
            assert any(each.get("partial") for each in pages)
            assert all(each["next_cursor"] for each in pages if each.get("partial"))
    none = await walk(api, member, camera="nobody's")
    assert (ids_of(none), none[0]["partial"], "partial" in none[-1]) == ([], True, False)


async def test_a_full_page_is_not_partial(api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch) -> None:
    await add_all(api, member)
    monkeypatch.setattr(queries, "WALKED_IMAGES", 6)
    first = await page(api, member, camera="x100", limit=2)
    assert (len(first["items"]), "partial" in first) == (2, False)


@pytest.mark.parametrize(("most", "partial"), [(8, False), (7, True)])
async def test_few_candidates_of_an_index_are_found_at_once(
    api: Api, member: UserWithKey, stranger: UserWithKey, monkeypatch: pytest.MonkeyPatch, most: int, partial: bool
) -> None:
    monkeypatch.setattr(queries, "FIRST_WALKED_IMAGES", 1)
    monkeypatch.setattr(queries, "WALKED_IMAGES", 2)
    monkeypatch.setattr(queries, "MAX_CANDIDATES", most)
    ids = await add_all(api, member, tags=["wanted"])
    await add_all(api, member)
    await add_all(api, stranger, tags=["wanted"])
    for text, order in ORDERS.items():
        pages = await walk(api, member, order_by=text, tag="wanted", limit=3)
        assert ids_of(pages) == in_order(ids, order)
        assert any(each.get("partial") for each in pages) == partial


async def test_an_order_that_does_not_exist_is_refused_with_the_list(api: Api, member: UserWithKey) -> None:
    told = await page(api, member, 400, order_by="size")
    assert (told["code"], told["field"]) == ("order-unknown", "order_by")
    assert all(text in told["detail"] for text in ORDERS)


async def test_a_cursor_of_another_order_is_refused(api: Api, member: UserWithKey) -> None:
    await add_all(api, member)
    first = await page(api, member, order_by="filename", limit=1)
    told = await page(api, member, 400, order_by="filename desc", cursor=first["next_cursor"])
    assert told["code"] == "cursor-of-another-order"
    assert "`filename`" in told["detail"]


async def test_orders_other_than_by_upload_need_a_team(api: Api, member: UserWithKey) -> None:
    ids = await add_all(api, member)
    for text in ("filename", "taken_at desc"):
        told = await page(api, api.admin, 400, order_by=text)
        assert (told["code"], told["field"]) == ("filter-invalid", "team_id")
        pages = await walk(api, api.admin, order_by=text, team_id=str(member.team_id))
        assert ids_of(pages) == in_order(ids, ORDERS[text])
    assert set(ids) <= set(ids_of(await walk(api, api.admin, order_by="created_at", limit=200)))
