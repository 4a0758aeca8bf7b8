"""Webhooks on the console's pages, without script: made once, shown once, followed, sent again, and the team's own."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert, select, update

from image_api.actor import DEFAULT_SCOPES, Role, Scope
from image_api.limits.rate_limits import RateLimits
from image_core import testing
from image_core.db import Record
from image_core.models import event, webhook, webhook_attempt, webhook_delivery

from ..conftest import Api, Person
from .browser import Browser
from .catalogue import add_hook

HOOKS = "/console/webhooks"
DELIVERIES = "/console/webhook-deliveries"
SCOPES = (*DEFAULT_SCOPES[Role.MEMBER], Scope.WEBHOOKS_MANAGE)
URL = "https://hooks.example.com/in?token=hidden"


@pytest.fixture
async def ada(api: Api) -> Person:
    return await api.person(name="Ada", scopes=SCOPES)


@pytest.fixture
async def browser(api: Api, ada: Person) -> Browser:
    browser = Browser(api)
    await browser.sign_in(ada)
    return browser


async def row_of(api: Api, of: Person) -> Record:
    (found,) = await api.rows.fetch(select(webhook).where(webhook.c.team_id == of.team_id))
    return found


async def test_it_is_made_shown_once_changed_and_given_another_secret(api: Api, ada: Person, browser: Browser) -> None:
    await browser.get(f"{HOOKS}/new")
    form = browser.form(HOOKS) | {"url": "http://hooks.example.com", "description": "orders"}
    form = {name: value for name, value in form.items() if name not in ("disabled", "types", "all_types")}
    assert "Choose at least one type" in (await browser.post(HOOKS, form)).text
    form["types"] = "image.ready"
    refused = await browser.post(HOOKS, form)
    assert refused.status_code == 422
    assert browser.form(HOOKS)["url"] == "http://hooks.example.com"
    assert 'id="url-mistake"' in refused.text

    form |= {"url": URL, "idempotency_key": browser.form(HOOKS)["idempotency_key"]}
    made = await browser.post(HOOKS, form)
    (secret,) = re.findall(r"whsec_[\w+/=]{44}", made.text)
    again = await browser.post(HOOKS, form)
    assert "shown before" in again.text
    assert secret not in again.text
    hook = await row_of(api, ada)
    path = f"{HOOKS}/{hook['id']}"
    listed = (await browser.get(HOOKS)).text
    assert "hooks.example.com" in listed
    assert "token=hidden" not in listed
    assert "token=hidden" in (await browser.get(path)).text

    await browser.get(f"{path}/change")
    stale = {name: value for name, value in browser.form(f"{path}/change").items() if name != "all_types"}
    stale |= {"types": "image.ready", "description": "parcels"}
    assert (await browser.post(f"{path}/change", stale)).headers["location"] == f"{path}?done=changed"
    assert (await row_of(api, ada))["description"] == "parcels"
    conflict = await browser.post(f"{path}/change", stale | {"description": "letters"})
    assert conflict.status_code == 412
    assert "Somebody has changed it meanwhile" in conflict.text

    await browser.get(f"{path}/rotate")
    rotated = await browser.post(f"{path}/rotate", browser.form(f"{path}/rotate") | {"grace_period_seconds": "3600"})
    assert secret not in rotated.text
    assert "signs as well until" in rotated.text
    await browser.get(f"{path}/rotate")
    unforced = {name: value for name, value in browser.form(f"{path}/rotate").items() if name != "force"}
    refused = await browser.post(f"{path}/rotate", unforced | {"grace_period_seconds": "0"})
    assert "rotation-in-grace" in refused.text
    forced = await browser.submit(f"{path}/rotate", grace_period_seconds="0", force="true")
    assert "The old one signs no more" in forced.text
    assert (await row_of(api, ada))["secret_version"] == 3


async def test_a_person_without_the_right_to_keys_keeps_what_another_chose(api: Api, browser: Browser) -> None:
    bare = await api.person(scopes=(Scope.WEBHOOKS_MANAGE,))
    assert bare.team_id is not None
    kinds = ["credential.leaked", "image.ready"]
    hook_id = await testing.add_webhook(api.rows, bare.team_id, types=kinds, with_credentials=True)
    await browser.sign_in(bare)
    page = (await browser.get(f"{HOOKS}/{hook_id}/change")).text
    assert re.findall(r'value="(credential\.\w+)"', page) == ["credential.leaked"]
    form = {name: value for name, value in browser.form(f"{HOOKS}/{hook_id}/change").items() if name != "all_types"}
    form |= {"types": kinds, "description": "mine"}  # type: ignore[dict-item]
    await browser.post(f"{HOOKS}/{hook_id}/change", form)
    row = await row_of(api, bare)
    assert (row["types"], row["with_credentials"], row["description"]) == (kinds, True, "mine")


async def test_it_is_tested_disabled_enabled_and_deleted(api: Api, ada: Person, browser: Browser) -> None:
    assert ada.team_id is not None
    path = f"{HOOKS}/{await testing.add_webhook(api.rows, ada.team_id)}"
    await browser.get(path)
    form = browser.form(f"{path}/test")
    # Sent twice, it sends one test.
    (delivery,) = {(await browser.post(f"{path}/test", form)).headers["location"] for _ in range(2)}
    assert delivery.startswith(DELIVERIES)
    assert "There was no attempt yet" in (await browser.get(delivery)).text

    await browser.get(f"{path}/disable")
    assert (await browser.submit(f"{path}/disable")).headers["location"] == f"{path}?done=disabled"
    assert "It ended before the first attempt" in (await browser.get(delivery)).text
    assert f"{path}/test" not in (await browser.get(path)).text
    refused = await browser.post(f"{path}/test", form | {"idempotency_key": "another"})
    assert "webhook-disabled" in refused.text
    await api.rows.execute(update(webhook).values(disabled_reason="gone"))
    assert "its URL answered 410" in (await browser.get(HOOKS)).text
    assert "Nothing is sent: its URL answered 410" in (await browser.get(path)).text
    await browser.submit(f"{path}/enable")
    assert (await row_of(api, ada))["disabled_reason"] is None

    asked = await browser.get(f"{path}/delete")
    assert "It cannot be undone" in asked.text
    await browser.submit(f"{path}/delete")
    assert "There is no webhook" in (await browser.get(f"{HOOKS}?done=deleted")).text


async def test_deliveries_are_listed_by_status_and_sent_again(api: Api, ada: Person, browser: Browser) -> None:
    assert ada.team_id is not None
    ids = await add_hook(api, ada, "<b>no such order</b>")
    path, delivery = f"{HOOKS}/{ids['webhook_id']}", f"{DELIVERIES}/{ids['delivery_id']}"
    unheard = {"delivery_id": UUID(ids["delivery_id"]), "number": 2, "duration_ms": 9, "error": "source-refused"}
    await api.rows.execute(insert(webhook_attempt).values(unheard))
    page = (await browser.get(delivery)).text
    assert "&lt;b&gt;no such order&lt;/b&gt;" in page
    assert "1,234 ms" in page
    assert 'href="/errors/source-refused"' in page
    assert delivery in (await browser.get(f"{path}?status=pending")).text
    assert "No delivery is failed" in (await browser.get(f"{path}?status=failed")).text
    await browser.get(delivery)
    newer = (await browser.submit(f"{delivery}/replay")).headers["location"]
    assert "<dt>Replay</dt><dd>1</dd>" in (await browser.get(newer)).text
    for _ in range(50):
        await testing.add_webhook_delivery(api.rows, ada.team_id, UUID(ids["webhook_id"]))
    first = (await browser.get(f"{path}?status=pending")).text
    (older,) = re.findall(r'rel="next" href="([^"#]+)', first)
    assert "status=pending" in older
    assert delivery in (await browser.get(older.replace("&amp;", "&"))).text
    assert delivery not in first


async def test_events_of_a_period_are_sent_again(api: Api, ada: Person, browser: Browser) -> None:
    assert ada.team_id is not None
    path = f"{HOOKS}/{await testing.add_webhook(api.rows, ada.team_id)}"
    long_ago = datetime.now(UTC) - timedelta(days=2)
    await api.rows.execute(update(webhook).values(created_at=long_ago))
    await api.upload(ada)
    assert await api.rows.fetch_value(select(event.c.id).where(event.c.team_id == ada.team_id).limit(1))
    await browser.get(f"{path}/replay")
    refused = await browser.submit(f"{path}/replay", since="yesterday")
    assert refused.status_code == 422
    assert 'id="since-mistake"' in refused.text
    assert browser.form(f"{path}/replay")["since"] == "yesterday"
    none = await browser.submit(f"{path}/replay", since=f"{long_ago:%Y-%m-%d}", types="link.created")
    assert none.headers["location"] == f"{path}?done=replayed&count=0"
    await browser.get(f"{path}/replay")
    form = {name: value for name, value in browser.form(f"{path}/replay").items() if name != "types"}
    answer = await browser.post(f"{path}/replay", form | {"since": f"{long_ago:%Y-%m-%d}"})
    count = len(await api.rows.fetch(select(webhook_delivery)))
    assert count > 0
    assert answer.headers["location"] == f"{path}?done=replayed&count={count}"
    assert "sent again" in (await browser.get(answer.headers["location"])).text
    rest = await browser.get(f"{path}?done=replayed&count=10000&next_since=2026-03-01T12:00:00.25Z")
    (go_on,) = re.findall(rf'href="({path}/replay\?since=[^"]+)"', rest.text)
    await browser.get(go_on)
    assert browser.form(f"{path}/replay")["since"] == "2026-03-01T12:00:00.250000+00:00"


async def test_the_limit_of_tests_and_replays_is_told_where_they_are_asked_for(
    api: Api, ada: Person, browser: Browser
) -> None:
    object.__setattr__(api.services, "rate_limits", RateLimits(api.services.settings))
    ids = await add_hook(api, ada, "no")
    path, delivery = f"{HOOKS}/{ids['webhook_id']}", f"{DELIVERIES}/{ids['delivery_id']}"
    await browser.get(path)
    for _ in range(10):
        assert (await browser.submit(f"{path}/test")).status_code == 303
    for page, action in ((path, f"{path}/test"), (delivery, f"{delivery}/replay"), (f"{path}/replay",) * 2):
        await browser.get(page)
        form = browser.form(action) | ({"since": "2026-03-01"} if page == action else {})
        refused = await browser.post(action, form)
        assert (refused.status_code, "too-many-webhook-calls" in refused.text) == (429, True)
        assert browser.form(action).get("since") == form.get("since")


async def test_only_who_manages_webhooks_finds_them_and_an_admin_chooses_a_team(api: Api, browser: Browser) -> None:
    assert f'href="{HOOKS}"' in (await browser.get("/console")).text
    team_id = await api.team("North")
    hook_id = await testing.add_webhook(api.rows, team_id)
    assert str(hook_id) not in (await browser.get(HOOKS)).text
    plain = Browser(api)
    await plain.sign_in(await api.person())
    assert f'href="{HOOKS}"' not in (await plain.get("/console")).text
    admin = Browser(api)
    await admin.sign_in(await api.person(role=Role.ADMIN))
    assert f'href="{HOOKS}?team_id={team_id}"' in (await admin.get(HOOKS)).text
    shown = (await admin.get(f"{HOOKS}?team_id={team_id}")).text
    assert f'href="{HOOKS}/{hook_id}?team_id={team_id}"' in shown
    assert (
        f'action="{HOOKS}/{hook_id}/test?team_id={team_id}"'
        in (await admin.get(f"{HOOKS}/{hook_id}?team_id={team_id}")).text
    )
