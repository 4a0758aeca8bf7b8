"""Connections as they are: real sockets against the server's protocol, with the whole application behind it."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from image_api import guarded_route
from image_api.middleware import early_refusal
from image_core.server import protocol
from image_core.server.protocol import MAX_HEAD_BYTES, MAX_HEADERS, MAX_PIPELINED, BoundedProtocol
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi

PATIENCE_SECONDS = 20
BIG = 21 * 1024 * 1024
GET = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Api], Awaitable[int]]]:
    """Listen for an application, and return the port."""
    servers = []

    async def start(api: Api) -> int:
        config = uvicorn.Config(api.app, http=BoundedProtocol, ws="none", lifespan="off", log_config=None)
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: BoundedProtocol(config, state, {}), "127.0.0.1", 0)
        servers.append((server, state))
        port: int = server.sockets[0].getsockname()[1]
        return port

    yield start
    for server, state in servers:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()  # type: ignore[union-attr]


@pytest.fixture
async def port(api: Api, serve: Callable[[Api], Awaitable[int]]) -> int:
    return await serve(api)


class Connection:
    """A client that writes what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        """Status, headers and body of the next answer that has a Content-Length."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await self.reader.readexactly(int(headers["content-length"]))
        return int(head[0].split()[1]), headers, json.loads(body) if body else None

    async def rest(self) -> bytes:
        """What comes until the server closes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.read()


@pytest.fixture
async def connect(port: int) -> AsyncIterator[Callable[[], Awaitable[Connection]]]:
    made = []

    async def connect() -> Connection:
        made.append(Connection(*await asyncio.open_connection("127.0.0.1", port)))
        return made[-1]

    yield connect
    for each in made:
        each.writer.close()


Connect = Callable[[], Awaitable[Connection]]


