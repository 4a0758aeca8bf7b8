"""Delivery keys on the console's pages, without script: made once, shown once, and only the team's own."""

import html
import re
from uuid import uuid4

import pytest
from sqlalchemy import func, insert, select, update

from image_api.actor import DEFAULT_SCOPES, Role, Scope
from image_api.delivery_keys.service import MAX_LIVE_KEYS
from image_core.models import delivery_key
from image_core.testing import UserWithKey

from ..conftest import Api, Person
from .browser import Browser

KEYS = "/console/delivery-keys"
SCOPES = (*DEFAULT_SCOPES[Role.MEMBER], Scope.DELIVERY_KEYS)


@pytest.fixture
async def ada(api: Api) -> Person:
    return await api.person(name="Ada", scopes=SCOPES)


@pytest.fixture
async def browser(api: Api, ada: Person) -> Browser:
    browser = Browser(api)
    await browser.sign_in(ada)
    return browser


async def states(api: Api, of: UserWithKey) -> list[str]:
    """The states of the team's keys, oldest first."""
    mine = delivery_key.c.team_id == of.team_id
    rows = await api.rows.fetch(select(delivery_key.c.state).where(mine).order_by(delivery_key.c.created_at))
    return [row["state"] for row in rows]


async def test_a_key_is_made_replaced_and_retired(api: Api, ada: Person, browser: Browser) -> None:
    await api.rows.execute(delivery_key.delete().where(delivery_key.c.team_id == ada.team_id))
    await browser.get(f"{KEYS}/new")
    form = browser.form(KEYS) | {"name": "shop"}
    answer = await browser.post(KEYS, form)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    (secret,) = re.findall(r'id="secret"[^>]*>([\w-]{43})<', answer.text)
    again = await browser.post(KEYS, form)
    assert "shown before" in again.text
    assert secret not in again.text
    assert await states(api, ada) == ["active"]

    (rotate,) = re.findall(rf'href="({KEYS}/[^"]+/rotate)"', (await browser.get(KEYS)).text)
    await browser.get(rotate)
    form = browser.form(rotate)
    for _ in range(2):
        assert (await browser.post(rotate, form)).status_code == 200
    assert await states(api, ada) == ["verifying", "active"]

    retire = rotate.replace("rotate", "retire")
    await browser.get(retire)
    refused = await browser.submit(retire)
    assert refused.status_code == 409
    assert "delivery-key-active" in refused.text
    verifying = delivery_key.c.state == "verifying"
    await api.rows.execute(
        update(delivery_key).where(verifying).values(verifying_at=func.now() - func.make_interval(0, 0, 0, 0, 1))
    )
    answer = await browser.submit(retire)
    assert answer.headers["location"] == f"{KEYS}?done=retired"
    assert await states(api, ada) == ["retired", "active"]


async def test_what_is_refused_half_way_is_undone(api: Api, ada: Person, browser: Browser) -> None:
    # The old key is changed before the keys are counted.
    more = [{"id": uuid4(), "team_id": ada.team_id} for _ in range(MAX_LIVE_KEYS - 1)]
    await api.rows.execute(insert(delivery_key).values(more))
    (rotate, *_) = re.findall(rf'href="({KEYS}/[^"]+/rotate)"', (await browser.get(KEYS)).text)
    await browser.get(rotate)
    answer = await browser.submit(rotate)
    assert answer.status_code == 409
    assert "too-many-delivery-keys" in answer.text
    assert browser.form(rotate)["idempotency_key"]
    assert await states(api, ada) == ["active"] * MAX_LIVE_KEYS


async def test_no_team_sees_or_ends_keys_of_another(api: Api, ada: Person, browser: Browser) -> None:
    team_id = await api.team("Other")
    (row,) = await api.rows.fetch(select(delivery_key).where(delivery_key.c.team_id == team_id))
    page = (await browser.get(KEYS)).text
    assert f"k{row['number']}<" not in page
    token = browser.form("/console/sign-out")["csrf_token"]
    assert (await browser.get(f"{KEYS}?team_id={team_id}")).status_code == 404
    for step in ("rotate", "retire"):
        assert (await browser.get(f"{KEYS}/{row['id']}/{step}")).status_code == 404
        assert (await browser.post(f"{KEYS}/{row['id']}/{step}", {"csrf_token": token})).status_code == 404
    answer = await browser.post(f"{KEYS}?team_id={team_id}", {"csrf_token": token})
    assert answer.status_code == 404
    assert await states(api, UserWithKey(ada.user_id, team_id, ada.credential_id, "")) == ["active"]


@pytest.mark.parametrize("path", [KEYS, f"{KEYS}/new", "/console/usage"])
async def test_an_admin_chooses_a_team_first(api: Api, path: str) -> None:
    team_id, browser = await api.team("North & South"), Browser(api)
    await browser.sign_in(await api.person(role=Role.ADMIN))
    page = html.unescape((await browser.get(path)).text)
    assert "North & South" in page
    assert f'href="{path}?team_id={team_id}"' in page
    answer = await browser.get(f"{path}?team_id={team_id}")
    assert answer.status_code == 200
    assert "Of which team?" not in answer.text
