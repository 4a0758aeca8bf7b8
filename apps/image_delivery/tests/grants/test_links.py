"""Share links: what their addresses show, until when, and what ends them."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from sqlalchemy import delete, insert, update

from image_core import models, testing
from image_core.db import Record
from image_core.delivery.link_grant import LinkScope
from image_core.delivery.rendition_requests import FULL_HASH
from image_core.delivery.spec import Recipe
from image_core.models import share_link
from image_delivery.grants.links import LinkedImage

from ..conftest import Delivery, MakeDelivery, Team
from .test_verification import NOW_MINUTES, at, is_unknown, refused

EXPIRY = NOW_MINUTES + 45


def moment(minutes: float) -> datetime:
    """The time so many minutes from now, as the tests have it."""
    return datetime.fromtimestamp((NOW_MINUTES + minutes) * 60, UTC)


@dataclass
class Link:
    """A share link, and an image that it shows."""

    delivery: Delivery
    team: Team
    row: Record
    id: UUID
    epoch: int = 0

    def address(self, file: str = "thumb.webp", row: Record | None = None, **options: Any) -> str:
        scope = LinkScope(options.get("link_id", self.id), options.pop("epoch", self.epoch)).text
        return self.team.address(row or self.row, file, scope, expiry=options.pop("expiry", EXPIRY), **options)

    async def change(self, **columns: Any) -> None:
        await self.delivery.rows.execute(update(share_link).where(share_link.c.id == self.id).values(**columns))

    async def remove(self) -> None:
        await self.delivery.rows.execute(delete(share_link).where(share_link.c.id == self.id))

    async def is_served(self, file: str = "thumb.webp", **options: Any) -> bytes:
        answer = await self.delivery.get(self.address(file, **options), accept="image/webp")
        assert answer.status_code == 200, answer.content
        return answer.content


async def make_link(delivery: Delivery, *, of_collection: bool = False, **columns: Any) -> Link:
    """A link of one image, whose thumbnail is stored."""
    at(delivery, NOW_MINUTES)
    team = await delivery.team()
    row = await delivery.shown(team, b"a thumbnail")
    if of_collection:
        columns["collection_id"] = await testing.add_collection(delivery.rows, team.id, [row["id"]])
    image_ids = [] if of_collection else [row["id"]]
    link_id = await testing.add_share_link(delivery.rows, team.id, image_ids, **columns)
    return Link(delivery, team, row, link_id, columns.get("epoch", 0))


@pytest.mark.parametrize("of_collection", [False, True])
async def test_a_link_shows_its_images_and_no_others(delivery: Delivery, of_collection: bool) -> None:
    link = await make_link(delivery, of_collection=of_collection)
    other = await delivery.shown(link.team)
    assert await link.is_served() == b"a thumbnail"
    await refused(delivery, link.address(row=other), 410, "delivery-revoked")


async def test_a_link_of_a_collection_shows_none_of_another_collection(delivery: Delivery) -> None:
    link = await make_link(delivery, of_collection=True)
    other = await delivery.shown(link.team)
    await testing.add_collection(delivery.rows, link.team.id, [other["id"]])
    await testing.add_share_link(delivery.rows, link.team.id, [other["id"]])
    await refused(delivery, link.address(row=other), 410, "delivery-revoked")


async def test_a_link_shows_its_presets_open_or_not_in_their_formats(delivery: Delivery) -> None:
    link = await make_link(delivery, presets=["thumb", "card"])
    await delivery.preset(link.team, "card", open=False, formats=["webp"])
    await delivery.preset(link.team, "cars", open=True)
    await delivery.rendition(link.row, Recipe(width_px=64), b"made")
    assert await link.is_served("card.webp") == await link.is_served("card@0000.auto") == b"made"
    for file in ("large.webp", "cars.webp", "card.png", "t-w64.webp", "full.file", "original.file", "source.webp"):
        body = await refused(delivery, link.address(file), 404, "preset-not-found")
        assert body.get("nearest") == ("card" if file == "cars.webp" else None)


@pytest.mark.parametrize(
    ("download", "offered"),
    [("none", []), ("stripped", ["full.file"]), ("original", ["full.file", "original.file"])],
)
async def test_a_link_offers_the_downloads_that_its_maker_chose(
    delivery: Delivery, download: str, offered: list[str]
) -> None:
    link = await make_link(delivery, download=download, title="Norway")
    await delivery.rendition(link.row, Recipe(), b"whole", "png", spec_hash=FULL_HASH)
    for file in ("full.file", "original.file"):
        if file in offered:
            answer = await delivery.get(link.address(file), "HEAD")
            assert answer.status_code == 200
            assert answer.headers["content-disposition"].startswith('attachment; filename="Norway-1.png";')
        else:
            await refused(delivery, link.address(file), 404, "preset-not-found")


# --- What ends addresses ---------------------------------------------------------------------------------------------


async def raise_epoch(link: Link) -> None:
    await link.change(epoch=1)


async def take_image_out(link: Link) -> None:
    for table in (models.share_link_image, models.collection_member):
        await link.delivery.rows.execute(delete(table).where(table.c.image_id == link.row["id"]))


async def remove_collection(link: Link) -> None:
    await link.delivery.rows.execute(delete(models.collection).where(models.collection.c.team_id == link.team.id))


async def take_preset_out(link: Link) -> None:
    await link.change(presets=["large"])


async def let_expire(link: Link) -> None:
    await link.change(expires_at=moment(0))


async def record_end(link: Link) -> None:
    await link.change(expires_at=moment(5), ended_at=moment(0))


@pytest.mark.parametrize(
    ("of_collection", "change", "status", "code"),
    [
        (False, Link.remove, 410, "delivery-revoked"),
        (False, raise_epoch, 410, "delivery-revoked"),
        (False, take_image_out, 410, "delivery-revoked"),
        (True, take_image_out, 410, "delivery-revoked"),
        (True, remove_collection, 410, "delivery-revoked"),
        (False, let_expire, 410, "delivery-expired"),
        (False, record_end, 410, "delivery-expired"),
        (False, take_preset_out, 404, "preset-not-found"),
    ],
)
async def test_a_change_of_the_link_ends_its_addresses_in_five_seconds(
    delivery: Delivery, of_collection: bool, change: Any, status: int, code: str
) -> None:
    link = await make_link(delivery, of_collection=of_collection)
    assert await link.is_served() == b"a thumbnail"
    await change(link)
    delivery.let_pass(4)
    assert await link.is_served() == b"a thumbnail"
    # Only the link is read again: an address that is judged anew for another reason would prove nothing.
    delivery.serving.verification._shared.rows.clock = lambda: delivery.clock() + 1.1
    await refused(delivery, link.address(), status, code)


async def test_a_link_that_is_extended_in_time_goes_on(delivery: Delivery) -> None:
    link = await make_link(delivery, expires_at=moment(10))
    assert await link.is_served()
    await link.change(expires_at=moment(20))
    at(delivery, NOW_MINUTES + 10)
    assert await link.is_served()


async def test_caches_keep_the_end_of_a_link_like_that_of_a_grant(delivery: Delivery) -> None:
    link = await make_link(delivery, expires_at=moment(10))
    assert await link.is_served()
    at(delivery, NOW_MINUTES + 10)
    assert (await delivery.get(link.address())).headers["cache-control"] == "public, max-age=60"


async def test_another_teams_link_is_as_unknown_as_none(delivery: Delivery) -> None:
    link, other = await make_link(delivery), await make_link(delivery)
    bodies = [
        await refused(delivery, link.address(link_id=link_id), 410, "delivery-revoked")
        for link_id in (other.id, UUID(int=7))
    ]
    assert bodies[0]["detail"] == bodies[1]["detail"]
    # Another team's key opens none of the link's images.
    await is_unknown(delivery, Link(delivery, other.team, link.row, link.id).address())


async def test_a_row_of_another_teams_link_would_open_nothing(delivery: Delivery) -> None:
    """Foreign keys rule such rows out."""
    link, other = await make_link(delivery), await delivery.team()
    assert await link.is_served()
    shared, linked = delivery.serving.verification._shared, LinkedImage(link.id, link.row["id"])
    read = shared.rows._read

    async def of_other_team(keys: Any) -> Any:
        found = await read(keys)
        for row in found.values():
            object.__setattr__(row, "team_id", other.id)
        return found

    shared.rows._read = of_other_team
    delivery.let_pass(5.1)
    await refused(delivery, link.address(), 410, "delivery-revoked")
    assert shared.rows.peek(linked) is not None


@pytest.mark.parametrize("expiry", [0, NOW_MINUTES + 91, 36**7 - 1])
async def test_a_grant_that_outlives_an_hour_and_a_window_is_unknown_and_costs_no_query(
    delivery: Delivery, expiry: int
) -> None:
    link = await make_link(delivery)
    await is_unknown(delivery, link.address(expiry=expiry))
    assert delivery.queries == []


async def test_an_expired_grant_says_so_and_costs_no_query(delivery: Delivery) -> None:
    link = await make_link(delivery)
    assert await link.is_served()
    at(delivery, EXPIRY)
    delivery.queries.clear()
    await refused(delivery, link.address(), 410, "delivery-expired")
    assert (await delivery.get(link.address())).headers["cache-control"] == "public, max-age=60"
    assert delivery.queries == []


# --- Rows ------------------------------------------------------------------------------------------------------------


async def show_more(link: Link) -> str:
    row = await link.delivery.shown(link.team)
    values = {"link_id": link.id, "image_id": row["id"], "team_id": link.team.id, "position": 9}
    await refused(link.delivery, link.address(row=row), 410, "delivery-revoked")
    await link.delivery.rows.execute(insert(models.share_link_image).values(values))
    return link.address(row=row)


async def show_larger(link: Link) -> str:
    await link.delivery.store(link.row, b"large", "large")
    await link.change(presets=["thumb", "large"])
    return link.address("large.webp")


async def sign_anew(link: Link) -> str:
    await link.change(epoch=4)
    return link.address(epoch=4)


@pytest.mark.parametrize("change", [show_more, show_larger, sign_anew])
async def test_an_address_that_is_newer_than_the_row_in_memory_is_served_at_once(
    delivery: Delivery, change: Any
) -> None:
    link = await make_link(delivery, presets=["thumb"])
    assert await link.is_served()
    assert (await delivery.get(await change(link))).status_code == 200


async def test_all_pictures_of_a_page_share_a_query(delivery: Delivery) -> None:
    link = await make_link(delivery)
    rows = [await delivery.shown(link.team) for _ in range(20)]
    link.id = await testing.add_share_link(delivery.rows, link.team.id, [row["id"] for row in rows])
    answers = await asyncio.gather(*(delivery.get(link.address(row=row)) for row in rows))
    assert {answer.status_code for answer in answers} == {200}
    # The first one began a query, and everybody else waited for the next.
    assert delivery.queries.count("share_link") <= 2
    delivery.queries.clear()
    await asyncio.gather(*(delivery.get(link.address(row=row, epoch=1)) for row in rows))
    assert 1 <= delivery.queries.count("share_link") <= 2


async def test_without_the_database_a_link_goes_on_for_ten_minutes_and_ends_at_its_time(delivery: Delivery) -> None:
    link = await make_link(delivery, expires_at=moment(8))
    assert await link.is_served()
    await delivery.parts.database.close()
    delivery.let_pass(590)
    assert await link.is_served() == b"a thumbnail"
    at(delivery, NOW_MINUTES + 8)
    # Whether it was extended cannot be known.
    await refused(delivery, link.address(), 503, "database-unavailable")
    at(delivery, NOW_MINUTES)
    delivery.let_pass(20)
    await refused(delivery, link.address(), 503, "database-unavailable")


@pytest.mark.parametrize(("ends_in", "seconds"), [(None, 45 * 60), (20, 20 * 60), (50, 45 * 60)])
async def test_caches_keep_a_picture_until_the_grant_or_the_link_ends(
    delivery: Delivery, ends_in: int | None, seconds: int
) -> None:
    link = await make_link(delivery, expires_at=None if ends_in is None else moment(ends_in))
    now = Recipe(width_px=256, height_px=256).short_hash()
    answer = await delivery.get(link.address(f"thumb@{now}.webp"))
    assert answer.headers["cache-control"] == f"public, max-age={seconds}, s-maxage=600"
    assert (await delivery.get(link.address())).headers["cache-control"] == "public, max-age=300, s-maxage=300"


async def test_what_a_link_has_made_counts_as_open(make_delivery: MakeDelivery) -> None:
    async with make_delivery(delivery_open_makes_per_day=1) as delivery:
        link = await make_link(delivery, presets=["thumb", "preview", "large"])
        link.row = await delivery.uploaded(link.team)
        link.id = await testing.add_share_link(
            delivery.rows, link.team.id, [link.row["id"]], presets=["preview", "large"], token_hash=bytes(32)
        )
        assert (await delivery.get(link.address("preview.webp"))).status_code == 200
        await refused(delivery, link.address("large.webp"), 429, "delivery-quota-exceeded")


# --- Downloads -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_collection", [False, True])
async def test_a_download_is_named_by_the_links_title_and_the_images_number(
    delivery: Delivery, of_collection: bool
) -> None:
    at(delivery, NOW_MINUTES)
    team = await delivery.team()
    rows = [await delivery.uploaded(team, b"%d" % each, filename="holiday.png") for each in range(3)]
    # Not on the link's pages, so that it has no number.
    trashed = await delivery.image(team, deleted_at=datetime.now(UTC))
    # The collection's first image is its last one now, behind a gap.
    ids, columns = (
        [row["id"] for row in [rows[0], trashed, *rows[1:]]],
        {"download": "original", "title": "Été 2025/26"},
    )
    if of_collection:
        columns["collection_id"] = await testing.add_collection(delivery.rows, team.id, ids)
        moved = (models.collection_member.c.image_id == ids[0], models.collection_member.c.team_id == team.id)
        await delivery.rows.execute(update(models.collection_member).where(*moved).values(position=1000))
        rows = [*rows[1:], rows[0]]
    link_id = await testing.add_share_link(delivery.rows, team.id, [] if of_collection else ids, **columns)
    for number, row in enumerate(rows, 1):
        link = Link(delivery, team, row, link_id)
        answer = await delivery.get(link.address("original.file"))
        name = f"Été 2025-26-{number}.png"
        assert answer.headers["content-disposition"] == (
            f"attachment; filename=\"Ete 2025-26-{number}.png\"; filename*=UTF-8''{quote(name)}"
        )


async def test_a_download_from_a_link_without_a_title_has_a_number_alone(delivery: Delivery) -> None:
    link = await make_link(delivery, download="original")
    answer = await delivery.get(link.address("original.file"), "HEAD")
    assert answer.headers["content-disposition"].startswith('attachment; filename="image-1.')
    # Pictures that are shown have the names of all others.
    shown = (await delivery.get(link.address())).headers["content-disposition"]
    assert shown == f'inline; filename="{link.row["id"]}-thumb.webp"'


@pytest.mark.parametrize("is_away", [True, False])
async def test_a_download_that_has_no_name_any_more_is_named_by_its_id(delivery: Delivery, is_away: bool) -> None:
    link = await make_link(delivery, download="original", title="Norway")
    assert await link.is_served()
    if is_away:
        await delivery.parts.database.close()
    else:
        await take_image_out(link)
    answer = await delivery.get(link.address("original.file"), "HEAD")
    assert answer.headers["content-disposition"] == (
        f'attachment; filename="{link.row["id"]}-original.{link.row["content_type"].removeprefix("image/")}"'
    )
