"""The trash on the console's pages: what is in it, until when, and how it comes back."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from image_core.testing import UserWithKey

from ..conftest import Api
from .browser import Browser, tags_of
from .catalogue import call
from .test_images import IMAGES, shown, signed_in, upload_some

TRASH = "/console/trash"
DELETED_AT = datetime(2100, 1, 1, 12, 30, tzinfo=UTC)


def times(browser: Browser) -> list[str]:
    return [each["datetime"] for tag, each in tags_of(browser.page) if tag == "time"]


async def test_an_image_in_the_trash_is_listed_with_its_end_and_restored(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    (image_id, other), browser = await upload_some(api, member, 2), await signed_in(api, member)
    assert "The trash is empty" in (await browser.get(TRASH)).text
    await call(api, member, "DELETE", f"/images/{image_id}")
    await api.set_row(UUID(image_id), deleted_at=DELETED_AT)
    assert f"{IMAGES}/{image_id}" in (await browser.get(TRASH)).text
    assert f"{IMAGES}/{other}" not in browser.page
    end = DELETED_AT + timedelta(days=api.services.settings.trash_retention_days)
    assert times(browser) == [f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in (DELETED_AT, end)]
    elsewhere = await signed_in(api, stranger)
    assert image_id not in (await elsewhere.get(TRASH)).text
    token = {"csrf_token": elsewhere.form("/console/sign-out")["csrf_token"]}
    assert (await elsewhere.post(f"{TRASH}/{image_id}/restore", token)).status_code == 404
    assert shown((await browser.get(IMAGES)).text) == [other]
    await browser.get(TRASH)
    assert (await browser.submit(f"{TRASH}/{image_id}/restore")).status_code == 303
    assert set(shown((await browser.get(IMAGES)).text)) == {image_id, other}


async def test_only_who_may_restore_is_offered_to(api: Api, member: UserWithKey) -> None:
    (image_id,) = await upload_some(api, member, 1)
    await call(api, member, "DELETE", f"/images/{image_id}")
    colleague = await signed_in(api, await api.user(member.team_id))
    assert image_id in (await colleague.get(TRASH)).text
    assert "/restore" not in colleague.page
    token = {"csrf_token": colleague.form("/console/sign-out")["csrf_token"]}
    assert (await colleague.post(f"{TRASH}/{image_id}/restore", token)).status_code == 403
    admin = await signed_in(api, api.admin)
    assert f"{TRASH}/{image_id}/restore" in (await admin.get(TRASH)).text
