"""Ways to send a file, and to see what became of it."""

import json
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import func, select

from image_core.testing import UserWithKey

from .conftest import Api

IMAGES = "/api/v1/images"
PNG = {"content-type": "image/png"}


async def post(api: Api, by: UserWithKey, body: Any, expected: int = 201, **request: Any) -> dict[str, Any]:
    """Uploads a raw body and returns the answer's."""
    headers = {**by.headers, **PNG, **request.pop("headers", {})}
    answer = await api.client.post(IMAGES, content=body, headers=headers, **request)
    assert answer.status_code == expected, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def form(
    api: Api, by: UserWithKey, parts: list[tuple[str, Any]], expected: int = 201, path: str = IMAGES
) -> dict[str, Any]:
    """Uploads a form whose parts are in this order."""
    answer = await api.client.post(path, headers=by.headers, files=parts)
    assert answer.status_code == expected, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def stored_of(api: Api, team_id: object) -> list[str]:
    return [found.name for found in await api.services.originals.list(f"originals/{team_id}/")]


async def count(api: Api, table: Any, *conditions: Any) -> int:
    found: int = await api.rows.fetch_value(select(func.count()).select_from(table).where(*conditions))
    return found


async def in_pieces(body: bytes, size: int = 256 * 1024) -> AsyncIterator[bytes]:
    for offset in range(0, len(body), size):
        yield body[offset : offset + size]


async def asgi_post(
    api: Api, by: UserWithKey, pieces: list[Any], content_length: str | None = None, key: str | None = None
) -> tuple[int, dict[str, Any]]:
    """A raw upload, message by message; an item that is no bytes is awaited, and None is the client's going away."""
    sent: list[Any] = []
    remaining = list(pieces)

    async def receive() -> dict[str, Any]:
        if not remaining:
            return {"type": "http.request", "body": b"", "more_body": False}
        piece = remaining.pop(0)
        if piece is None:
            return {"type": "http.disconnect"}
        if not isinstance(piece, bytes):
            await piece()
            return await receive()
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"x-api-key", by.api_key.encode()), (b"content-type", b"image/png")]
    if key is not None:
        headers.append((b"idempotency-key", key.encode()))
    if content_length is not None:
        headers.append((b"content-length", content_length.encode()))
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": IMAGES, "raw_path": IMAGES.encode(), "query_string": b"", "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("api", 80), "state": {},
    }  # fmt: skip
    await api.app(scope, receive, send)
    if not sent:
        return 0, {}
    return sent[0]["status"], json.loads(b"".join(each.get("body", b"") for each in sent[1:]))
