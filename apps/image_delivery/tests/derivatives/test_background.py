"""What is left to the processor: AVIF for `auto`, whole pictures that cannot be copied, sources of large originals."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, insert, update

from image_core import errors, models
from image_core.delivery.encoding import image_text
from image_core.delivery.rendition_requests import FULL_HASH, SOURCE_HASH
from image_core.delivery.spec import Recipe
from image_core.states import FAILURE_REMEMBERED
from image_delivery.derivatives import full_size, making
from image_delivery.derivatives.requesting import _MOST_ASKED, ASKED_SECONDS
from image_delivery.grants.lookups import FRESH_SECONDS

from ..conftest import Delivery, MakeDelivery, Team

W64 = Recipe(width_px=64)
AVIF = "image/avif,image/webp,*/*;q=0.8"


@pytest.fixture
async def team(delivery: Delivery) -> Team:
    team = await delivery.team()
    await delivery.preset(team, "card", width=64, formats=["webp", "avif"])
    return team


async def settled(delivery: Delivery) -> None:
    """Wait until what is asked for meanwhile has been asked for."""
    await asyncio.gather(*delivery.serving.requests._sending)


async def failed(delivery: Delivery, row: Any, spec_hash: bytes, extension: str, code: str) -> None:
    values = {"image_id": row["id"], "generation": row["generation"], "spec_hash": spec_hash, "format": extension}
    await delivery.rows.execute(insert(models.rendition_failure).values(**values, code=code, message="It failed."))


async def unavailable() -> None:
    raise errors.MessagingUnavailable("It is away.")


# --- AVIF -------------------------------------------------------------------------------------------------------------


async def test_avif_that_a_preset_lists_is_asked_for_once(delivery: Delivery, team: Team) -> None:
    row = await delivery.uploaded(team)
    for _ in range(3):
        answer = await delivery.get(team.address(row, "card.auto"), accept=AVIF)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
        await settled(delivery)
    (asked,) = delivery.publisher.asked
    assert (asked["image_id"], asked["team_id"]) == (str(row["id"]), str(team.id))
    assert asked["data"] == {"generation": str(row["generation"]), "spec": "card", "format": "avif"}
    # If the message was lost, somebody asks again some time.
    delivery.let_pass(ASKED_SECONDS + 1)
    await delivery.get(team.address(row, "card.auto"))
    await settled(delivery)
    assert delivery.publisher.specs == [("card", "avif")] * 2


async def test_avif_is_served_once_it_is_stored_where_a_browser_names_it(delivery: Delivery, team: Team) -> None:
    row = await delivery.uploaded(team)
    address = team.address(row, "card.auto")
    await delivery.get(address, accept=AVIF)
    await delivery.rendition(row, W64, b"avif", "avif", preset="card")
    delivery.let_pass(FRESH_SECONDS + 1)
    answers = [await delivery.get(address, accept=accept) for accept in (AVIF, "image/webp")]
    assert [each.headers["content-type"] for each in answers] == ["image/avif", "image/webp"]
    await settled(delivery)
    assert len(delivery.publisher.asked) == 1


@pytest.mark.parametrize("file", ["card.webp", "card.avif", "thumb.auto", "t-w64.auto"])
async def test_nothing_is_asked_for_but_avif_of_presets_that_list_it(delivery: Delivery, team: Team, file: str) -> None:
    row = await delivery.uploaded(team)
    assert (await delivery.get(team.address(row, file), accept=AVIF)).status_code == 200
    await settled(delivery)
    assert delivery.publisher.asked == []


async def test_avif_is_not_asked_for_of_what_moves(delivery: Delivery, team: Team) -> None:
    await delivery.preset(team, "still", width=32, formats=["avif"], animated=False)
    row = await delivery.uploaded(team, frames=3)
    for name in ("card", "still"):
        await delivery.get(team.address(row, f"{name}.auto"), accept=AVIF)
    await settled(delivery)
    assert delivery.publisher.specs == [("still", "avif")]


async def test_avif_that_could_not_be_made_is_not_asked_for(delivery: Delivery, team: Team) -> None:
    row = await delivery.uploaded(team)
    await failed(delivery, row, W64.hash(), "avif", "processing-timeout")
    answer = await delivery.get(team.address(row, "card.auto"), accept=AVIF)
    await settled(delivery)
    assert (answer.status_code, delivery.publisher.asked) == (200, [])


async def test_public_addresses_ask_too_within_their_budget(make_delivery: MakeDelivery) -> None:
    async with make_delivery(delivery_open_makes_per_day=2) as delivery:
        team = await delivery.team()
        await delivery.preset(team, "card", width=64, formats=["webp", "avif"])
        rows = [await delivery.uploaded(team, b"%d" % number, visibility="public") for number in range(2)]
        for row in rows:
            await delivery.get(f"/i/public/{image_text(row['id'])}/card.auto", accept=AVIF)
            await settled(delivery)
        # WebP and AVIF of the first one.
        assert len(delivery.publisher.asked) == 1


async def test_a_broker_that_hangs_or_fails_delays_nobody(delivery: Delivery, team: Team) -> None:
    never = asyncio.Event()
    first, second = await delivery.uploaded(team, b"1"), await delivery.uploaded(team, b"2")

    async def hang() -> None:
        await never.wait()

    delivery.publisher.before = hang
    assert (await delivery.get(team.address(first, "card.auto"))).status_code == 200
    delivery.publisher.before = unavailable
    assert (await delivery.get(team.address(second, "card.auto"))).status_code == 200
    never.set()
    await settled(delivery)
    assert len(delivery.publisher.asked) == 1


async def test_what_was_asked_for_takes_bounded_memory(delivery: Delivery, team: Team) -> None:
    requests, row = delivery.serving.requests, await delivery.uploaded(team)
    found = await delivery.serving.images.rows.get(row["id"])
    assert found is not None
    for number in range(_MOST_ASKED + 1):
        requests._note((row["id"], number, b"", "avif"))  # type: ignore[arg-type]
    assert len(requests._asked) == _MOST_ASKED


# --- Whole pictures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "body", "extension"),
    [("image/tiff", b"another format", "jpeg"), ("image/jpeg", b"no JPEG at all", "jpeg")],
    ids=["format", "broken"],
)
async def test_what_cannot_be_copied_is_202_until_the_processor_has_made_it(
    delivery: Delivery, team: Team, content_type: str, body: bytes, extension: Any
) -> None:
    row = await delivery.uploaded(team, body, content_type=content_type, facts={"has_alpha": False})
    address = team.address(row, "full.file")
    for _ in range(2):
        answer = await delivery.get(address)
        assert (answer.status_code, answer.content) == (202, b"")
        assert (answer.headers["cache-control"], answer.headers["retry-after"]) == ("no-store", "5")
    assert (delivery.publisher.specs, delivery.pool.requests) == ([("full", extension)], [])
    name = await delivery.rendition(row, W64, b"whole", extension, spec_hash=FULL_HASH, preset="full")
    delivery.let_pass(FRESH_SECONDS + 1)
    answer = await delivery.get(address)
    assert (answer.status_code, answer.content, name[-5:]) == (200, b"whole", ".jpeg")
    assert answer.headers["content-disposition"] == f'attachment; filename="{row["id"]}-full.jpeg"'


async def test_an_original_that_is_too_large_to_read_here_is_left_to_the_processor(
    delivery: Delivery, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_size, "MOST_SOURCE_BYTES", 8)
    row = await delivery.uploaded(team, b"longer than that", content_type="image/png")
    assert (await delivery.get(team.address(row, "full.file"), "HEAD")).status_code == 202
    assert delivery.publisher.specs == [("full", "png")]


async def test_a_whole_picture_that_cannot_be_made_says_why_for_an_hour(delivery: Delivery, team: Team) -> None:
    row = await delivery.uploaded(team, content_type="image/tiff", facts={"has_alpha": False})
    await failed(delivery, row, FULL_HASH, "jpeg", "picture-too-much-memory")
    answer = await delivery.get(team.address(row, "full.file"))
    assert (answer.status_code, answer.json()["code"]) == (422, "picture-too-much-memory")
    assert (answer.headers["cache-control"], delivery.publisher.asked) == ("no-store", [])
    await delivery.rows.execute(update(models.rendition_failure).values(failed_at=func.now() - FAILURE_REMEMBERED))
    delivery.let_pass(FRESH_SECONDS + 1)
    assert (await delivery.get(team.address(row, "full.file"))).status_code == 202


@pytest.mark.parametrize("change", ["generation", "image"])
async def test_a_failure_of_another_file_or_image_is_not_this_ones(delivery: Delivery, team: Team, change: str) -> None:
    row = await delivery.uploaded(team, content_type="image/tiff", facts={"has_alpha": False})
    other = await delivery.uploaded(await delivery.team(), b"another", content_type="image/tiff")
    of = {"generation": {**row, "generation": row["generation"] + 1}, "image": other}[change]
    await failed(delivery, of, FULL_HASH, "jpeg", "processing-crashed")
    assert (await delivery.get(team.address(row, "full.file"))).status_code == 202


async def test_nobody_is_told_to_wait_for_what_was_not_asked_for(delivery: Delivery, team: Team) -> None:
    row = await delivery.uploaded(team, content_type="image/tiff")
    delivery.publisher.before = unavailable
    answer = await delivery.get(team.address(row, "full.file"))
    assert (answer.status_code, answer.json()["code"]) == (503, "messaging-unavailable")
    delivery.publisher.before = None
    assert (await delivery.get(team.address(row, "full.file"))).status_code == 202


# --- Sources ----------------------------------------------------------------------------------------------------------


async def test_pictures_of_an_original_too_large_to_read_wait_for_its_source(
    delivery: Delivery, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "MOST_SOURCE_BYTES", 8)
    monkeypatch.setattr(making, "needs_source", lambda *_: True)
    row = await delivery.uploaded(team, b"longer than that")
    for file in ("t-w64.webp", "t-w128.webp"):
        answer = await delivery.get(team.address(row, file))
        assert (answer.status_code, answer.json()["code"]) == (503, "delivery-busy")
        assert (answer.headers["retry-after"], answer.headers["cache-control"]) == ("5", "no-store")
    assert (delivery.publisher.specs, delivery.pool.requests) == ([("source", "webp")], [])
    await delivery.store(row, b"the source", "source", SOURCE_HASH)
    delivery.let_pass(FRESH_SECONDS + 1)
    assert (await delivery.get(team.address(row, "t-w64.webp"))).status_code == 200
    assert delivery.pool.seen == [b"the source"]


async def test_without_any_source_its_pictures_say_why(
    delivery: Delivery, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "MOST_SOURCE_BYTES", 8)
    row = await delivery.uploaded(team, b"longer than that")
    await failed(delivery, row, SOURCE_HASH, "webp", "processing-timeout")
    answer = await delivery.get(team.address(row, "t-w64.webp"))
    assert (answer.status_code, answer.json()["code"]) == (422, "processing-timeout")
    assert delivery.publisher.asked == []


async def test_of_many_pixels_the_original_does_until_there_is_a_source(delivery: Delivery, team: Team) -> None:
    row = await delivery.uploaded(team, width=6000, height=5000)
    for file in ("t-w64.webp", "t-w128.webp"):
        assert (await delivery.get(team.address(row, file))).status_code == 200
        await settled(delivery)
    assert delivery.publisher.specs == [("source", "webp")]
    shrunk = await delivery.uploaded(team, b"shrinks", width=6000, height=5000, content_type="image/jpeg")
    small = await delivery.uploaded(team, b"few pixels")
    for each in (shrunk, small):
        await delivery.get(team.address(each, "t-w64.webp"))
    await settled(delivery)
    assert len(delivery.publisher.asked) == 1


async def test_no_address_shows_a_source(delivery: Delivery, team: Team) -> None:
    row = await delivery.uploaded(team)
    await delivery.store(row, b"the source", "source", SOURCE_HASH)
    for file in ("source.webp", "source.auto", "source.file"):
        assert (await delivery.get(team.address(row, file))).status_code in (400, 404)
    # Not even the transforms that it was made by.
    answer = await delivery.get(team.address(row, "t-w4096-h4096-q90.webp"))
    assert answer.content != b"the source"
