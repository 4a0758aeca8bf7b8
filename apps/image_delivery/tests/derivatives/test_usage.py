"""What is counted of teams, when it is written, and what their budgets refuse."""

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select

from image_core import errors, models, telemetry
from image_core.delivery.encoding import image_text
from image_core.delivery.spec import Recipe
from image_delivery.derivatives.usage import FLUSH_SECONDS

from ..conftest import Answer, Delivery, MakeDelivery, Team

NOON = 1_790_000_000 // 86_400 * 86_400 + 43_200
TODAY = date(1970, 1, 1) + timedelta(days=NOON // 86_400)


async def usage(delivery: Delivery, team: Team) -> dict[date, tuple[int, int, int, int]]:
    table = models.delivery_usage
    columns = (table.c.day, table.c.requests, table.c.bytes, table.c.exact_makes, table.c.open_makes)
    rows = await delivery.rows.fetch(select(*columns).where(table.c.team_id == team.id))
    return {row[0]: (row[1], row[2], row[3], row[4]) for row in rows}


def at(delivery: Delivery, seconds: float) -> None:
    delivery.serving.usage.now = lambda: seconds


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_answers_and_makes_are_counted_and_written_after_a_minute(delivery: Delivery) -> None:
    at(delivery, NOON)
    delivery.serving.usage._flushed_at = NOON
    team = await delivery.team()
    row = await delivery.uploaded(team, visibility="public")
    await delivery.preset(team, "card", width=32)
    exact, public = team.address(row, "t-w64.webp"), f"/i/public/{image_text(row['id'])}/card.webp"
    answers = [await delivery.get(path) for path in (exact, exact, public)]
    answers.append(await delivery.get(exact, if_none_match=answers[0].headers["etag"]))
    await delivery.get(team.address(row, "nothing.webp"))
    assert await usage(delivery, team) == {}

    at(delivery, NOON + FLUSH_SECONDS)
    answers.append(await delivery.get(exact))
    assert await usage(delivery, team) == {TODAY: (5, sum(len(each.content) for each in answers), 1, 1)}
    await delivery.get(exact)
    at(delivery, NOON + 2 * FLUSH_SECONDS)
    await delivery.get(exact)
    assert (await usage(delivery, team))[TODAY][0] == 7


async def test_what_was_sent_and_refused_is_logged_once_a_minute(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(telemetry, "log", lambda event, **fields: lines.append((event, fields)))
    at(delivery, NOON)
    delivery.serving.usage._flushed_at = NOON
    team = await delivery.team()
    row = await delivery.shown(team, b"picture")
    sent = [await delivery.get(team.address(row)) for _ in range(2)]
    lines.clear()

    async def refuse(_: str) -> Any:
        raise errors.DeliveryBusy("Too many wait.", retry_after_seconds=1)

    monkeypatch.setattr(delivery.serving.verification, "permit", refuse)
    assert [(await delivery.get(team.address(row))).status_code for _ in range(3)] == [503] * 3
    assert lines == []

    at(delivery, NOON + FLUSH_SECONDS)
    await delivery.get(team.address(row))
    size_bytes = sum(len(each.content) for each in sent)
    logged = [
        ("delivery_traffic", {"requests": 2, "size_bytes": size_bytes}),
        ("delivery_refusals", {"requests": 4}),
    ]
    assert lines == logged
    await delivery.serving.usage.flush()
    assert lines == logged


async def test_the_rest_is_written_when_the_service_ends(make_delivery: MakeDelivery) -> None:
    async with make_delivery() as delivery:
        team = await delivery.team()
        address = team.address(await delivery.shown(team, b"picture"))
        await delivery.get(address)
    assert [each[:2] for each in (await usage(delivery, team)).values()] == [(1, 7)]


async def test_days_are_counted_apart(delivery: Delivery) -> None:
    team = await delivery.team()
    address = team.address(await delivery.shown(team, b"picture"))
    for day in range(2):
        at(delivery, NOON + day * 86_400)
        await delivery.get(address)
    await delivery.serving.usage.flush()
    assert {day: each[0] for day, each in (await usage(delivery, team)).items()} == {
        TODAY: 1, TODAY + timedelta(days=1): 1
    }  # fmt: skip


async def test_what_cannot_be_written_is_written_later_and_holds_nobody(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = await delivery.team()
    address = team.address(await delivery.shown(team, b"picture"))
    for _ in range(3):
        await delivery.get(address)
    with monkeypatch.context() as away:
        away.setattr(delivery.parts.database, "execute", unavailable)
        await delivery.serving.usage.flush()
    await delivery.get(address)
    await delivery.serving.usage.flush()
    assert [each[0] for each in (await usage(delivery, team)).values()] == [4]


async def unavailable(*_: Any, **__: Any) -> Any:
    raise errors.DatabaseUnavailable


async def test_a_database_that_hangs_delays_a_request_a_little(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = await delivery.team()
    address = team.address(await delivery.shown(team, b"picture"))
    await delivery.get(address)
    ended = asyncio.Event()

    async def hang(*_: Any, **__: Any) -> Any:
        await ended.wait()

    monkeypatch.setattr(delivery.parts.database, "execute", hang)
    now = delivery.serving.usage.now()
    at(delivery, now + FLUSH_SECONDS)
    assert (await delivery.get(address)).content == b"picture"
    ended.set()


async def test_counts_of_a_team_that_is_gone_are_let_go(delivery: Delivery) -> None:
    team, other = await delivery.team(), await delivery.team()
    for each in (team, other):
        await delivery.get(each.address(await delivery.shown(each, b"picture")))
    await delivery.rows.execute(delete(models.image).where(models.image.c.team_id == other.id))
    await delivery.rows.execute(delete(models.team).where(models.team.c.id == other.id))
    await delivery.serving.usage.flush()
    assert len(await usage(delivery, team)) == 1
    assert await usage(delivery, other) == {}


async def test_a_rendition_that_is_used_says_so_once_a_day(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team)
    name = await delivery.rendition(row, Recipe(width_px=64), b"made", last_used_on=date(2020, 1, 1))
    other = await delivery.rendition(row, Recipe(width_px=128), b"made", last_used_on=date(2020, 1, 1))
    for file in ("t-w64.webp", "thumb.webp", "t-w64.webp"):
        await delivery.get(team.address(row, file))
    assert delivery.serving.usage._used == {name}
    await delivery.serving.usage.flush()
    today = await delivery.rows.fetch_value(select(func.current_date()))
    used = {each["object_name"]: each["last_used_on"] for each in await delivery.renditions(row["id"])}
    assert used == {name: today, other: date(2020, 1, 1)}
    await delivery.get(team.address(row, "t-w64.webp"))
    assert delivery.serving.usage._used == set()


# --- Budgets ---------------------------------------------------------------------------------------------------------


async def test_makes_of_a_day_are_limited_for_exact_and_open_grants_apart(make_delivery: MakeDelivery) -> None:
    async with make_delivery(delivery_exact_makes_per_day=2, delivery_open_makes_per_day=1) as delivery:
        at(delivery, NOON)
        team, other = await delivery.team(), await delivery.team()
        row, others = await delivery.uploaded(team), await delivery.uploaded(other, b"others")
        for name in ("one", "two"):
            await delivery.preset(team, name, width=32 if name == "one" else 48)
        exact = [team.address(row, f"t-h{number}.webp") for number in (1, 2, 3)]
        assert [(await delivery.get(path)).status_code for path in exact] == [200, 200, 429]
        grant = team.grant(row, "p")
        opened = [await delivery.get(f"/i/{grant}/{name}.webp") for name in ("one", "two")]
        assert [each.status_code for each in opened] == [200, 429]
        assert refusal(opened[1]) == (429, "delivery-quota-exceeded")
        assert opened[1].headers["retry-after"] == "43200"
        # What is stored is delivered all the same, and so is everything of other teams.
        assert (await delivery.get(exact[0])).status_code == 200
        assert (await delivery.get(other.address(others, "t-h1.webp"))).status_code == 200
        at(delivery, NOON + 86_400)
        assert (await delivery.get(exact[2])).status_code == 200


async def test_makes_that_other_instances_wrote_count_too(make_delivery: MakeDelivery) -> None:
    async with make_delivery(delivery_exact_makes_per_day=5) as delivery:
        at(delivery, NOON)
        team = await delivery.team()
        row = await delivery.uploaded(team)
        values = {"team_id": team.id, "exact_makes": 4}
        await delivery.rows.execute(insert(models.delivery_usage).values(day=TODAY, **values))
        await delivery.rows.execute(insert(models.delivery_usage).values(day=TODAY - timedelta(days=1), **values))
        files = [team.address(row, f"t-h{number}.webp") for number in (1, 2)]
        assert [(await delivery.get(path)).status_code for path in files] == [200, 429]


async def test_delivered_bytes_of_a_month_are_limited(make_delivery: MakeDelivery) -> None:
    async with make_delivery(delivery_bytes_per_month=1000) as delivery:
        at(delivery, NOON)
        team = await delivery.team()
        address = team.address(await delivery.shown(team, bytes(400)))
        await delivery.rows.execute(
            insert(models.delivery_usage).values(team_id=team.id, day=TODAY.replace(day=1), bytes=300)
        )
        last_month = TODAY.replace(day=1) - timedelta(days=1)
        await delivery.rows.execute(insert(models.delivery_usage).values(team_id=team.id, day=last_month, bytes=10_000))
        answers = [await delivery.get(address) for _ in range(3)]
        assert [each.status_code for each in answers] == [200, 200, 429]
        assert refusal(answers[2]) == (429, "delivery-quota-exceeded")
        assert "retry-after" not in answers[2].headers
        assert answers[2].headers["cache-control"] == "no-store"


async def test_without_the_database_no_budget_refuses_anything(make_delivery: MakeDelivery) -> None:
    async with make_delivery(delivery_bytes_per_month=1) as delivery:
        team = await delivery.team()
        address = team.address(await delivery.shown(team, b"picture"))
        verification = delivery.serving.verification
        await verification._images.rows.get((await delivery.row(await only_image(delivery, team)))["id"])
        await verification._presets.of(team.id)
        await verification._keys.read()
        await delivery.parts.database.close()
        assert (await delivery.get(address)).status_code == 200


async def only_image(delivery: Delivery, team: Team) -> Any:
    return await delivery.rows.fetch_value(select(models.image.c.id).where(models.image.c.team_id == team.id))


async def test_two_at_once_for_one_picture_are_one_make(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.uploaded(team)
    await asyncio.gather(*(delivery.get(team.address(row, "t-w64.webp")) for _ in range(5)))
    await delivery.serving.usage.flush()
    assert [each[2] for each in (await usage(delivery, team)).values()] == [1]
