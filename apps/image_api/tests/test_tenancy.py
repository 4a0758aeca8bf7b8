"""Whatever is asked for with another team's key answers as what is not there."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert

from image_api.actor import Role
from image_api.app import ROUTERS
from image_api.console.policy import is_console
from image_api.openapi.operations import api_routes
from image_core import testing
from image_core.models import invitation, session
from image_core.testing import UserWithKey, a_sha256

from .conftest import Api

# The pages of the console have a walk of their own, as they answer to sessions.
WITH_IDS = sorted(
    (method, path)
    for path, route in api_routes(ROUTERS)
    for method in route.methods or ()
    if "_id}" in path and not is_console(path)
)
BODIES: dict[str, dict[str, Any]] = {"PATCH": {}, "POST": {}}
NAMED = {"image_ids": [str(uuid4())]}
BODIES_BY_END = {
    "replay": {"since": "2026-03-01T12:00:00Z"},
    "users": {"name": "Ada"},
    "credentials": {"name": "second"},
    "refill": {"add": 5},
    "invitations": {"email": "ada@example.org"},
}


async def people_of(api: Api, stranger: UserWithKey) -> dict[str, Any]:
    """The ids of a session and of an invitation of the stranger's."""
    session_id, invitation_id, soon = uuid4(), uuid4(), datetime.now(UTC) + timedelta(hours=1)
    await api.rows.execute(insert(session).values(id=session_id, user_id=stranger.user_id, expires_at=soon))
    invited = {"id": invitation_id, "team_id": stranger.team_id, "email": "ada@example.org", "role": "member"}
    await api.rows.execute(insert(invitation).values(**invited, token_hash=a_sha256("token"), expires_at=soon))
    return {"session_id": session_id, "invitation_id": invitation_id}


@pytest.fixture
async def deputy(api: Api) -> UserWithKey:
    """A member with every scope that a member can have, and the useless `admin`."""
    scopes = (
        "images:read",
        "images:write",
        "images:delete",
        "keys:self",
        "delivery:manage",
        "delivery:keys",
        "webhooks:manage",
        "admin",
    )
    return await api.user(role=Role.MEMBER, scopes=scopes)


def test_every_route_with_an_id_is_walked() -> None:
    assert len(WITH_IDS) >= 18
    assert ("DELETE", "/api/v1/images/{image_id}") in WITH_IDS


@pytest.mark.parametrize(("method", "path"), WITH_IDS)
async def test_another_teams_thing_answers_as_what_is_not_there(
    api: Api, deputy: UserWithKey, stranger: UserWithKey, method: str, path: str
) -> None:
    assert stranger.team_id is not None
    image_id = await testing.add_image(api.rows, stranger.team_id)
    await testing.add_derivative(api.rows, image_id, "there")
    foreign = {
        "team_id": stranger.team_id,
        "user_id": stranger.user_id,
        "credential_id": stranger.credential_id,
        "image_id": image_id,
        "decision_id": await testing.add_decision(api.rows, stranger.team_id, image_id),
        "saved_search_id": await testing.add_saved_search(api.rows, stranger.team_id),
        "operation_id": await testing.add_operation(api.rows, stranger.team_id, stranger.user_id),
        "import_source_id": await testing.add_import_source(api.rows, stranger.team_id),
        "collection_id": await testing.add_collection(api.rows, stranger.team_id, [image_id]),
        "link_id": await testing.add_share_link(api.rows, stranger.team_id, [image_id]),
        "dead_letter_id": await testing.add_dead_letter(api.rows, stranger.team_id),
        "upload_id": await testing.add_upload(api.rows, stranger.team_id),
        "delivery_key_id": await testing.add_delivery_key(api.rows, stranger.team_id),
        "webhook_id": (webhook_id := await testing.add_webhook(api.rows, stranger.team_id)),
        "delivery_id": await testing.add_webhook_delivery(api.rows, stranger.team_id, webhook_id),
        "analysis_id": await testing.add_analysis(api.rows, stranger.team_id, testing.a_sha256("theirs")),
    }
    foreign |= await people_of(api, stranger)
    absent = {name: uuid4() for name in foreign}
    answers = []
    for ids in (foreign, absent):
        body = BODIES_BY_END.get(path.rpartition("/")[2], BODIES.get(method))
        if path.startswith("/api/v1/collections/") and path.endswith(("/images", "/order")) and method != "GET":
            body = NAMED
        url = path.format(**ids, preset="thumb")
        answers.append(await api.client.request(method, url, headers=deputy.headers, json=body))
    problems = [{**answer.json(), "request_id": None} if answer.content else None for answer in answers]
    assert problems[0] == problems[1]
    needs_the_role = path.startswith("/api/v1/users/{user_id}") and "/credentials" not in path
    needs_the_role |= "{import_source_id}" in path
    needs_the_role |= path.startswith("/api/v1/admin/")
    needs_the_role |= "/teams/{team_id}" in path and (method not in ("GET", "HEAD") or "invitations" in path)
    assert {answer.status_code for answer in answers} == ({403} if needs_the_role else {404})
    assert {name for name in answers[0].headers if name != "x-request-id"} == {
        name for name in answers[1].headers if name != "x-request-id"
    }


async def test_nothing_of_another_team_was_changed_by_asking(
    api: Api, deputy: UserWithKey, stranger: UserWithKey
) -> None:
    assert stranger.team_id is not None
    image_id = await testing.add_image(api.rows, stranger.team_id, filename="theirs.png")
    path = f"/api/v1/images/{image_id}"
    await api.client.patch(path, headers=deputy.headers, json={"filename": "mine.png"})
    await api.client.delete(path, headers=deputy.headers)
    row = await api.row(image_id)
    assert (row["filename"], row["deleted_at"], row["revision"]) == ("theirs.png", None, 1)


async def test_a_cursor_of_another_team_opens_nothing(api: Api, deputy: UserWithKey, stranger: UserWithKey) -> None:
    assert stranger.team_id is not None
    for _ in range(2):
        await testing.add_image(api.rows, stranger.team_id)
    theirs = await api.client.get("/api/v1/images?limit=1", headers=stranger.headers)
    cursor = theirs.json()["next_cursor"]
    mine = await api.client.get("/api/v1/images", headers=deputy.headers, params={"cursor": cursor})
    assert mine.json()["items"] == []
