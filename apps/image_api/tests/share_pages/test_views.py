"""Views of share links: what counts, how often, and what is kept of a visitor."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import delete, select, update

from image_api.share_pages import views
from image_core import errors
from image_core.delivery.encoding import image_text
from image_core.models import share_link, share_link_visit
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi
from .conftest import BROWSER, PASSWORD, Link, add_images, add_link


async def counted(link: Link) -> int:
    await link.api.app.state.view_counts.flush(link.api.services.database)
    found: int = (await link.row())["views"]
    return found


async def test_a_visitor_counts_once_an_hour_however_much_it_looks_at(link: Link) -> None:
    for path in ("", "", f"/{image_text(link.image_ids[0])}"):
        await link.get(path)
    assert await counted(link) == 1
    await link.get()
    assert await counted(link) == 1
    await link.api.rows.execute(
        update(share_link_visit).values(hour=share_link_visit.c.hour - timedelta(hours=1))
    )  # fmt: skip
    await link.get()
    assert await counted(link) == 2
    seen_at = (await link.row())["last_viewed_at"]
    assert timedelta(0) <= datetime.now(UTC) - seen_at < timedelta(minutes=1)


async def test_visitors_are_told_apart_by_network_and_browser(make_api: MakeApi, api: Api) -> None:
    async with make_api(trusted_proxy_depth=1) as made:
        owner = await made.user()
        link, other = [await add_link(made, owner, await add_images(made, owner, 1)) for _ in range(2)]
        alike = ("192.0.2.1", "192.0.2.200", "::ffff:192.0.2.7"), ("192.0.3.1",), ("2001:db8:1:1::1", "2001:db8:1:2::1")
        for address in chain.from_iterable(alike):
            await link.get(x_forwarded_for=address)
        await link.get(x_forwarded_for="192.0.2.1", user_agent="Another")
        await other.get(x_forwarded_for="192.0.2.1")
        assert (await counted(link), await counted(other)) == (4, 1)
        # The same visitor is another one elsewhere, and nothing tells who it was.
        visits = await made.rows.fetch(select(share_link_visit.c.visitor))
        assert len({row["visitor"] for row in visits}) == 5


async def test_the_key_of_visitors_changes_daily(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC).timestamp()
    monkeypatch.setattr(views.time, "time", lambda: now)
    await link.get()
    monkeypatch.setattr(views.time, "time", lambda: now + 86_400)
    await link.get()
    assert await counted(link) == 2
    visits = await link.api.rows.fetch(select(share_link_visit.c.visitor))
    assert len({row["visitor"] for row in visits}) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-purpose": "prefetch"},
        {"sec-purpose": "prefetch;prerender"},
        {"purpose": "prefetch"},
        {"user-agent": ""},
        {"user-agent": "WhatsApp/2.23.20.0"},
        {"user-agent": "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)"},
        {"user-agent": "facebookexternalhit/1.1"},
        {"user-agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"},
        {"user-agent": "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5"},
    ],
)
async def test_programs_and_loading_ahead_do_not_count(link: Link, headers: dict[str, str]) -> None:
    answer = await link.api.client.get(link.path, headers={"user-agent": BROWSER, **headers})
    assert answer.status_code == 200
    assert await counted(link) == 0


async def test_head_shows_what_get_would_and_does_not_count(link: Link) -> None:
    got = await link.get()
    link.api.app.state.view_counts._seen.clear()
    head = await link.api.client.head(link.path, headers={"user-agent": BROWSER})
    assert head.status_code == 200
    assert head.headers["content-length"] == got.headers["content-length"]
    assert await counted(link) == 0


async def test_who_sees_only_the_password_page_does_not_count(api: Api, member: UserWithKey) -> None:
    link = await add_link(api, member, [], password=PASSWORD)
    await link.get()
    await link.enter("wrong")
    assert await counted(link) == 0


async def test_an_outage_costs_no_answer_and_no_view(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    database = link.api.services.database

    async def unavailable(*_: object, **__: object) -> int:
        raise errors.DatabaseUnavailable

    await link.get()
    with monkeypatch.context() as patched:
        patched.setattr(database, "execute", unavailable)
        await link.api.app.state.view_counts.flush(database)
    assert (await link.row())["views"] == 0
    assert await counted(link) == 1


async def test_a_long_outage_fills_no_more_memory_than_a_short_one(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "_MOST_KEPT", 3)
    counts, database = link.api.app.state.view_counts, link.api.services.database

    async def unavailable(*_: object, **__: object) -> int:
        for number in range(3):
            await link.get(user_agent=f"{BROWSER} while it waits {number}")
        raise errors.DatabaseUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(database, "execute", unavailable)
        for _ in range(3):
            await link.get()
            await counts.flush(database)
    assert await counted(link) == 3


async def test_a_stop_while_views_are_written_loses_none(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    database = link.api.services.database

    async def cancelled(*_: object, **__: object) -> int:
        raise asyncio.CancelledError

    await link.get()
    with monkeypatch.context() as patched:
        patched.setattr(database, "execute", cancelled)
        with pytest.raises(asyncio.CancelledError):
            await link.api.app.state.view_counts.flush(database)
    assert await counted(link) == 1


async def test_a_link_that_was_removed_meanwhile_keeps_no_other_from_being_counted(
    api: Api, member: UserWithKey, link: Link
) -> None:
    removed = await add_link(api, member, [])
    for each in (removed, link):
        await each.get()
    await api.rows.execute(delete(share_link).where(share_link.c.id == removed.id))
    assert await counted(link) == 1


async def test_logs_and_traces_name_the_link_by_its_route(
    make_api: MakeApi, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    caplog.set_level("INFO", "image_manager")
    async with make_api(tracer_provider=provider) as made:
        owner = await made.user()
        link = await add_link(made, owner, await add_images(made, owner, 1))
        await link.get("?page=1")
        await link.get(f"/{image_text(link.image_ids[0])}")
        await link.enter(PASSWORD)
    lines = [vars(record) for record in caplog.records if record.name == "image_manager"]
    assert len([line for line in lines if line["msg"] == "request"]) == 3
    spans = [f"{span.name}{dict(span.attributes or {})}" for span in exporter.get_finished_spans()]
    assert any("/s/{token}" in span for span in spans)
    assert [each for each in (*map(str, lines), *spans) if link.token in each] == []