class TestHead:
    @pytest.mark.parametrize(
        "head",
        [
            GET + b"A: " + b"x" * 2 * MAX_HEAD_BYTES,
            GET + b"x" * 2 * MAX_HEAD_BYTES,
            b"GET /" + b"x" * MAX_HEAD_BYTES,
            GET + b"A: b\r\n" * (MAX_HEADERS + 1) + b"\r\n",
            GET + (b"A: " + b"x" * 1000 + b"\r\n") * 66 + b"\r\n",
        ],
        ids=["one header", "one name", "target", "many headers", "together"],
    )
    @pytest.mark.parametrize("served", [0, 1])
    async def test_a_head_that_is_too_large_is_refused(self, connect: Connect, head: bytes, served: int) -> None:
        connection = await connect()
        for _ in range(served):
            connection.write(GET + b"\r\n")
            await connection.answer()
        connection.write(head)
        status, headers, problem = await connection.answer()
        assert (status, problem["code"], problem["limit_bytes"]) == (431, "header-too-large", MAX_HEAD_BYTES)
        assert (headers["content-type"], headers["connection"]) == ("application/problem+json", "close")
        assert await connection.rest() == b""

    async def test_a_head_within_the_bounds_is_served(self, connect: Connect) -> None:
        connection = await connect()
        connection.write(GET + (b"A: " + b"x" * 1000 + b"\r\n") * 60 + b"\r\n")
        assert (await connection.answer())[0] == 200
        connection.write(GET + b"A: b\r\n" * (MAX_HEADERS - 1) + b"\r\n")
        assert (await connection.answer())[0] == 200

    @pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET / HT", GET, GET + b"\r\n" + GET])
    async def test_a_head_that_does_not_come_is_not_waited_for(
        self, connect: Connect, sent: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
        connection = await connect()
        connection.write(sent)
        got = await connection.rest()
        late = got[got.rfind(b"HTTP/1.1") :]
        assert late == b"" or b"408" in late.split(b"\r\n")[0]

    async def test_a_connection_that_was_used_waits_longer_for_the_next_head(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
        connection = await connect()
        connection.write(GET + b"\r\n")
        await connection.answer()
        await asyncio.sleep(0.3)
        connection.write(GET + b"\r\n")
        assert (await connection.answer())[0] == 200

    @pytest.mark.parametrize(
        "line", [b"what is this\r\n\r\n", b"GET / HTTP/1.1\r\nA b\r\n\r\n", b"\x16\x03\x01\x02\x00"]
    )
    async def test_what_is_no_http_gets_a_problem(self, connect: Connect, line: bytes) -> None:
        connection = await connect()
        connection.write(line)
        status, _, problem = await connection.answer()
        assert (status, problem["code"]) == (400, "request-unreadable")
        assert await connection.rest() == b""

    async def test_requests_in_advance_are_few(self, connect: Connect) -> None:
        connection = await connect()
        connection.write((GET + b"\r\n") * (MAX_PIPELINED // 2))
        for _ in range(MAX_PIPELINED // 2):
            assert (await connection.answer())[0] == 200
        connection.write((GET + b"\r\n") * 1000)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            for _ in range(1000):
                await connection.answer()


class TestUpgrade:
    async def test_a_websocket_gets_a_problem(self, connect: Connect) -> None:
        connection = await connect()
        connection.write(
            b"GET /api/v1/images HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        status, headers, problem = await connection.answer()
        assert (status, problem["code"]) == (400, "upgrade-not-supported")
        assert headers["content-type"] == "application/problem+json"

    async def test_another_upgrade_is_not_made_and_the_request_answered(self, connect: Connect) -> None:
        connection = await connect()
        for _ in range(2):
            connection.write(GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n")
            assert (await connection.answer())[0] == 200

    @pytest.mark.parametrize("upgrade", [b"h2c", b"TLS/1.2"])
    @pytest.mark.parametrize(
        ("framing", "body"),
        [
            (b"Content-Length: 13", [b'{"xyzzy": 1} ']),
            (b"Content-Length: 13", [b"", b'{"xyz', b'zy": 1} ']),
            (b"Transfer-Encoding: chunked", [b"5\r\n", b'{"xyz\r\n8\r\nzy": 1} \r\n0\r\n\r\n']),
        ],
    )
    async def test_the_body_of_what_asks_for_another_upgrade_is_read(
        self, connect: Connect, upgrade: bytes, framing: bytes, body: list[bytes]
    ) -> None:
        connection = await connect()
        head = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: " + upgrade
        connection.write(head + b"\r\nContent-Type: application/json\r\n" + framing + b"\r\n\r\n" + body[0])
        for piece in body[1:]:
            await connection.writer.drain()
            await asyncio.sleep(0)
            connection.write(piece)
        _, _, problem = await connection.answer()
        assert "xyzzy" in [each["field"] for each in problem["errors"]]
        connection.write(GET + b"\r\n")
        assert (await connection.answer())[0] == 200

    async def test_a_broken_body_behind_an_upgrade_gets_a_problem(self, connect: Connect) -> None:
        connection = await connect()
        connection.write(b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n")
        connection.write(b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        status, _, problem = await connection.answer()
        assert (status, problem["code"]) == (400, "request-unreadable")

    async def test_a_websocket_with_a_large_body_gets_its_problem_before_it_reads(self, connect: Connect) -> None:
        connection = await connect()
        head = b"POST /api/v1/images HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        connection.write(head + f"Content-Length: {BIG}\r\n\r\n".encode() + bytes(BIG))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await connection.writer.drain()
        assert (await connection.answer())[0] == 400


class TestBody:
    async def test_the_rest_of_a_request_that_was_answered_is_not_waited_for(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(early_refusal, "DRAIN_SECONDS", 0.1)
        monkeypatch.setattr(protocol, "REST_SECONDS", 0.1)
        connection = await connect()
        connection.write(b"POST /api/v1/teams HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert (await connection.answer())[0] == 401
        assert await connection.rest() == b""

    async def test_who_was_too_slow_is_not_waited_for_again(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(guarded_route, "RECEIPT_SECONDS", 0.1)
        monkeypatch.setattr(early_refusal, "DRAIN_SECONDS", 1000)
        monkeypatch.setattr(protocol, "REST_SECONDS", 1000)
        connection = await connect()
        connection.write(b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert (await connection.answer())[0] == 408
        assert await connection.rest() == b""

    async def test_a_small_body_that_was_refused_leaves_the_connection_as_it_was(self, connect: Connect) -> None:
        connection = await connect()
        for _ in range(3):
            connection.write(b"POST /api/v1/teams HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
            assert (await connection.answer())[0] == 401
            connection.write(b" " * 999)

    @pytest.mark.parametrize("trailer", [b"A: " + b"x" * 10 * MAX_HEAD_BYTES, b"A: b\r\n" * 20_000])
    async def test_what_follows_a_body_has_the_same_bounds(self, connect: Connect, trailer: bytes) -> None:
        connection = await connect()
        connection.write(b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.write(b"2\r\n{}\r\n0\r\n" + trailer)
        assert (await connection.answer())[0] == 431

    async def test_what_follows_a_body_is_no_header(self, connect: Connect, member: UserWithKey) -> None:
        connection = await connect()
        connection.write(b"POST /api/v1/teams HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.write(b"2\r\n{}\r\n0\r\nX-API-KEY: " + member.api_key.encode() + b"\r\n\r\n")
        assert (await connection.answer())[0] == 401

    async def test_a_body_whose_chunks_are_broken_gets_a_problem(self, connect: Connect) -> None:
        connection = await connect()
        connection.write(b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        status, _, problem = await connection.answer()
        assert (status, problem["code"]) == (400, "request-unreadable")


class TestReader:
    @pytest.mark.parametrize("path", ["swagger-ui-bundle.js", "swagger-ui.css", "start.js"])
    async def test_a_long_answer_is_whole(self, api: Api, connect: Connect, path: str) -> None:
        connection = await connect()
        connection.write(b"GET /docs/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())
        head, _, body = (await connection.rest()).partition(b"\r\n\r\n")
        assert b"content-length: %d\r\n" % len(body) in head + b"\r\n"
        assert body == (await api.client.get(f"/docs/{path}")).content

    async def test_a_reader_that_stands_still_is_let_go(
        self, api: Api, member: UserWithKey, port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(protocol, "WRITE_SECONDS", 0.2)
        stream = _endless(api)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(PATIENCE_SECONDS):
                await stream.ended.wait()
        api.app.router.routes.remove(stream.route)

    async def test_an_answer_that_nobody_takes_does_not_keep_a_connection_that_is_closing(
        self, api: Api, serve: Callable[[Api], Awaitable[int]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(protocol, "WRITE_SECONDS", 0.2)
        lost = asyncio.Event()

        class Watched(BoundedProtocol):
            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                lost.set()

        monkeypatch.setattr(f"{__name__}.BoundedProtocol", Watched)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", await serve(api)))
            client.sendall(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            async with asyncio.timeout(PATIENCE_SECONDS):
                await lost.wait()


class _Stream:
    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.route: Any = None


def _endless(api: Api) -> _Stream:
    """A route whose answer has no end."""
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    stream = _Stream()

    async def chunks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(65_536)
                await asyncio.sleep(0)
        finally:
            stream.ended.set()

    async def answer(_: Any) -> StreamingResponse:
        return StreamingResponse(chunks())

    stream.route = Route("/endless", answer)
    api.app.router.routes.insert(0, stream.route)
    return stream


def blocking_exchange(port: int, head: bytes, size: int) -> bytes:
    """Writes all of a request before it reads anything, as simple clients do."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as client:
        client.sendall(head + b"Content-Length: %d\r\n\r\n" % size)
        piece = bytes(1024 * 1024)
        for _ in range(size // len(piece)):
            client.sendall(piece)
        received = b""
        while more := client.recv(65_536):
            received += more
        return received


class TestEarlyRefusal:
    @pytest.mark.parametrize("closing", [b"", b"Connection: close\r\n"], ids=["keep-alive", "close"])
    @pytest.mark.parametrize(
        ("target", "with_key", "headers", "status"),
        [
            (b"POST /api/v1/images", False, b"", 401),
            (b"POST /api/v1/teams", False, b"", 401),
            (b"POST /api/v1/teams", True, b"Content-Type: application/json\r\n", 403),
            (b"PUT /api/v1/nothing", False, b"", 404),
            (b"PUT /api/v1/images", True, b"", 405),
            (b"PATCH /api/v1/images/0199c0de-0000-7000-8000-000000000004", True, b"", 413),
            (b"POST /api/v1/auth/login", False, b"Content-Type: application/json\r\n", 413),
            (b"POST /api/v1/images", True, b"Content-Type: text/plain\r\n", 415),
            (b"POST /api/v1/images", True, b"Content-Type: image/png\r\n", 415),
            (b"POST /api/v1/images?tags=" + b"x" * 99, True, b"Content-Type: image/png\r\n", 422),
        ],
    )
    async def test_its_answer_is_read_by_who_writes_first(
        self, port: int, member: UserWithKey, target: bytes, with_key: bool, headers: bytes, status: int, closing: bytes
    ) -> None:
        key = b"X-API-KEY: " + member.api_key.encode() + b"\r\n" if with_key else b""
        head = target + b" HTTP/1.1\r\nHost: x\r\n" + key + headers + closing
        answer = await asyncio.to_thread(blocking_exchange, port, head, BIG)
        assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:400]
        assert b"connection: close\r\n" in answer
        assert b"application/problem+json" in answer

    async def test_a_limited_address_reads_its_answer_too(
        self, make_api: MakeApi, serve: Callable[[Api], Awaitable[int]]
    ) -> None:
        async with make_api(address_rate_limit_per_second=1) as api:
            port = await serve(api)
            head = b"PUT /nothing HTTP/1.1\r\nHost: x\r\n"
            statuses = [(await asyncio.to_thread(blocking_exchange, port, head, BIG))[9:12] for _ in range(5)]
        assert statuses[:2] == [b"404", b"404"]
        assert b"429" in statuses

    async def test_no_more_than_so_many_wait_for_the_rest(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(early_refusal, "MAX_DRAINING", 1)
        monkeypatch.setattr(early_refusal, "DRAIN_SECONDS", 1000)
        head = b"POST /api/v1/images HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
        first, second = await connect(), await connect()
        first.write(head)
        assert (await first.answer())[0] == 401
        second.write(head)
        assert (await second.answer())[0] == 401
        assert await second.rest() == b""
        first.write(bytes(1_000_000))
        assert await first.rest() == b""

    async def test_it_drains_no_further_than_its_bound(self, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(early_refusal, "MAX_DRAINED_BYTES", 100_000)
        connection = await connect()
        connection.write(b"POST /api/v1/images HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        assert (await connection.answer())[0] == 401
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    connection.write(bytes(65_536))
                    await connection.writer.drain()

    @pytest.mark.parametrize(
        ("method", "path", "size", "status"),
        [("POST", "auth/login", 70_000, 413), ("POST", "teams", 5, 401), ("PUT", "nothing", 5, 404)],
    )
    async def test_it_can_be_read_by_a_page_of_an_allowed_origin(
        self, make_api: MakeApi, method: str, path: str, size: int, status: int
    ) -> None:
        async with make_api(cors_allow_origins=["https://a.example"]) as api:
            answer = await api.client.request(
                method, f"/api/v1/{path}", content=bytes(size), headers={"origin": "https://a.example"}
            )
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
