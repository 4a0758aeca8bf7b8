"""A full quota refuses uploads, however many come at once, and nothing else."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from image_core.models import image, storage_usage
from image_core.storage.protocol import ONE_REQUEST_BYTES
from image_core.testing import UserWithKey

from .conftest import Api, MakeApi
from .http.test_problems import is_problem
from .pictures import large_picture, picture
from .uploading import in_pieces

USAGE = "/api/v1/usage/storage"


async def set_quota(api: Api, user: UserWithKey, **quota: int | None) -> Any:
    answer = await api.client.patch(f"/api/v1/teams/{user.team_id}", headers=api.admin.headers, json=quota)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def send(api: Api, by: UserWithKey, body: bytes) -> Any:
    headers = {**by.headers, "content-type": "image/png"}
    return await api.client.post("/api/v1/images", content=body, headers=headers)


async def used(api: Api, by: UserWithKey) -> tuple[int, int]:
    told = (await api.client.get(USAGE, headers=by.headers)).json()
    return told["used_bytes"], told["used_images"]


async def test_a_full_quota_refuses_and_says_what_there_is(api: Api, member: UserWithKey) -> None:
    await api.upload(member, picture(1))
    size = len(picture(1))
    await set_quota(api, member, quota_bytes=size, quota_images=5)
    answer = await send(api, member, picture(2))
    is_problem(answer, 429, "storage-quota-exceeded")
    assert "retry-after" not in answer.headers
    told = {name: answer.json()[name] for name in ("used_bytes", "quota_bytes", "used_images", "quota_images")}
    assert told == {"used_bytes": size, "quota_bytes": size, "used_images": 1, "quota_images": 5}
    assert len(await api.rows.fetch(select(image))) == 1
    await set_quota(api, member, quota_bytes=None)
    assert (await send(api, member, picture(2))).status_code == 201


async def test_images_are_counted_too(api: Api, member: UserWithKey) -> None:
    await set_quota(api, member, quota_images=1)
    await api.upload(member, picture(1))
    is_problem(await send(api, member, picture(2)), 429, "storage-quota-exceeded")


async def test_what_the_team_has_already_is_still_answered(api: Api, member: UserWithKey) -> None:
    uploaded = await api.upload(member, picture(1))
    await set_quota(api, member, quota_images=0)
    answer = await send(api, member, picture(1))
    assert (answer.status_code, answer.json()["id"], answer.json()["duplicate"]) == (200, uploaded["id"], True)


async def test_a_full_quota_stops_neither_reads_nor_the_trash_and_back(api: Api, member: UserWithKey) -> None:
    uploaded = await api.upload(member, picture(1))
    await set_quota(api, member, quota_bytes=0, quota_images=0)
    path = f"/api/v1/images/{uploaded['id']}"
    deleter = await api.user(member.team_id, scopes=("images:read", "images:delete"))
    assert (await api.client.get(f"{path}/content", headers=deleter.headers)).status_code == 200
    assert (await api.client.delete(path, headers=deleter.headers)).status_code == 204
    assert (await api.client.post(f"{path}/restore", headers=deleter.headers)).status_code == 200


async def test_an_upload_is_counted_with_its_size_and_a_duplicate_not_at_all(api: Api, member: UserWithKey) -> None:
    for _ in range(2):
        await api.upload(member, picture(1))
    assert await used(api, member) == (len(picture(1)), 1)


async def test_a_form_is_counted_with_the_size_of_its_file_in_the_end(api: Api, member: UserWithKey) -> None:
    files = {"file": ("a.png", picture(1), "image/png")}
    answer = await api.client.post("/api/v1/images", headers=member.headers, files=files)
    assert answer.status_code == 201
    assert await used(api, member) == (len(picture(1)), 1)


async def test_a_long_upload_of_unknown_length_counts_with_the_most_it_may_have(make_api: MakeApi) -> None:
    body, limit = large_picture(ONE_REQUEST_BYTES + 1), ONE_REQUEST_BYTES + 5000
    async with make_api(upload_max_bytes=limit) as api:
        member = await api.user()
        headers = {**member.headers, "content-type": "image/png"}
        await set_quota(api, member, quota_bytes=limit - 1)
        answer = await api.client.post("/api/v1/images", content=in_pieces(body), headers=headers)
        is_problem(answer, 429, "storage-quota-exceeded")
        await set_quota(api, member, quota_bytes=limit)
        answer = await api.client.post("/api/v1/images", content=in_pieces(body), headers=headers)
        assert answer.status_code == 201
        assert await used(api, member) == (len(body), 1)


async def test_a_short_upload_of_unknown_length_counts_with_what_it_has(api: Api, member: UserWithKey) -> None:
    await set_quota(api, member, quota_bytes=500)
    headers = {**member.headers, "content-type": "image/png"}
    for size, status in ((501, 429), (500, 201)):
        answer = await api.client.post("/api/v1/images", content=in_pieces(large_picture(size)), headers=headers)
        assert answer.status_code == status


async def test_an_upload_that_fails_gives_its_room_back(make_api: MakeApi) -> None:
    async with make_api(upload_max_bytes=ONE_REQUEST_BYTES + 1) as api:
        member = await api.user()
        headers = {**member.headers, "content-type": "image/png"}
        body = in_pieces(large_picture(ONE_REQUEST_BYTES + 2))
        answer = await api.client.post("/api/v1/images", content=body, headers=headers)
        assert answer.status_code == 413
        assert await used(api, member) == (0, 0)


@pytest.mark.parametrize("quota", [{"quota_images": 7}, {"quota_bytes": 7 * 500 + 499}])
async def test_thirty_two_at_once_cannot_go_beyond_the_quota(
    api: Api, member: UserWithKey, quota: dict[str, int]
) -> None:
    await set_quota(api, member, **quota)
    answers = await asyncio.gather(*(send(api, member, large_picture(500, seed)) for seed in range(32)))
    assert sorted(answer.status_code for answer in answers) == [201] * 7 + [429] * 25
    assert await used(api, member) == (7 * 500, 7)


async def test_the_deployments_default_holds_for_teams_without_a_quota(make_api: MakeApi) -> None:
    async with make_api(default_quota_images=1) as api:
        member, other = await api.user(), await api.user()
        await set_quota(api, other, quota_images=2)
        for user, most in ((member, 1), (other, 2)):
            answers = [await send(api, user, picture(seed)) for seed in range(3)]
            assert [answer.status_code for answer in answers] == [201] * most + [429] * (3 - most)


async def test_another_teams_usage_is_not_there(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    answer = await api.client.get(USAGE, headers=member.headers, params={"team_id": str(stranger.team_id)})
    is_problem(answer, 404, "team-not-found")
    answer = await api.client.get(USAGE, headers=api.admin.headers, params={"team_id": str(stranger.team_id)})
    assert answer.json()["used_images"] == 0


async def test_a_team_that_is_removed_leaves_no_counter(api: Api) -> None:
    user = await api.user()
    await api.upload(user)
    await api.rows.execute(image.delete())
    await api.client.delete(f"/api/v1/users/{user.user_id}", headers=api.admin.headers)
    answer = await api.client.delete(f"/api/v1/teams/{user.team_id}", headers=api.admin.headers)
    assert answer.status_code == 204
    assert await api.rows.fetch(select(storage_usage)) == []
