"""Uploads on a page without script: who may, what becomes of a file, and what is refused before the file is read."""

from typing import Any

import httpx2
import orjson
import pytest
from sqlalchemy import func, select

from image_api.actor import Role
from image_core.models import image
from image_core.testing import UserWithKey

from ..conftest import Api
from ..pictures import picture
from .browser import HTML, SAME_ORIGIN, Browser
from .test_images import signed_in
from .test_metadata_form import declare

UPLOAD = "/console/images/upload"
COUNT = select(func.count()).select_from(image)


async def send(
    browser: Browser, content: bytes, *, path: str = UPLOAD, leave_out: str = "", late: str = "", **values: Any
) -> httpx2.Response:
    """Send the form as a browser does; the field `late` comes after the file."""
    fields = browser.form(path) | values
    fields.pop("file", None)
    parts: list[tuple[str, Any]] = [
        (name, (None, value)) for name, value in fields.items() if name not in (leave_out, late)
    ]
    parts.append(("file", ("fjord.png", content, "image/png")))
    if late:
        parts.append((late, (None, fields[late])))
    headers = {**HTML, **SAME_ORIGIN, "Cookie": browser.cookie}
    browser.api.client.cookies.clear()
    answer = await browser.api.client.post(path, files=parts, headers=headers, follow_redirects=False)
    browser.page = answer.text or browser.page
    return answer


async def opened(api: Api, by: UserWithKey) -> Browser:
    browser = await signed_in(api, by)
    assert (await browser.get(UPLOAD)).status_code == 200
    return browser


async def test_a_file_is_stored_found_again_and_restored(api: Api, member: UserWithKey) -> None:
    browser = await opened(api, member)
    answer = await send(browser, picture(1), tags="sea, fjord", metadata='{"country": "NO"}')
    row = await api.only_row()
    assert (row["filename"], row["tags"], row["team_id"]) == ("fjord.png", ["sea", "fjord"], member.team_id)
    assert answer.headers["location"] == f"{UPLOAD}?done=stored&image_id={row['id']}"
    assert f'href="/console/images/{row["id"]}"' in (await browser.get(answer.headers["location"])).text
    again = await send(browser, picture(1))
    assert again.headers["location"] == f"{UPLOAD}?done=known&image_id={row['id']}"
    await browser.get(UPLOAD)
    await api.client.delete(f"/api/v1/images/{row['id']}", headers=api.admin.headers)
    restored = await send(browser, picture(1))
    assert restored.headers["location"] == f"{UPLOAD}?done=restored&image_id={row['id']}"
    assert await api.rows.fetch_value(COUNT) == 1


async def test_a_form_that_arrives_twice_is_answered_twice_alike(api: Api, member: UserWithKey) -> None:
    browser = await opened(api, member)
    first, second = [await send(browser, picture(1)) for _ in range(2)]
    # Without the key, the second would say that the image is known.
    assert first.headers["location"] == second.headers["location"]
    assert (await send(browser, picture(2))).status_code == 422
    assert await api.rows.fetch_value(COUNT) == 1


@pytest.mark.parametrize(
    "wrong", [{"leave_out": "csrf_token"}, {"late": "csrf_token"}, {"csrf_token": "x"}], ids=["none", "late", "stale"]
)
async def test_without_the_token_before_it_no_file_is_read(
    api: Api, member: UserWithKey, wrong: dict[str, str]
) -> None:
    browser = await opened(api, member)
    answer = await send(browser, picture(1), **wrong)
    assert answer.status_code == 403
    assert "Choose the file once more" in answer.text
    files = {"file": ("fjord.png", picture(1), "image/png")}
    headers = {**HTML, **SAME_ORIGIN, "Cookie": browser.cookie}
    assert (await api.client.post(UPLOAD, files=files, headers=headers)).status_code == 403
    assert await api.rows.fetch_value(COUNT) == 0
    assert (await send(browser, picture(1))).status_code == 303


async def test_a_refused_file_says_why_and_keeps_the_fields(api: Api, member: UserWithKey) -> None:
    browser = await opened(api, member)
    answer = await send(browser, b"%PDF-1.7 " + b" " * 100, tags="sea")
    assert answer.status_code == 415
    assert 'href="/errors/not-an-image"' in answer.text
    assert browser.form(UPLOAD)["tags"] == "sea"
    assert await api.rows.fetch_value(COUNT) == 0


async def test_a_viewer_has_neither_form_nor_button(api: Api, member: UserWithKey) -> None:
    browser = Browser(api)
    await browser.sign_in(await api.person(role=Role.VIEWER, team_id=member.team_id))
    assert UPLOAD not in (await browser.get("/console/images")).text
    assert (await browser.get(UPLOAD)).status_code == 403
    await browser.get("/console")
    # The token of another form, as if the page had one.
    browser.page = browser.page.replace("/console/sign-out", UPLOAD)
    assert (await send(browser, picture(1))).status_code == 403
    assert await api.rows.fetch_value(COUNT) == 0


async def test_an_admin_chooses_a_team_first(api: Api, member: UserWithKey) -> None:
    browser = await opened(api, api.admin)
    assert "Choose a team" in browser.page
    path = f"{UPLOAD}?team_id={member.team_id}"
    await browser.get(path)
    answer = await send(browser, picture(1), path=path)
    assert answer.headers["location"].startswith(f"{path}&done=stored")
    assert (await api.only_row())["team_id"] == member.team_id
    await browser.get(path)
    browser.page = browser.page.replace(path, UPLOAD)
    answer = await send(browser, picture(2))
    assert "Choose a team" in answer.text
    assert await api.rows.fetch_value(COUNT) == 1


async def test_the_form_has_the_fields_of_the_teams_schema(api: Api, member: UserWithKey) -> None:
    await declare(api, member)
    browser = await opened(api, member)
    values = {"metadata.age": "30", "metadata.member": "false", "metadata.sea": "Baltic", "metadata.note": " 42 "}
    # Empty fields are no metadata.
    values |= {"metadata.weight": "", "metadata.day": ""}
    refused = await send(browser, picture(1), **values | {"metadata.age": "17", "metadata.note": ""})
    assert refused.status_code == 422
    assert refused.text.count('class="mistake"') == 2
    assert browser.form(UPLOAD)["metadata.age"] == "17"
    assert (await send(browser, picture(1), **values)).status_code == 303
    stored = orjson.loads((await api.only_row())["metadata"])
    assert stored == {"age": 30, "member": False, "sea": "Baltic", "note": "42"}


async def test_a_field_that_the_schema_lost_meanwhile_is_refused_and_fields_may_follow_the_file(
    api: Api, member: UserWithKey
) -> None:
    await declare(api, member)
    browser = await opened(api, member)
    answer = await send(browser, picture(1), **{"metadata.note": "x", "metadata.gone": "y"})
    assert answer.status_code == 422
    assert "metadata.gone" in answer.text
    await browser.get(UPLOAD)
    late = await send(browser, picture(1), late="metadata.note", **{"metadata.note": "x", "metadata.sea": ""})
    assert late.status_code == 303
    assert orjson.loads((await api.only_row())["metadata"]) == {"note": "x"}
