"""Near-duplicates on their page, without script."""

from uuid import UUID

from sqlalchemy import func, select

from image_core import testing
from image_core.models import duplicate_decision
from image_core.testing import UserWithKey

from ..conftest import Api
from .catalogue import call
from .test_images import shown, signed_in

DUPLICATES = "/console/duplicates"


async def a_pair(api: Api, by: UserWithKey) -> set[str]:
    assert by.team_id is not None
    ids = [await testing.add_image(api.rows, by.team_id) for _ in range(2)]
    await testing.add_near_duplicate(api.rows, by.team_id, (ids[0], ids[1]), 2)
    return {str(image_id) for image_id in ids}


async def test_a_pair_is_decided_and_the_decision_undone(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    ids, browser = await a_pair(api, member), await signed_in(api, member)
    assert f'href="{DUPLICATES}"' in (await browser.get("/console/images")).text
    await browser.get(DUPLICATES)
    assert set(shown(browser.page)) == ids
    form = browser.form(f"{DUPLICATES}/decisions")
    # Another team sees and decides nothing of it.
    other = await signed_in(api, stranger)
    assert shown((await other.get(DUPLICATES)).text) == []
    await other.get("/console")
    token = {"csrf_token": other.form("/console/sign-out")["csrf_token"]}
    first, second = sorted(ids)
    key = {"idempotency_key": form["idempotency_key"]}
    for sent, status in (([first, second], 404), ([first, first], 422)):
        fields = token | key | {"image_id": sent}
        assert (await other.post(f"{DUPLICATES}/decisions", fields)).status_code == status
    answer = await browser.post(f"{DUPLICATES}/decisions", form | {"image_id": [first, second]})
    assert answer.status_code == 303
    decision_id = UUID(answer.headers["location"].rpartition("=")[2])
    await browser.get(answer.headers["location"])
    assert shown(browser.page) == []
    undo = f"{DUPLICATES}/decisions/{decision_id}/undo"
    assert (await other.post(undo, token)).status_code == 404
    assert (await browser.submit(undo)).status_code == 303
    assert set(shown((await browser.get(DUPLICATES)).text)) == ids


async def test_who_may_only_read_sees_pairs_and_no_forms(api: Api, member: UserWithKey) -> None:
    ids, viewer = await a_pair(api, member), await signed_in(api, await api.user(member.team_id, "viewer"))
    await viewer.get(DUPLICATES)
    assert set(shown(viewer.page)) == ids
    assert "/trash" not in viewer.page.replace("/console/trash", "")
    assert 'method="post" action="/console/duplicates' not in viewer.page
    token = viewer.form("/console/sign-out")["csrf_token"]
    assert (await viewer.post(f"{DUPLICATES}/decisions", {"csrf_token": token})).status_code == 403
    assert await api.rows.fetch_value(select(func.count()).select_from(duplicate_decision)) == 0


async def test_decisions_are_listed_and_taken_back(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    browser, page = await signed_in(api, member), f"{DUPLICATES}/decisions"
    assert "Nobody has decided anything yet" in (await browser.get(page)).text
    ids = sorted(await a_pair(api, member))
    decision_id = (await call(api, member, "POST", "/duplicates/decisions", image_ids=ids, decision="not-duplicate"))[
        "id"
    ]
    assert shown((await browser.get(page)).text) == ids
    viewer = await signed_in(api, await api.user(member.team_id, "viewer"))
    assert shown((await viewer.get(page)).text) == ids
    assert "/undo" not in viewer.page
    assert shown((await (await signed_in(api, stranger)).get(page)).text) == []
    assert (await browser.submit(f"{page}/{decision_id}/undo")).headers["location"] == f"{page}?done=undone"
    assert shown((await browser.get(page)).text) == []
    assert set(shown((await browser.get(DUPLICATES)).text)) == set(ids)
