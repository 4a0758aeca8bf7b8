"""The audit log on its page, without script."""

import json
import re
from datetime import timedelta

import pytest
from sqlalchemy import insert

from image_api.audit_events.tasks import seal_audit_log
from image_core.audit.chain import ChainBroken, ChainReport
from image_core.audit.events import VERIFICATION_FAILED, VERIFICATION_ID, VERIFIED
from image_core.ids import new_id
from image_core.models import audit_event
from image_core.testing import UserWithKey

from ..conftest import Api
from .browser import Browser, tags_of
from .catalogue import call
from .test_images import link, signed_in

AUDIT = "/console/audit"


@pytest.fixture
async def admin(api: Api) -> Browser:
    return await signed_in(api, api.admin)


def actions(page: str) -> list[str]:
    return re.findall(r"<summary><code>([^<]+)</code>", page)


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


async def test_events_say_who_did_what_to_what_and_filters_select(api: Api, admin: Browser) -> None:
    team_id = await api.team("North")
    await call(api, api.admin, "PATCH", f"/teams/{team_id}", name="South")
    page = (await admin.get(f"{AUDIT}?action=team.*&target_type=&team_id={team_id}")).headers["location"]
    assert page == f"{AUDIT}?action=team.%2A&team_id={team_id}"
    assert actions((await admin.get(page)).text) == ["team.changed"]
    shown = text_of(admin.page)
    assert "name North → South" in shown
    assert "127.0.0.1" in shown
    export = next(each["href"] for tag, each in tags_of(admin.page) if "download" in each)
    answer = await api.client.get(export, headers=api.admin.headers)
    assert [json.loads(line)["action"] for line in answer.text.splitlines()] == ["team.changed"]
    assert "No event matches" in (await admin.get(f"{AUDIT}?action=nothing")).text
    wrong = await admin.get(f"{AUDIT}?action=team.*&target_id=x")
    assert wrong.status_code == 422
    assert 'value="team.*"' in wrong.text


async def test_pages_lead_on(api: Api, admin: Browser) -> None:
    for number in range(3):
        await call(api, api.admin, "POST", "/teams", name=f"Team {number}")
    first = await admin.get(f"{AUDIT}?action=team.created&limit=2")
    assert actions(first.text) == ["team.created"] * 2
    assert actions((await admin.get(link(first.text, "next"))).text) == ["team.created"]


async def test_the_state_of_the_chain_is_at_the_top(api: Api, admin: Browser) -> None:
    await call(api, api.admin, "POST", "/teams", name="North")
    await admin.get(AUDIT)
    assert "Newest seal none yet" in text_of(admin.page)
    await seal_audit_log(api.rows, interval=timedelta(0))
    await call(api, api.admin, "POST", "/teams", name="South")
    state = await call(api, api.admin, "GET", "/audit-events/chain")
    assert (state["newest_seal"]["number"], state["unsealed_events"], state["verification"]) == (1, 1, None)
    await record(api, ChainReport(1, 2, 1, f"1:{'0' * 64}"))
    assert "intact up to seal 1" in text_of((await admin.get(AUDIT)).text)
    await record(api, ChainBroken(7, "a row was changed"))
    assert "broken at seal 7: a row was changed" in text_of((await admin.get(AUDIT)).text)
    assert (await call(api, api.admin, "GET", "/audit-events/chain"))["verification"]["intact"] is False


async def record(api: Api, result: ChainReport | ChainBroken) -> None:
    """As the owner's command does."""
    is_intact = isinstance(result, ChainReport)
    after = vars(result) if is_intact else {"seal": result.number, "reason": result.reason}  # type: ignore[union-attr]
    values = {"id": new_id(), "target_type": "audit_log", "target_id": VERIFICATION_ID, "after": json.dumps(after)}
    action = VERIFIED if is_intact else VERIFICATION_FAILED
    await api.rows.execute(insert(audit_event).values(action=action, **values))


async def test_only_admins_see_it(api: Api, member: UserWithKey) -> None:
    browser = await signed_in(api, member)
    assert (await browser.get(AUDIT)).status_code == 403
    assert AUDIT not in browser.page
    answer = await api.client.get("/api/v1/audit-events/chain", headers=member.headers)
    assert answer.status_code == 403
