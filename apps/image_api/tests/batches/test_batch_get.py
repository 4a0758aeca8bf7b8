"""Many images in one response: order, tenancy, bounds, and what is included."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from image_core import testing
from image_core.db import to_json
from image_core.testing import UserWithKey

from ..analyses.test_analyses import RESULT
from ..conftest import Api

PAST = datetime(2020, 1, 1, tzinfo=UTC)


async def get(api: Api, by: UserWithKey, ids: Any, **fields: Any) -> Any:
    body = {"ids": [str(each) for each in ids], **fields}
    answer = await api.client.post("/api/v1/images/batch-get", json=body, headers=by.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def add(api: Api, by: UserWithKey, **columns: Any) -> UUID:
    assert by.team_id is not None
    return await testing.add_image(api.rows, by.team_id, uploaded_by=by.user_id, **columns)


EVERYTHING = ["facts", "metadata", "derivatives", "analyses", "delivery"]


async def listed(api: Api, by: UserWithKey, include: str = "") -> dict[str, Any]:
    """The items of the list, by id."""
    params = {"include": include} if include else {}
    items = (await api.client.get("/api/v1/images", params=params, headers=by.headers)).json()["items"]
    return {item["id"]: item for item in items}


async def test_each_image_is_what_a_list_shows_in_the_order_of_the_request(api: Api, member: UserWithKey) -> None:
    ids = [await add(api, member), await add(api, member, status="pending"), await add(api, member)]
    order = [ids[2], ids[0], ids[1], ids[0]]
    items = await listed(api, member)
    assert await get(api, member, order) == {"items": [items[str(each)] for each in order[:3]], "not_found": []}


async def test_images_in_the_trash_are_found(api: Api, member: UserWithKey) -> None:
    trashed = await add(api, member, deleted_at=PAST)
    (item,) = (await get(api, member, [trashed]))["items"]
    assert (item["id"], item["deleted_at"][:4]) == (str(trashed), "2020")


async def test_foreign_and_absent_images_are_not_found(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    mine, theirs, absent = await add(api, member), await add(api, stranger), uuid4()
    found = await get(api, member, [theirs, mine, absent], include=EVERYTHING)
    assert [item["id"] for item in found["items"]] == [str(mine)]
    assert found["not_found"] == [str(theirs), str(absent)]
    of_all = await get(api, api.admin, [theirs, mine])
    assert [item["id"] for item in of_all["items"]] == [str(theirs), str(mine)]


async def test_what_is_included_is_what_a_list_includes(api: Api, member: UserWithKey) -> None:
    assert member.team_id is not None
    image_id, plain = await add(api, member, metadata={"place": "Oslo"}), await add(api, member)
    await testing.add_derivative(api.rows, image_id, "there")
    done: dict[str, Any] = {"status": "done", "result": to_json(RESULT), "analyzed_at": PAST}
    await testing.add_analysis(api.rows, member.team_id, (await api.row(image_id))["sha256"], **done)
    for name in EVERYTHING:
        found = await get(api, member, [image_id, plain], include=[name])
        items = await listed(api, member, name)
        shown = [{**items[str(each)], "delivery": None} for each in (image_id, plain)]
        assert [{**item, "delivery": None} for item in found["items"]] == shown, name
    assert (await get(api, member, [image_id], include=["delivery"]))["items"][0]["delivery"]["template"]


async def test_addresses_are_not_stored_by_caches(api: Api, member: UserWithKey) -> None:
    body = {"ids": [str(await add(api, member))], "include": ["delivery"]}
    answer = await api.client.post("/api/v1/images/batch-get", json=body, headers=member.headers)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "body",
    [{"ids": []}, {"ids": [str(uuid4())] * 1001}, {"ids": ["x"]}, {"ids": [str(uuid4())], "include": ["everything"]}],
)
async def test_a_request_that_cannot_be_meant_is_refused(api: Api, member: UserWithKey, body: dict[str, Any]) -> None:
    answer = await api.client.post("/api/v1/images/batch-get", json=body, headers=member.headers)
    assert answer.status_code == 422


async def test_a_thousand_images_are_asked_for_at_once(api: Api, member: UserWithKey) -> None:
    mine = await add(api, member)
    ids = [uuid4() for _ in range(999)]
    found = await get(api, member, [*ids, mine])
    assert ([item["id"] for item in found["items"]], len(found["not_found"])) == ([str(mine)], 999)
