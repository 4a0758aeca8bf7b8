"""Tokens for Cloud Storage, from a token server that issues, fails and hangs up."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from image_core import errors
from image_core.storage import connection
from image_core.storage.gcs import GcsClient
from image_core.storage.token import CredentialsUnavailable, GcsToken

from .storages import Exchange, SpoiltNetwork

HOUR_SECONDS = 3600


@dataclass
class TokenServer:
    """Issues `token-1`, `token-2`, …, with the lifetime that a test chooses, or answers a status instead."""

    url: str = ""
    issued: int = 0
    lifetime_seconds: int = HOUR_SECONDS
    status: int = 200
    assertions: list[str] = field(default_factory=list)

    async def issue(self, request: web.Request) -> web.Response:
        self.assertions.append(str((await request.post())["assertion"]))
        if self.status != 200:
            return web.json_response({"error": "invalid_grant"}, status=self.status)
        self.issued += 1
        return web.json_response(
            {"access_token": f"token-{self.issued}", "expires_in": self.lifetime_seconds, "token_type": "Bearer"}
        )


@pytest.fixture
async def server() -> AsyncIterator[TokenServer]:
    server = TokenServer()
    app = web.Application()
    app.router.add_post("/token", server.issue)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    yield server
    await runner.cleanup()


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(65537, 2048)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*pem).decode()


@pytest.fixture
def key_file(tmp_path: Path, server: TokenServer, private_key: str) -> str:
    path = tmp_path / "account.json"
    account = {"type": "service_account", "client_email": "someone@example.org", "token_uri": server.url}
    path.write_text(json.dumps({**account, "private_key": private_key, "project_id": "p"}))
    return str(path)


async def test_one_token_serves_all_who_ask_while_it_lasts(server: TokenServer, key_file: str) -> None:
    token = GcsToken(key_file)
    assert set(await asyncio.gather(*(token.get() for _ in range(20)))) == {"token-1"}
    assert await token.get() == "token-1"
    assert len(server.assertions) == 1


async def test_a_token_that_ends_soon_is_replaced(server: TokenServer, key_file: str) -> None:
    token = GcsToken(key_file)
    server.lifetime_seconds = 120
    assert [await token.get(), await token.get()] == ["token-1", "token-2"]


async def test_a_token_that_ends_soon_serves_while_nobody_issues_another(server: TokenServer, key_file: str) -> None:
    token = GcsToken(key_file)
    server.lifetime_seconds = 120
    await token.get()
    server.status = 400
    assert await token.get() == "token-1"


async def test_without_a_token_there_is_none_to_serve(server: TokenServer, key_file: str) -> None:
    server.status = 400
    with pytest.raises(CredentialsUnavailable):
        await GcsToken(key_file).get()
    with pytest.raises(CredentialsUnavailable):
        await GcsToken(key_file + ".absent").get()


async def test_a_token_that_storage_refused_is_not_sent_again(server: TokenServer, key_file: str) -> None:
    token = GcsToken(key_file)
    assert await token.get() == "token-1"
    token.forget()
    server.status = 400
    with pytest.raises(CredentialsUnavailable):
        await token.get()
    server.status = 200
    assert await token.get() == "token-2"


class TestRequests:
    """Storage sees the token, and may refuse it."""

    @pytest.fixture
    async def network(self, emulators: Any) -> AsyncIterator[SpoiltNetwork]:
        async with SpoiltNetwork(emulators.storage_host).running() as network:
            yield network

    @pytest.fixture
    async def client(self, network: SpoiltNetwork, key_file: str) -> AsyncIterator[GcsClient]:
        client = GcsClient(network.url, None)
        client._token = GcsToken(key_file)
        yield client
        await client.close()

    async def test_a_refused_token_is_replaced_once(self, network: SpoiltNetwork, client: GcsClient) -> None:
        async def refuse(_exchange: Exchange) -> web.StreamResponse:
            return web.Response(status=401)

        network.faults = [(lambda _: True, refuse)]
        assert await client.bucket("test-originals").stat("tests/absent") is None
        assert [sent.headers["authorization"] for sent in network.sent] == ["Bearer token-1", "Bearer token-2"]

    async def test_without_credentials_storage_is_unavailable_at_once(
        self, client: GcsClient, network: SpoiltNetwork, server: TokenServer
    ) -> None:
        server.status = 400
        with pytest.raises(errors.StorageUnavailable):
            await client.bucket("test-originals").put("tests/x", b"x", "image/png")
        assert network.sent == []


async def test_a_body_that_nobody_reads_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            writer.close()

    monkeypatch.setattr(connection, "_RETRY_SECONDS", 0.0)
    monkeypatch.setattr(connection, "_CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(connection, "_STALL_SECONDS", 0.2)
    listener = await asyncio.start_server(silent, "127.0.0.1", 0, limit=1024)
    client = GcsClient(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", None)
    with pytest.raises(errors.StorageUnavailable):
        await client.bucket("originals").put("tests/x", bytes(16 * 1024 * 1024), "image/png")
    await client.close()
    listener.close()
