"""Limits that several instances share in a real Redis, and what happens to requests while it fails."""

import asyncio
import re
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from image_api.limits import redis_buckets
from image_core.testing import UserWithKey
from local_cloud.ports import free_port

from ..conftest import Api, MakeApi
from ..redis_server import RedisServer

pytestmark = pytest.mark.redis


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


def self_signed(path: Path) -> Path:
    """A certificate for another name than the address, and its key."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=redis.example",
         "-keyout", f"{path}.key", "-out", f"{path}.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


async def ask(api: Api, member: UserWithKey) -> httpx2.Response:
    return await api.client.get("/api/v1/whoami", headers=member.headers)


async def fallbacks(api: Api) -> float:
    shown = (await api.client.get("/metrics")).text
    found = re.search(r"^rate_limit_fallbacks_total (\S+)$", shown, re.MULTILINE)
    assert found is not None
    return float(found[1])


async def until_connected(api: Api) -> None:
    shared = api.services.rate_limits._shared
    assert shared is not None
    async with asyncio.timeout(20):
        while not shared._connected:
            await asyncio.sleep(0.02)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_buckets, "RETRY_SECONDS", 0.05)


async def test_instances_share_one_limit_undivided(make_api: MakeApi, redis_server: RedisServer) -> None:
    settings = {"rate_limit_url": redis_server.url, "rate_limit_per_second": 5, "max_instances": 10}
    async with make_api(**settings) as one, make_api(**settings) as other:
        member = await one.user()
        began = time.monotonic()
        answers = await asyncio.gather(*(ask((one, other)[n % 2], member) for n in range(50)))
        refused = [answer for answer in answers if answer.status_code == 429]
        # The server's own clock goes on: each second five more come. Two limits would let twice as many through.
        assert 10 <= len(answers) - len(refused) <= 11 + 5 * (time.monotonic() - began)
        assert refused[0].headers["ratelimit-policy"] == '"requests";q=10;w=2'
        assert (await fallbacks(one), await fallbacks(other)) == (0, 0)


async def test_an_upload_takes_from_both_buckets_in_one_round_trip(
    make_api: MakeApi, redis_server: RedisServer
) -> None:
    async with make_api(rate_limit_url=redis_server.url) as api:
        member = await api.user()
        shared = api.services.rate_limits._shared
        assert shared is not None
        await shared._redis.config_resetstat()
        answer = await api.client.post("/api/v1/images", content=b"no picture", headers=member.headers)
        assert answer.status_code in (415, 422)
        assert [part.split(";")[0] for part in answer.headers["ratelimit"].split(", ")] == ['"uploads"', '"requests"']
        assert (await shared._redis.info("commandstats"))["cmdstat_evalsha"]["calls"] == 1


async def test_requests_go_on_by_the_instances_share_while_redis_is_killed(
    make_api: MakeApi, redis_server: RedisServer, soon: None, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"rate_limit_url": redis_server.url, "rate_limit_per_second": 50, "max_instances": 20}
    async with make_api(**settings) as api:
        member = await api.user()
        assert (await ask(api, member)).headers["ratelimit-policy"] == '"requests";q=100;w=2'
        redis_server.kill()
        answers = [await ask(api, member) for _ in range(20)]
        statuses = [answer.status_code for answer in answers]
        assert statuses == [200] * 20
        assert answers[0].headers["ratelimit-policy"] == '"requests";q=100;w=10'
        assert await fallbacks(api) >= 20
        assert [record.message for record in caplog.records].count("rate_limit_store_unavailable") == 1

        redis_server.start()
        await until_connected(api)
        assert (await ask(api, member)).headers["ratelimit-policy"] == '"requests";q=100;w=2'


async def test_a_redis_that_stands_still_costs_one_request_its_wait(
    make_api: MakeApi, redis_server: RedisServer, soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make_api(rate_limit_url=redis_server.url) as api:
        member = await api.user()
        await ask(api, member)
        monkeypatch.setattr(redis_buckets, "ANSWER_SECONDS", 0.05)
        redis_server.signal(signal.SIGSTOP)
        try:
            async with asyncio.timeout(20):
                assert {(await ask(api, member)).status_code for _ in range(30)} == {200}
            assert await fallbacks(api) >= 30
        finally:
            redis_server.signal(signal.SIGCONT)
        monkeypatch.setattr(redis_buckets, "ANSWER_SECONDS", 5.0)
        await until_connected(api)
        # The answers that came too late are nobody's.
        left = [int((await ask(api, member)).headers["ratelimit"].split("r=")[1].split(";")[0]) for _ in range(3)]
        assert all(each < 200_000 for each in left)


async def test_a_server_that_has_forgotten_everything_is_told_again(
    make_api: MakeApi, redis_server: RedisServer, soon: None
) -> None:
    async with make_api(rate_limit_url=redis_server.url) as api:
        member = await api.user()
        shared = api.services.rate_limits._shared
        assert shared is not None
        await shared._redis.script_flush()
        assert (await ask(api, member)).status_code == 200
        await until_connected(api)
        count = await fallbacks(api)
        assert (await ask(api, member)).status_code == 200
        assert await fallbacks(api) == count


@asynccontextmanager
async def listener(answer: bytes | None) -> AsyncIterator[str]:
    """Takes connections, and answers every command with the same bytes, or never."""
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while await reader.read(65536):
            if answer is not None:
                writer.write(answer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()
        for writer in writers:
            writer.close()


@pytest.mark.parametrize(
    "answer",
    [None, b"", b"+OK\r\n", b":7\r\n", b"*1\r\n$1\r\nx\r\n", b"*-1\r\n", b"-ERR no\r\n",
     b"HTTP/1.1 200 OK\r\n\r\n", b"\xff\xfe\r\n", b"*999999\r\n"],
)  # fmt: skip
async def test_what_never_answers_or_answers_nonsense_stops_nobody(
    make_api: MakeApi, monkeypatch: pytest.MonkeyPatch, answer: bytes | None
) -> None:
    monkeypatch.setattr(redis_buckets, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(redis_buckets, "CONNECT_SECONDS", 0.2)
    async with listener(answer) as url, make_api(rate_limit_url=url) as api:
        member = await api.user()
        shared = api.services.rate_limits._shared
        assert shared is not None
        for connected in (False, True):
            shared._connected = connected
            async with asyncio.timeout(20):
                assert {(await ask(api, member)).status_code for _ in range(3)} == {200}
        assert await fallbacks(api) >= 4


async def test_a_password_in_the_url_is_used(make_api: MakeApi, redis_server: RedisServer) -> None:
    redis_server.kill()
    redis_server.start("--requirepass", "sesame")
    with_password = redis_server.url.replace("redis://", "redis://:sesame@")
    for url, connected in ((with_password, True), (redis_server.url, False)):
        async with make_api(rate_limit_url=url) as api:
            assert (await ask(api, await api.user())).status_code == 200
            assert (await fallbacks(api) == 0) is connected


async def test_an_encrypted_connection_trusts_the_named_authority_alone(
    make_api: MakeApi, redis_server: RedisServer, tmp_path: Path
) -> None:
    authority, stranger = (self_signed(tmp_path / name) for name in ("authority", "stranger"))
    redis_server.kill()
    port = str(free_port())
    redis_server.start("--tls-port", port, "--tls-cert-file", f"{authority}.pem", "--tls-key-file", f"{authority}.key",
                       "--tls-auth-clients", "no", "--tls-ca-cert-file", f"{authority}.pem")  # fmt: skip
    url = f"rediss://127.0.0.1:{port}/0"
    for trusted, connected in ((authority, True), (stranger, False)):
        pem = await asyncio.to_thread(Path(f"{trusted}.pem").read_text)
        async with make_api(rate_limit_url=url, rate_limit_ca_pem=pem) as api:
            assert (await ask(api, await api.user())).status_code == 200
            assert (await fallbacks(api) == 0) is connected
