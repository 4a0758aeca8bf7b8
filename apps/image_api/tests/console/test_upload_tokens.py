"""Upload tokens on the console's page, without script: made once, shown once, and only for the own team."""

import re

import orjson
import pytest
from sqlalchemy import select

from image_api.actor import Role
from image_core.models import upload_token
from image_core.testing import UserWithKey

from ..conftest import Api
from .catalogue import call
from .test_images import signed_in

TOKENS = "/console/upload-tokens"


async def test_a_token_is_made_and_shown_once_with_its_limits(api: Api, member: UserWithKey) -> None:
    fields = [{"name": "country", "type": "string", "required": True}]
    await call(api, api.admin, "PUT", f"/metadata-schema?team_id={member.team_id}", fields=fields)
    browser = await signed_in(api, member)
    await browser.get(TOKENS)
    form = browser.form(TOKENS) | {
        "expires_in": "300",
        "max_uploads": "1,000",
        "max_bytes": "1.5 MiB",
        "tags": "a\r\nb",
    }
    refused = await browser.post(TOKENS, form)
    assert refused.status_code == 422
    assert 'id="metadata.country-mistake"' in refused.text
    assert browser.form(TOKENS)["max_bytes"] == "1.5 MiB"
    form |= {"metadata.country": "NO", "idempotency_key": browser.form(TOKENS)["idempotency_key"]}
    answer = await browser.post(TOKENS, form)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    (secret,) = re.findall(r'id="secret"[^>]*>([^<]+)<', answer.text)
    again = await browser.post(TOKENS, form)
    assert "shown before" in again.text
    assert secret not in again.text
    (row,) = await api.rows.fetch(select(upload_token))
    assert [row[name] for name in ("team_id", "max_uploads", "max_bytes", "tags")] == [
        member.team_id, 1000, 3 * 2**19, ["a", "b"],
    ]  # fmt: skip
    assert orjson.loads(row["metadata"]) == {"country": "NO"}


@pytest.mark.parametrize("wrong", [{"max_uploads": "1001"}, {"max_bytes": "big"}, {"expires_in": "5"}])
async def test_what_is_too_much_is_said_beside_its_field(api: Api, member: UserWithKey, wrong: dict[str, str]) -> None:
    browser = await signed_in(api, member)
    await browser.get(TOKENS)
    refused = await browser.submit(TOKENS, **{"expires_in": "900", **wrong})
    assert refused.status_code == 422
    assert f'id="{next(iter(wrong))}-mistake"' in refused.text
    assert await api.rows.fetch(select(upload_token)) == []


async def test_others_make_none_for_a_team(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    reader = await signed_in(api, await api.user(member.team_id, role=Role.VIEWER))
    other, path = await signed_in(api, stranger), f"{TOKENS}?team_id={member.team_id}"
    for browser, status in ((reader, 403), (other, 404)):
        await browser.get("/console")
        fields = {"csrf_token": browser.form("/console/sign-out")["csrf_token"], "idempotency_key": "k" * 32}
        sent = fields | {"expires_in": "900", "max_uploads": "1"}
        assert (await browser.get(path)).status_code == (await browser.post(path, sent)).status_code == status
    admin = await signed_in(api, api.admin)
    assert "Choose a team" in (await admin.get(TOKENS)).text
    assert await api.rows.fetch(select(upload_token)) == []
