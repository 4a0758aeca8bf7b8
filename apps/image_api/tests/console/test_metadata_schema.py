"""The editor of a team's metadata schema on the console's pages, without script."""

from typing import Any

import pytest
from sqlalchemy import update

from image_api.actor import Role, Scope
from image_core import testing
from image_core.models import user
from image_core.testing import UserWithKey

from ..conftest import Api
from .browser import Browser
from .catalogue import call

SCHEMA = "/console/metadata-schema"
AGE = {"name": "age", "type": "integer", "min": 0, "max": 130, "pii": True}
SIZE = {"name": "size", "type": "enum", "enum": ["small", "large"]}


@pytest.fixture
async def admin(api: Api) -> Browser:
    browser = Browser(api)
    await browser.sign_in(await api.person(role=Role.ADMIN))
    return browser


async def declare(api: Api, by: UserWithKey, *fields: dict[str, Any]) -> None:
    await call(api, api.admin, "PUT", f"/metadata-schema?team_id={by.team_id}", fields=list(fields))


async def declared(api: Api, by: UserWithKey) -> list[dict[str, Any]]:
    """The fields that a team declares, without what has its default."""
    found = (await call(api, by, "GET", "/metadata-schema"))["fields"]
    return [{name: value for name, value in each.items() if value is not None and value is not False} for each in found]


def address(by: UserWithKey, step: str, field: str | None = None) -> str:
    return f"{SCHEMA}/{step}?team_id={by.team_id}{f'&field={field}' if field else ''}"


async def test_fields_are_added_changed_moved_and_removed(api: Api, member: UserWithKey, admin: Browser) -> None:
    assert "declares no fields" in (await admin.get(f"{SCHEMA}?team_id={member.team_id}")).text
    new = address(member, "new")
    await admin.get(new)
    await admin.submit(new, name="age", type="integer", min="0", max="130", pii="true", required="", after="")
    await admin.get(new)
    await admin.submit(new, name="size", type="enum", enum="small\r\n\r\n large ", pii="", required="", after="age")
    assert await declared(api, member) == [AGE, SIZE]
    page = (await admin.get(f"{SCHEMA}?team_id={member.team_id}")).text
    assert all(each in page for each in ("from 0 up to 130", "small, large", "personal"))

    change = address(member, "change", "size")
    await admin.get(change)
    assert admin.form(change)["enum"] == "small\nlarge"
    sent = {"type": "date", "enum": "", "min": "2026-03-01", "required": "true", "pii": "", "description": "When"}
    assert (await admin.submit(change, **sent, after="")).status_code == 303
    day = {"name": "size", "type": "date", "min": "2026-03-01", "required": True, "description": "When"}
    assert await declared(api, member) == [day, AGE]

    for name, left in (("size", [AGE]), ("age", [])):
        path = address(member, "remove-field", name)
        await admin.get(path)
        assert (await admin.submit(path)).status_code == 303
        assert await declared(api, member) == left


async def test_a_page_says_how_many_images_of_the_team_have_a_value(
    api: Api, member: UserWithKey, stranger: UserWithKey, admin: Browser
) -> None:
    await declare(api, member, AGE)
    for by, metadata in ((member, '{"age": 7}'), (member, "{}"), (stranger, '{"age": 8}')):
        await testing.add_image(api.rows, by.team_id, metadata=metadata)
    for step in ("change", "remove-field"):
        assert "1 image has a value of this type." in (await admin.get(address(member, step, "age"))).text


async def test_a_conflict_shows_both_and_loses_neither(api: Api, member: UserWithKey, admin: Browser) -> None:
    await declare(api, member, AGE)
    path = address(member, "change", "age")
    await admin.get(path)
    await declare(api, member, {**AGE, "max": 99}, SIZE)
    sent = {"type": "integer", "min": "18", "max": "", "pii": "true", "required": "", "after": ""}
    refused = await admin.submit(path, **sent)
    assert refused.status_code == 412
    assert "99" in refused.text
    assert await declared(api, member) == [{**AGE, "max": 99}, SIZE]
    assert (await admin.submit(path, **sent)).status_code == 303
    assert await declared(api, member) == [{"name": "age", "type": "integer", "min": 18, "pii": True}, SIZE]
    for step in ("remove-field", "remove"):
        path = address(member, step, "age" if step == "remove-field" else None)
        await admin.get(path)
        await declare(api, member, SIZE, AGE)
        assert (await admin.submit(path)).status_code == 412
    assert await declared(api, member) == [SIZE, AGE]
    assert (await admin.submit(path)).headers["location"].endswith("done=removed")
    assert await declared(api, member) == []


