"""Clients that generators make of the OpenAPI document compile, and can do every operation."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from image_api.actor import Role
from image_core.server.protocol import BoundedProtocol

from ..conftest import Api
from ..npm_tools import install, npx
from ..picture_server import serving, whole
from ..pictures import picture
from .test_openapi import OPERATIONS, UPLOADS, operation_of, prepare

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]
SOURCES = Path(__file__).parent / "generated_clients"
CLIENTS = ("hey-api", "openapi-fetch")
Send = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@pytest.fixture(scope="module")
def workshop(running_api: Api, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the document and the tools, in the versions of the lock file."""
    folder = tmp_path_factory.mktemp("clients")
    install(SOURCES, folder)
    (folder / "openapi.json").write_text(json.dumps(running_api.truth.document))
    return folder


@pytest.fixture(scope="module")
def compiled(workshop: Path) -> Path:
    """Both clients and what uses them, compiled with every check of `strict`."""
    npx(workshop, "openapi-typescript", "openapi.json", "-o", "openapi-typescript.ts")
    npx(workshop, "openapi-ts", "-i", "openapi.json", "-o", "hey-api")
    npx(workshop, "tsc", "-p", ".")
    return workshop


@pytest.fixture(scope="module")
async def send(running_api: Api, compiled: Path) -> AsyncIterator[Send]:
    """Has one of the clients call the application over a socket."""
    config = uvicorn.Config(running_api.app, http=BoundedProtocol, ws="none", lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: BoundedProtocol(config, state, {}), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    node = await asyncio.create_subprocess_exec(
        "node", "built/run.js", f"http://127.0.0.1:{port}", cwd=compiled,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert node.stdin is not None
    assert node.stdout is not None
    written, read = node.stdin, node.stdout

    async def call(request: dict[str, Any]) -> dict[str, Any]:
        written.write(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await read.readline())
        return answer

    yield call
    node.kill()
    await node.wait()
    server.close()
    for connection in list(state.connections):
        connection.transport.abort()  # type: ignore[union-attr]


def test_redocly_finds_no_fault(workshop: Path) -> None:
    npx(workshop, "redocly", "lint", "--extends", "recommended", "openapi.json")


def as_text(content: str | bytes | None) -> str | None:
    return content.decode() if isinstance(content, bytes) else content


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_a_generated_client_can_do_every_operation(
    api: Api, send: Send, method: str, path: str, client: str
) -> None:
    by = await api.user(role=Role.ADMIN)
    url, request = await prepare(api, method, path, by, await api.user())
    found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path), url)
    assert found is not None
    headers = {name: value for name, value in request["headers"].items() if name != "content-type"}
    sends_file = (method, path) in UPLOADS
    async with AsyncExitStack() as stack:
        if path.endswith("/import"):
            request["json"] = {"url": await stack.enter_async_context(serving(whole(picture(12))))}
        answer = await send(
            {
                "client": client,
                "operationId": operation_of(api, method, path)["operationId"],
                "method": method,
                "template": path,
                "path": found.groupdict(),
                "query": request.get("params", {}),
                "headers": headers,
                "json": None if sends_file else request.get("json"),
                "text": None if sends_file else as_text(request.get("content")),
                "file": base64.b64encode(picture(12)).decode() if sends_file else None,
            }
        )
    assert 200 <= answer["status"] < 300, answer


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_generated_client_filters_by_metadata(api: Api, send: Send, client: str) -> None:
    by = await api.user()
    declared = {"fields": [{"name": "age", "type": "integer"}]}
    url = f"/api/v1/metadata-schema?team_id={by.team_id}"
    assert (await api.client.put(url, headers=api.admin.headers, json=declared)).status_code == 200
    for broken, status in ((False, 200), (True, 400)):
        answer = await send(
            {
                "client": client,
                "operationId": "listImages",
                "method": "GET",
                "template": "/api/v1/images",
                "path": {},
                "query": {"status": ["ready", "stored"], "meta": {"agee" if broken else "age[gte]": 18}},
                "headers": by.headers,
                "json": None,
                "file": None,
            }
        )
        # A field that is not declared is refused, so that the filter has arrived.
        assert answer["status"] == status, answer
