"""The system's health, by the API and on its page."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, update

from image_api.services import Services
from image_api.system_health import checks, service
from image_core import errors, testing
from image_core.ids import new_id
from image_core.migrations import HEAD
from image_core.models import audit_event, event, image
from image_core.testing import UserWithKey

from ..conftest import Api
from ..console.catalogue import call
from ..console.test_images import signed_in

PAGE = "/console/health"
SECRET = "postgresql://user:secret@host"


async def states(api: Api) -> dict[str, dict[str, Any]]:
    body = await call(api, api.admin, "GET", "/system-health")
    return {each["name"]: each for each in body["checks"]}


async def test_each_part_is_checked(api: Api) -> None:
    found = await states(api)
    assert list(found) == list(checks.CHECKS)
    assert found["schema"]["explanation"] == f"The schema has revision {HEAD}."
    fine = ("schema", "clock", "storage", "outbox", "processing", "dead_letters", "audit_log")
    assert {found[name]["state"] for name in fine} == {"ok"}
    page = (await (await signed_in(api, api.admin)).get(PAGE)).text
    assert f"The schema has revision {HEAD}." in page


async def test_what_waits_too_long_is_named_with_a_next_step(api: Api, member: UserWithKey) -> None:
    overdue, failed = [await testing.add_image(api.rows, member.team_id) for _ in range(2)]
    long_ago = func.now() - timedelta(hours=1)
    await api.rows.execute(update(image).where(image.c.id == overdue).values(status="stored", queued_at=long_ago))
    exhausted = {"status": "failed", "failure_code": "processing-attempts-exhausted"}
    await api.rows.execute(update(image).where(image.c.id == failed).values(exhausted))
    await api.rows.execute(insert(event).values(id=new_id(), created_at=long_ago, **testing.TRASHED_EVENT))
    await api.rows.execute(insert(audit_event).values(id=new_id(), action="a", target_type="x", created_at=long_ago))
    found = await states(api)
    assert found["dead_letters"]["explanation"].startswith("0 dead letters are open. Of the newest 10,000 images, 1")
    await testing.add_dead_letter(api.rows, None)
    assert (await states(api))["dead_letters"]["explanation"].startswith("1 dead letters are open.")
    bad = ("processing", "dead_letters", "outbox", "audit_log")
    assert {name: found[name]["state"] for name in bad} == dict.fromkeys(bad, "warning") | {"outbox": "failing"}
    assert found["processing"]["explanation"].startswith("1 images have been overdue")
    assert all(found[name]["next_step"] for name in bad)


async def test_what_hangs_or_fails_is_said_in_time_and_without_secrets(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_services: Services) -> checks.Finding:
        while True:
            # As stubborn as a dependency can be.
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.sleep(0.5)
                raise

    async def fail(_services: Services) -> checks.Finding:
        raise OSError(SECRET)

    async def refuse(_services: Services) -> checks.Finding:
        raise errors.StorageUnavailable(SECRET)

    monkeypatch.setattr(service, "CHECKS", {"database": hang, "clock": fail, "storage": refuse})
    monkeypatch.setattr(service.examine, "__defaults__", (0.05,))
    async with asyncio.timeout(30):
        found = await states(api)
    assert found["database"]["explanation"] == "No answer within 0.05 s."
    assert found["clock"]["explanation"] == "The check failed: OSError."
    assert {each["state"] for each in found.values()} == {"failing"}
    assert SECRET not in str(found)


async def test_only_admins_see_it(api: Api, member: UserWithKey) -> None:
    answer = await api.client.get("/api/v1/system-health", headers=member.headers)
    assert answer.status_code == 403
    browser = await signed_in(api, member)
    assert (await browser.get(PAGE)).status_code == 403
    assert PAGE not in browser.page
