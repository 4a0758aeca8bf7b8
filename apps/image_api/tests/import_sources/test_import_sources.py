"""Import sources: an admin grants buckets to teams, and a team sees only its own."""

from typing import Any

import pytest
from sqlalchemy import select

from image_api.import_sources import service
from image_core import errors
from image_core.models import audit_event
from image_core.testing import UserWithKey

from ..conftest import Api

SOURCES = "/api/v1/import-sources"


async def ask(api: Api, by: UserWithKey, method: str, path: str = "", status: int = 200, **request: Any) -> Any:
    answer = await api.client.request(method, SOURCES + path, headers=by.headers, **request)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def test_an_admin_grants_a_bucket_to_one_team(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    assert member.team_id is not None
    assert stranger.team_id is not None
    new = {"team_id": str(member.team_id), "name": "old-site", "bucket": "example-old-site", "prefix": "uploads/"}
    await ask(api, member, "POST", status=403, json=new)
    granted = await ask(api, api.admin, "POST", status=201, json=new)
    assert granted == {**new, "id": granted["id"], "created_at": granted["created_at"]}
    assert (await ask(api, api.admin, "POST", status=409, json=new))["code"] == "import-source-taken"
    assert (await ask(api, member, "GET"))["items"] == [granted]
    assert granted in (await ask(api, api.admin, "GET"))["items"]
    assert (await ask(api, stranger, "GET"))["items"] == []
    await ask(api, stranger, "GET", status=404, params={"team_id": str(member.team_id)})
    assert (await service.get_granted(api.rows, member.team_id, "old-site"))["prefix"] == "uploads/"
    for team_id, name in ((stranger.team_id, "old-site"), (member.team_id, "new-site")):
        with pytest.raises(errors.SourceNotGranted):
            await service.get_granted(api.rows, team_id, name)
    await ask(api, member, "DELETE", f"/{granted['id']}", 403)
    await ask(api, api.admin, "DELETE", f"/{granted['id']}", 204)
    assert (await ask(api, api.admin, "DELETE", f"/{granted['id']}", 404))["code"] == "import-source-not-found"
    recorded = select(audit_event.c.action).where(audit_event.c.team_id == member.team_id)
    rows = await api.rows.fetch(recorded.order_by(audit_event.c.position))
    assert [row["action"] for row in rows] == ["import_source.added", "import_source.removed"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bucket", "originals"),
        ("bucket", "derivatives"),
        ("bucket", "scratch"),
        ("bucket", "gs://example"),
        ("bucket", "a/b"),
        ("prefix", "uploads"),
        ("prefix", "é" * 450 + "/"),
        ("prefix", "a\n/"),
        ("name", "Old site"),
    ],
)
async def test_what_may_never_be_a_source_is_refused(api: Api, member: UserWithKey, field: str, value: str) -> None:
    settings = api.services.settings
    own = {
        "originals": settings.image_upload_bucket_name,
        "derivatives": settings.image_derivatives_bucket_name,
        "scratch": settings.image_scratch_bucket_name,
    }
    new = {"team_id": str(member.team_id), "name": "old-site", "bucket": "example-old-site"}
    refused = await ask(api, api.admin, "POST", status=422, json=new | {field: own.get(value, value)})
    assert field in refused["errors"][0]["field"]
