"""Things of a team that have pages of their own."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy import insert

from image_core import testing
from image_core.models import webhook_attempt
from image_core.testing import UserWithKey

from ..conftest import Api
from ..pictures import picture


async def call(api: Api, by: UserWithKey, method: str, path: str, **body: Any) -> Any:
    """Return the body of the answer to a successful request."""
    answer = await api.client.request(method, f"/api/v1{path}", json=body or None, headers=by.headers)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


async def add_catalogue(api: Api, by: UserWithKey, image_id: str, text: str) -> dict[str, str]:
    """Where the pages of a collection with this name and this image are, and of a link to it with this title.

    A saved search has the name, too, and looks for it. Another image of this name is in the trash. A webhook is
    described by the text, and answered with it.
    """
    collection_id = (await call(api, by, "POST", "/collections", name=text[:120]))["id"]
    await call(api, by, "POST", f"/collections/{collection_id}/images", image_ids=[image_id])
    link = await call(api, by, "POST", "/links", collection_id=collection_id, title=text)
    trashed_id = str((await api.upload(by, picture(99), filename="trashed.png"))["id"])
    await call(api, by, "DELETE", f"/images/{trashed_id}")
    await api.set_row(UUID(trashed_id), filename=text)
    query = urlencode({"q": text, "tag": text[:64]})
    search = await call(api, by, "POST", "/saved-searches", name=text[:120], query=query)
    return {
        "collection_id": collection_id, "link_id": link["id"], "saved_search_id": search["id"], "name": "thumb",
        **await add_hook(api, by, text),
    }  # fmt: skip


async def add_hook(api: Api, by: UserWithKey, text: str) -> dict[str, str]:
    """Where the pages of a webhook are, and of a delivery whose attempt was answered with this text."""
    assert by.team_id is not None
    webhook_id = await testing.add_webhook(api.rows, by.team_id, description=text)
    delivery_id = await testing.add_webhook_delivery(api.rows, by.team_id, webhook_id)
    attempt = {"delivery_id": delivery_id, "number": 1, "duration_ms": 1234, "status": 500, "response": text}
    await api.rows.execute(insert(webhook_attempt).values(attempt))
    return {"webhook_id": str(webhook_id), "delivery_id": str(delivery_id)}