async def test_a_template_replaces_nothing(api: Api, member: UserWithKey, admin: Browser) -> None:
    path = address(member, "template")
    await admin.get(f"{SCHEMA}?team_id={member.team_id}")
    sent = admin.form(path)
    await declare(api, member, SIZE)
    assert (await admin.post(path, sent)).status_code == 412
    await call(api, api.admin, "DELETE", f"/metadata-schema?team_id={member.team_id}")
    await admin.get(f"{SCHEMA}?team_id={member.team_id}")
    assert (await admin.submit(path)).status_code == 303
    assert [each["name"] for each in await declared(api, member)][:2] == ["age", "gender"]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"name": "a b"}, "Use only letters"),
        ({"name": "size"}, "There is such a field already"),
        ({"type": "enum"}, "needs <code>enum</code>"),
        ({"type": "enum", "enum": "a\na"}, "lists a value twice"),
        ({"type": "enum", "enum": "x" * 65}, "enum-mistake"),
        ({"type": "integer", "min": "2", "max": "1"}, "<code>min</code> is greater"),
        ({"type": "integer", "min": "two"}, "must be numbers"),
        ({"type": "picture"}, "mistake"),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_lost(
    api: Api, member: UserWithKey, admin: Browser, wrong: dict[str, str], text: str
) -> None:
    await declare(api, member, SIZE)
    path = address(member, "new")
    await admin.get(path)
    sent = {"name": "age", "type": "string", "pii": "", "required": "", "description": "kept", "after": "size"}
    refused = await admin.submit(path, **sent | wrong)
    assert refused.status_code == 422
    assert text in refused.text
    assert admin.form(path)["description"] == "kept"
    assert await declared(api, member) == [SIZE]


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
async def test_others_read_their_own_teams_schema_and_change_none(api: Api, role: Role) -> None:
    ada, browser = await api.person(role=role), Browser(api)
    other = await api.user()
    await declare(api, ada, AGE)
    await declare(api, other, SIZE)
    await browser.sign_in(ada)
    page = (await browser.get(SCHEMA)).text
    assert ">age<" in page
    assert f"{SCHEMA}/" not in page
    assert (await browser.get(f"{SCHEMA}?team_id={other.team_id}")).status_code == 404
    fields = {"csrf_token": browser.form("/console/sign-out")["csrf_token"], "revision": "1", "name": "x"}
    for scopes in (None, list(Scope)):
        if scopes:
            await api.rows.execute(update(user).where(user.c.id == ada.user_id).values(scopes=scopes))
            api.forget_keys()
        for step in ("new", "template", "change", "remove-field", "remove"):
            for by, name in ((ada, "age"), (other, "size")):
                path = address(by, step, name if step in ("change", "remove-field") else None)
                assert step == "template" or (await browser.get(path)).status_code == 403
                sent = fields | {"type": "string", "template": "photo-submission"}
                assert (await browser.post(path, sent)).status_code == 403
    assert (await declared(api, ada), await declared(api, other)) == ([AGE], [SIZE])


async def test_an_admin_names_the_team_and_a_field_that_is_there(api: Api, member: UserWithKey, admin: Browser) -> None:
    await declare(api, member, AGE)
    for path in (SCHEMA, f"{SCHEMA}/new", f"{SCHEMA}/change?field=age", f"{SCHEMA}/remove"):
        assert "Choose a team" in (await admin.get(path)).text
    for step in ("change", "remove-field"):
        assert (await admin.get(address(member, step, "size"))).status_code == 404
