"""Things of a team that have pages of their own."""

from image_core.testing import UserWithKey

from ..conftest import Api


async def add_catalogue(api: Api, by: UserWithKey, image_id: str, text: str) -> dict[str, str]:
    """Where the pages of a collection with this name and this image are."""
    made = await api.client.post("/api/v1/collections", json={"name": text[:120]}, headers=by.headers)
    collection_id = made.json()["id"]
    path, images = f"/api/v1/collections/{collection_id}/images", {"image_ids": [image_id]}
    assert (await api.client.post(path, json=images, headers=by.headers)).status_code == 200
    return {"collection_id": collection_id}
