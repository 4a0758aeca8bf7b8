"""Pictures that are made for the first request: once for all who ask, kept in order, refused within limits."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, update

from image_core import errors, models, testing
from image_core.delivery.encoding import image_text
from image_core.delivery.spec import Recipe
from image_core.images.object_names import claim_folder, rendition_name
from image_delivery.derivatives import making
from image_delivery.derivatives.making import FAILURE_SECONDS
from image_engine.contract.rejections import PictureRejected, WorkerInterrupted, WorkerUnavailable
from image_engine.contract.renditions import RenditionRequest

from ..conftest import Answer, Delivery, MakeDelivery, Team

W64, W128 = Recipe(width_px=64), Recipe(width_px=128)
FILE = "t-w64.webp"


@pytest.fixture
async def team(delivery: Delivery) -> Team:
    return await delivery.team()


class Held:
    """A pool that makes nothing until it is let go."""

    def __init__(self, delivery: Delivery) -> None:
        self.go_on = asyncio.Event()
        self.pool = delivery.pool
        delivery.pool.before = self._hold

    async def _hold(self, _: RenditionRequest) -> None:
        await self.go_on.wait()

    async def until_asked(self, times: int = 1) -> None:
        async with asyncio.timeout(10):
            while len(self.pool.requests) < times:
                await asyncio.sleep(0.01)


def raising(*failures: Exception) -> Callable[[RenditionRequest], Awaitable[None]]:
    """The pool fails with each of these in turn, and then no more."""
    left = list(failures)

    async def fail(_: RenditionRequest) -> None:
        if left:
            raise left.pop(0)

    return fail


async def unavailable(*_: Any, **__: Any) -> Any:
    raise errors.StorageUnavailable("It is away.")


# --- Made and kept ---------------------------------------------------------------------------------------------------


async def test_what_is_not_stored_is_made_of_the_original_and_then_found(delivery: Delivery, team: Team) -> None:
    row = await delivery.uploaded(team, b"the original")
    address = team.address(row, FILE)
    first, second = await delivery.get(address), await delivery.get(address)
    assert [(each.status_code, each.content) for each in (first, second)] == [(200, delivery.pool.made(W64))] * 2
    assert [each.headers["x-derivative"] for each in (first, second)] == ["made", "hit"]
    assert first.headers["etag"] == second.headers["etag"]
    assert delivery.pool.seen == [b"the original"]
    (request,) = delivery.pool.requests
    assert (request.recipe, request.format, request.effort) == (W64, "webp", None)
    assert request.limits == delivery.parts.settings.limits


async def test_a_rendition_is_an_object_and_a_row_and_no_promise(delivery: Delivery, team: Team) -> None:
    row = await delivery.uploaded(team)
    await delivery.get(team.address(row, "t-w64.jpeg"))
    (rendition,) = await delivery.renditions(row["id"])
    made = delivery.pool.made(W64, "jpeg")
    assert {name: rendition[name] for name in ("generation", "spec_hash", "format", "preset", "eager")} == {
        "generation": row["generation"], "spec_hash": W64.hash(), "format": "jpeg", "preset": None, "eager": False,
    }  # fmt: skip
    assert (rendition["team_id"], rendition["size_bytes"]) == (team.id, len(made))
    assert rendition["sha256"] == hashlib.sha256(made).digest()
    assert rendition["object_name"].startswith(f"derivatives/{team.id}/{row['id']}/{row['generation']}-")
    assert await delivery.objects(team) == [rendition["object_name"]]
    assert await delivery.parts.derivatives.read(rendition["object_name"], None, 0, len(made) - 1) == made
    assert await delivery.promised() == []


async def test_a_preset_in_any_of_its_formats_is_made_under_its_name(delivery: Delivery, team: Team) -> None:
    row = await delivery.uploaded(team, visibility="public")
    await delivery.preset(team, "card", width=64, formats=["jpeg", "avif"], open=True)
    for extension in ("jpeg", "avif"):
        answer = await delivery.get(f"/i/public/{image_text(row['id'])}/card.{extension}")
        assert (answer.content, answer.headers["x-derivative"]) == (delivery.pool.made(W64, extension), "made")
    assert {each["preset"] for each in await delivery.renditions(row["id"])} == {"card"}


async def test_another_instance_finds_what_this_one_made(make_delivery: MakeDelivery) -> None:
    async with make_delivery() as one, make_delivery() as other:
        team = await one.team()
        row = await one.uploaded(team)
        made, found = await one.get(team.address(row, FILE)), await other.get(team.address(row, FILE))
        assert made.content == found.content
        assert (found.headers["x-derivative"], other.pool.requests) == ("hit", [])


async def test_auto_makes_jpeg_or_png_for_a_browser_that_names_no_format(delivery: Delivery, team: Team) -> None:
    opaque = await delivery.uploaded(team, b"one", facts={"has_alpha": False})
    clear = await delivery.uploaded(team, b"two", facts={"has_alpha": True})
    for row, file, content_type in (
        (opaque, "t-w64.auto", "image/jpeg"),
        (clear, "t-w64.auto", "image/png"),
        (clear, "t-w64-bgffffff.auto", "image/jpeg"),
    ):
        answer = await delivery.get(team.address(row, file), accept="*/*")
        assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)
    answer = await delivery.get(team.address(opaque, "t-w64.auto"), accept="image/avif,image/webp")
    # AVIF is never made for it.
    assert answer.headers["content-type"] == "image/webp"


async def test_a_picture_for_the_focal_point_follows_it_under_the_same_address(delivery: Delivery, team: Team) -> None:
    row = await delivery.uploaded(team)
    await delivery.preset(team, "card", height=64, fit="cover", gravity="fo")
    addresses = [team.address(row, f"{spec}.webp") for spec in ("t-w64-h64-cover-fo", "card")]
    for point, gravity in (((None, None), "ce"), ((900, 100), "x900y100"), ((0, 1000), "x0y1000")):
        await delivery.change(row["id"], focal_x=point[0], focal_y=point[1])
        delivery.let_pass(5.1)
        answers = [await delivery.get(address) for address in addresses]
        expected = Recipe(width_px=64, height_px=64, fit="cover", gravity=gravity)
        assert {answer.content for answer in answers} == {delivery.pool.made(expected)}
        assert {answer.headers["cache-control"] for answer in answers} == {"public, max-age=300, s-maxage=300"}
    assert len(delivery.pool.requests) == 3
    # What was stored for an earlier point is found again by it alone.
    await delivery.change(row["id"], focal_x=900, focal_y=100)
    delivery.let_pass(5.1)
    answer = await delivery.get(addresses[1])
    assert (answer.content, answer.headers["x-derivative"]) == (
        delivery.pool.made(Recipe(64, 64, "cover", "x900y100")), "hit",
    )  # fmt: skip


async def test_head_and_conditions_make_what_get_would(delivery: Delivery, team: Team) -> None:
    row = await delivery.uploaded(team)
    head = await delivery.get(team.address(row, FILE), "HEAD")
    assert (head.status_code, head.content, head.headers["x-derivative"]) == (200, b"", "made")
    assert (await delivery.get(team.address(row, FILE))).headers["x-derivative"] == "hit"
    part = await delivery.get(team.address(row, "t-w128.webp"), range="bytes=0-1")
    assert (part.status_code, part.content) == (206, delivery.pool.made(W128)[:2])


async def test_a_large_picture_is_sent_as_it_was_made(delivery: Delivery, team: Team) -> None:
    delivery.pool.size_bytes = 2 * 1024 * 1024
    row = await delivery.uploaded(team)
    for origin in ("made", "hit"):
        answer = await delivery.get(team.address(row, FILE))
        assert (answer.content, answer.headers["x-derivative"]) == (delivery.pool.made(W64), origin)


# --- Sources ---------------------------------------------------------------------------------------------------------


async def test_an_image_with_a_source_is_made_of_that(delivery: Delivery, team: Team) -> None:
    row = await delivery.uploaded(team, b"the original")
    await delivery.store(row, b"the smaller source", "source")
    await delivery.get(team.address(row, FILE))
    assert delivery.pool.seen == [b"the smaller source"]
    assert (await delivery.get(team.address(row, "source.webp"))).status_code == 404


async def test_an_original_that_is_away_is_503_and_tried_again(delivery: Delivery, team: Team) -> None:
    row = await delivery.uploaded(team)
    await delivery.parts.originals.delete(row["object_name"])
    assert (await delivery.get(team.address(row, FILE))).json()["code"] == "storage-unavailable"
    await delivery.parts.originals.put(row["object_name"], b"back again", "image/png")
    await delivery.change(row["id"], generation=(await delivery.parts.originals.stat(row["object_name"])).generation)  # type: ignore[union-attr]
    row = await delivery.row(row["id"])
    assert (await delivery.get(team.address(row, FILE))).status_code == 200


# --- Many at once ----------------------------------------------------------------------------------------------------


async def test_two_hundred_first_requests_have_one_picture_made(delivery: Delivery, team: Team) -> None:
    held = Held(delivery)
    row = await delivery.uploaded(team)
    waiting = [asyncio.create_task(delivery.get(team.address(row, FILE))) for _ in range(200)]
    await held.until_asked()
    held.go_on.set()
    answers = await asyncio.gather(*waiting)
    assert {(each.status_code, each.content) for each in answers} == {(200, delivery.pool.made(W64))}
    origins = [each.headers["x-derivative"] for each in answers]
    assert (origins.count("made"), set(origins) <= {"made", "waited", "hit"}) == (1, True)
    assert len(delivery.pool.requests) == 1


async def test_a_picture_is_made_although_its_first_caller_leaves(delivery: Delivery, team: Team) -> None:
    held = Held(delivery)
    row = await delivery.uploaded(team)
    leaving, staying = (asyncio.create_task(delivery.get(team.address(row, FILE))) for _ in range(2))
    await held.until_asked()
    leaving.cancel()
    await asyncio.wait([leaving])
    held.go_on.set()
    assert (await staying).content == delivery.pool.made(W64)
    assert len(delivery.pool.requests) == 1


async def test_the_sources_in_memory_are_as_few_as_the_places(delivery: Delivery, team: Team) -> None:
    held = Held(delivery)
    rows = [await delivery.uploaded(team, b"%d" % number) for number in range(5)]
    waiting = [asyncio.create_task(delivery.get(team.address(row, FILE))) for row in rows]
    await held.until_asked()
    await asyncio.wait(waiting, timeout=0.2)
    # One worker and one that fetches meanwhile, of which one team may have one.
    assert len(delivery.pool.seen) == 1
    held.go_on.set()
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}


async def test_more_than_can_be_made_in_time_are_refused_at_once(make_delivery: MakeDelivery) -> None:
    async with make_delivery(delivery_queue_seconds=30) as delivery:
        held = Held(delivery)
        delivery.serving.makers.places._estimate_seconds = 15
        team, other = await delivery.team(), await delivery.team()
        row, others = await delivery.uploaded(team), await delivery.uploaded(other, b"of another team")
        files = [f"t-h{number}.webp" for number in range(1, 65)]
        waiting = [asyncio.create_task(delivery.get(team.address(row, file))) for file in files]
        # At fifteen seconds each, one is made and three wait: the rest learn it while nothing has been made.
        refused: list[asyncio.Task[Answer]] = []
        async with asyncio.timeout(20):
            while len(refused) < 60:
                await asyncio.sleep(0.01)
                refused = [each for each in waiting if each.done()]
        for each in refused:
            answer = each.result()
            assert (answer.status_code, answer.json()["code"]) == (503, "delivery-busy")
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["cache-control"] == "no-store"
        # Another team's picture has a place all the same.
        asked = asyncio.create_task(delivery.get(other.address(others, FILE)))
        async with asyncio.timeout(10):
            while b"of another team" not in delivery.pool.seen:
                await asyncio.sleep(0.01)
        held.go_on.set()
        assert (await asked).status_code == 200
        answers = [each.status_code for each in await asyncio.gather(*waiting)]
        assert (answers.count(200), answers.count(503)) == (4, 60)


# --- Failures --------------------------------------------------------------------------------------------------------


async def test_a_picture_that_cannot_be_made_is_remembered_for_an_hour(delivery: Delivery, team: Team) -> None:
    row = await delivery.uploaded(team, visibility="public")
    delivery.pool.before = raising(PictureRejected("processing-crashed"))
    address = team.address(row, FILE)
    for _ in range(2):
        answer = await delivery.get(address)
        assert (answer.status_code, answer.json()["code"]) == (422, "processing-crashed")
        assert answer.headers["cache-control"] == "no-store"
    assert len(delivery.pool.requests) == 1
    # Of that spec alone.
    assert (await delivery.get(team.address(row, "t-w128.webp"))).status_code == 200
    delivery.let_pass(FAILURE_SECONDS - 1)
    assert (await delivery.get(address)).status_code == 422
    delivery.let_pass(1)
    assert (await delivery.get(address)).status_code == 200


async def test_a_picture_that_needs_too_much_memory_is_told_to_whoever_asks_for_it(
    delivery: Delivery, team: Team
) -> None:
    row = await delivery.uploaded(team)
    delivery.pool.before = raising(PictureRejected("picture-too-much-memory"))
    body = (await delivery.get(team.address(row, "t-w4096-h4096-pad.webp"))).json()
    assert (body["code"], body["title"]) == ("picture-too-much-memory", "The picture cannot be made")
    # The image is ready: uploading it again would not help.
    assert "upload" not in body["detail"]
    assert "Ask for a smaller one" in body["detail"]


async def test_an_unsigned_request_is_not_told_why_a_picture_cannot_be_made(delivery: Delivery, team: Team) -> None:
    row = await delivery.uploaded(team, visibility="public")
    delivery.pool.before = raising(PictureRejected("image-undecodable"))
    answer = await delivery.get(f"/i/public/{image_text(row['id'])}/thumb.webp")
    assert (answer.status_code, answer.content) == (404, b"")


async def test_failures_take_bounded_memory(delivery: Delivery, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_MOST_FAILURES", 3)
    delivery.pool.before = raising(*(PictureRejected("image-undecodable") for _ in range(6)))
    row = await delivery.uploaded(team)
    for number in range(1, 7):
        await delivery.get(team.address(row, f"t-h{number}.webp"))
    assert len(delivery.serving.makers._failed) == 3
    assert delivery.serving.makers._under_way == {}


@pytest.mark.parametrize("failure", [WorkerUnavailable("none"), WorkerInterrupted("killed")])
async def test_a_fault_of_a_worker_is_503_and_not_remembered(
    delivery: Delivery, team: Team, failure: Exception
) -> None:
    row = await delivery.uploaded(team)
    delivery.pool.before = raising(failure)
    answer = await delivery.get(team.address(row, FILE))
    assert (answer.status_code, answer.json()["code"]) == (503, "delivery-busy")
    assert (await delivery.get(team.address(row, FILE))).status_code == 200


async def test_what_hangs_holds_nobody_for_ever(
    delivery: Delivery, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "_PATIENCE_SECONDS", 0.05)
    held = Held(delivery)
    row = await delivery.uploaded(team)
    answer = await delivery.get(team.address(row, FILE))
    assert (answer.status_code, answer.json()["code"]) == (503, "delivery-busy")
    held.go_on.set()


# --- Storing under faults --------------------------------------------------------------------------------------------


async def test_a_picture_is_answered_although_storage_does_not_take_it(
    delivery: Delivery, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = await delivery.uploaded(team)
    with monkeypatch.context() as away:
        away.setattr(delivery.parts.derivatives, "put", unavailable)
        answer = await delivery.get(team.address(row, FILE))
        assert (answer.status_code, answer.content) == (200, delivery.pool.made(W64))
    assert await delivery.renditions(row["id"]) == []
    (promised,) = await delivery.promised()
    assert promised.startswith(f"derivatives/{team.id}/")
    assert (await delivery.get(team.address(row, FILE))).headers["x-derivative"] == "made"
    assert len(await delivery.renditions(row["id"])) == 1


@pytest.mark.parametrize("cause", ["trashed", "purged", "replaced", "another made it", "its removal began"])
async def test_what_comes_too_late_leaves_no_row_and_its_promise(
    delivery: Delivery, team: Team, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    row = await delivery.uploaded(team)
    now = testing.datetime.now(testing.UTC)
    put, former, other = delivery.parts.derivatives.put, list[str](), list[str]()

    async def meanwhile(*arguments: Any) -> Any:
        stored = await put(*arguments)
        if other:
            return stored
        other.append(cause)
        if cause == "another made it":
            former.append(await delivery.rendition(row, W64, b"faster"))
        elif cause == "its removal began":
            await delivery.rows.execute(update(models.discarded_object).values(attempts=1))
        else:
            await delivery.change(row["id"], **{
                "trashed": {"deleted_at": now}, "purged": {"deleted_at": now, "purge_marked_at": now},
                "replaced": {"generation": row["generation"] + 1},
            }[cause])  # fmt: skip
        return stored

    monkeypatch.setattr(delivery.parts.derivatives, "put", meanwhile)
    answer = await delivery.get(team.address(row, FILE))
    assert (answer.status_code, answer.content) == (200, delivery.pool.made(W64))
    assert [each["object_name"] for each in await delivery.renditions(row["id"])] == former
    promised = await delivery.promised()
    assert set(await delivery.objects(team)) - set(promised) == set(former)
    assert len(promised) == 1


@pytest.mark.parametrize("step", ["promise", "object", "row"])
async def test_killed_at_any_step_it_leaves_nothing_that_no_promise_removes(
    delivery: Delivery, team: Team, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    class Killed(BaseException):
        """Nothing may catch it, as nothing can catch SIGKILL."""

    row = await delivery.uploaded(team)
    put, transaction = delivery.parts.derivatives.put, delivery.parts.database.transaction

    async def killed_put(*arguments: Any) -> Any:
        if step == "promise":
            raise Killed
        await put(*arguments)
        raise Killed

    monkeypatch.setattr(delivery.parts.derivatives, "put", killed_put if step != "row" else put)
    if step == "row":
        times = iter(range(9))

        def killed_transaction() -> Any:
            if next(times):
                raise Killed
            return transaction()

        monkeypatch.setattr(delivery.parts.database, "transaction", killed_transaction)
    with pytest.raises(Killed):
        await making.storing.store(
            delivery.parts, making.Order(row["id"], row["generation"], W64.hash(), "webp"), None,
            making.StoredPicture(f"derivatives/{team.id}/{row['id']}/1-x/y.webp", 1, bytes(32), 1),
            making.Rendition("webp", 1, 1, 1, b"x"),
        )  # fmt: skip
    assert await delivery.renditions(row["id"]) == []
    assert set(await delivery.objects(team)) <= set(await delivery.promised())
    assert len(await delivery.promised()) == 1


async def test_a_picture_whose_object_was_removed_is_made_again(delivery: Delivery, team: Team) -> None:
    row = await delivery.uploaded(team)
    delivery.pool.size_bytes = 300 * 1024
    assert (await delivery.get(team.address(row, FILE))).status_code == 200
    (name,) = await delivery.objects(team)
    await delivery.rows.execute(delete(models.rendition))
    await delivery.parts.derivatives.delete(name)
    answer = await delivery.get(team.address(row, FILE))
    assert (answer.status_code, answer.headers["x-derivative"]) == (200, "made")


async def test_an_image_keeps_as_many_transforms_as_it_may_and_every_preset(make_delivery: MakeDelivery) -> None:
    async with make_delivery(delivery_max_transforms=3) as delivery:
        team = await delivery.team()
        row = await delivery.uploaded(team)
        await delivery.preset(team, "card", width=32)
        await delivery.get(team.address(row, "card.webp"))
        kept = await delivery.rendition(row, Recipe(height_px=99), b"eager", eager=True)
        for number in (1, 2, 3):
            await delivery.get(team.address(row, f"t-h{number}.webp"))
        first, *_ = (each for each in await delivery.renditions(row["id"]) if each["spec_hash"] == spec_of(1))
        # The oldest was used today, and the second long ago.
        await delivery.rows.execute(
            update(models.rendition).where(models.rendition.c.spec_hash == spec_of(2)).values(
                last_used_on=func.current_date() - timedelta(days=9)
            )
        )  # fmt: skip
        await delivery.get(team.address(row, "t-h4.webp"))
        left = await delivery.renditions(row["id"])
        assert {each["spec_hash"] for each in left} == {
            spec_of(1), spec_of(3), spec_of(4), Recipe(width_px=32).hash(), Recipe(height_px=99).hash()
        }  # fmt: skip
        assert kept in {each["object_name"] for each in left}
        assert first["object_name"] not in await delivery.promised()
        assert len(await delivery.promised()) == 1


def spec_of(height_px: int) -> bytes:
    return Recipe(height_px=height_px).hash()


async def test_makes_are_counted_by_what_became_of_them(make_delivery: MakeDelivery) -> None:
    async with make_delivery(metrics_enabled=True) as delivery:
        team = await delivery.team()
        row = await delivery.uploaded(team)
        delivery.pool.before = raising(PictureRejected("image-undecodable"), WorkerUnavailable("none"))
        for number in (1, 2, 3, 3):
            await delivery.get(team.address(row, f"t-h{number}.webp"))
        text = (await delivery.client.get("/metrics")).text
    for outcome in ("image-undecodable", "delivery-busy", "made"):
        assert f'delivery_made_total{{outcome="{outcome}"}} 1.0' in text
    assert "delivery_make_seconds_count 1.0" in text
    assert "delivery_waiting 0.0" in text


async def test_names_of_renditions_lie_in_the_folder_that_purge_removes() -> None:
    folder = claim_folder(testing.new_id(), testing.new_id(), 5, testing.new_id())
    assert rendition_name(folder, b"\x01" * 16, "avif") == f"{folder}{'01' * 16}.avif"
