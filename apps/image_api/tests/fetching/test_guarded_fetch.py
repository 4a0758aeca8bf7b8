import asyncio
import gc
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import aclosing
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from image_api.fetching import guarded_fetch
from image_api.fetching.guarded_fetch import GuardedFetcher
from image_api.fetching.system_resolver import LOOKUPS_PER_CALLER, SystemResolver
from image_core import errors

from .hostile_source import BODY, HostileSource, certificate, hostile_source

LIMIT_BYTES = 1_000_000
# Reading the system's certificates takes longer than most of these tests.
TRUST = ssl.create_default_context()
LOCAL = [ip_network("127.0.0.1/32")]
ADDRESSES = {
    "pictures.test": ["127.0.0.1"],
    "xn--mller-kva.test": ["127.0.0.1"],
    "metadata.test": ["169.254.169.254"],
    "metadata.google.internal": ["169.254.169.254"],
    "localhost": ["127.0.0.1", "::1"],
    "mixed.test": ["93.184.216.34", "10.0.0.1"],
    "mixed-families.test": ["2606:2800:220:1::1", "::1"],
    "mapped.test": ["::ffff:169.254.169.254"],
    "scoped.test": ["fe80::1%eth0"],
    "scoped-public.test": ["2606:2800:220:1::1%eth0"],
    "strange.test": ["not an address"],
    "empty.test": [],
    "1.2.3.4.nip.test": ["192.168.1.1"],
}


class Resolver:
    """Answers from a table, and counts; a list of answers is gone through, one a question."""

    def __init__(self, **changing: list[list[str]]) -> None:
        self.asked: list[str] = []
        self.changing = changing

    async def __call__(self, host: str, caller: Hashable) -> list[str]:
        self.asked.append(host)
        if answers := self.changing.get(host.partition(".")[0]):
            return answers[min(self.asked.count(host), len(answers)) - 1]
        if host not in ADDRESSES:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return ADDRESSES[host]


@pytest.fixture(scope="module")
async def source() -> AsyncIterator[HostileSource]:
    async with hostile_source() as running:
        yield running


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every address that a connection was tried to."""
    seen: list[str] = []
    really = guarded_fetch.httpcore2.AnyIOBackend.connect_tcp

    async def connect_tcp(self: Any, host: str, *arguments: Any, **options: Any) -> Any:
        seen.append(host)
        return await really(self, host, *arguments, **options)

    monkeypatch.setattr(guarded_fetch.httpcore2.AnyIOBackend, "connect_tcp", connect_tcp)
    return seen


async def fetch(fetcher: GuardedFetcher, url: str, seconds: float = 20) -> bytes:
    async with aclosing(fetcher.chunks(url, LIMIT_BYTES, seconds)) as chunks:
        return b"".join([chunk async for chunk in chunks])


def guarded(**options: Any) -> GuardedFetcher:
    return GuardedFetcher(**{"resolve": Resolver(), "ssl_context": TRUST, **options})


REFUSED = [
    # Schemes.
    "file:///etc/passwd", "ftp://pictures.test/a", "gopher://127.0.0.1:6379/_INFO", "data:image/png;base64,AAAA",
    "javascript:alert(1)", "ldap://127.0.0.1/", "unix:/var/run/docker.sock", "//127.0.0.1/", "pictures.test/a.png", "",
    "http:", "http:/127.0.0.1/", "http:127.0.0.1", "http:///picture.png", "jar:http://127.0.0.1!/", "http+unix://x/",
    # IPv4, as it is and as resolvers also read it.
    "http://127.0.0.1/", "http://127.1.2.3/", "http://127.1/", "http://127.0.1/", "http://2130706433/",
    "http://017700000001/", "http://0177.0.0.1/", "http://0x7f.0.0.1/", "http://0x7f000001/", "http://0X7F000001/",
    "http://0x/", "http://127.0.0.1./", "http://127.0.0.01/", "http://1.2.3.4.5/", "http://256.1.1.1/", "http://0/",
    "http://0.0.0.0/", "http://10.0.0.1/", "http://172.16.0.1/", "http://172.31.255.255/", "http://192.168.0.1/",
    "http://169.254.169.254/computeMetadata/v1/", "http://0xa9fea9fe/", "http://2852039166/", "http://0251.0376.0251.0376/",
    "http://425.510.425.510/", "http://100.64.0.1/", "http://100.100.100.200/", "http://192.0.0.192/",
    "http://192.0.2.1/", "http://198.18.0.1/", "http://198.51.100.1/", "http://203.0.113.1/", "http://192.88.99.1/",
    "http://224.0.0.1/", "http://240.0.0.1/", "http://255.255.255.255/", "http://168.63.129.16/",
    # IPv6.
    "http://[::1]/", "http://[::]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/", "http://[::ffff:0:127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::1]/", "http://[2002:7f00:1::]/", "http://[2002:a9fe:a9fe::1]/", "http://[2001::1]/",
    "http://[2001:2::1]/", "http://[2001:db8::1]/", "http://[3fff::1]/", "http://[100::1]/", "http://[5f00::1]/",
    "http://[fc00::1]/", "http://[fd00:ec2::254]/", "http://[fd20:ce::254]/", "http://[fe80::1]/", "http://[fec0::1]/",
    "http://[ff02::1]/", "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[::1%251]/", "http://[v1.x]/",
    "http://[2606:2800:220:1::1%25eth0]/", "http://[2606:2800:220:1::1%eth0]/", "http://scoped-public.test/",
    "http://[::1", "http://::1/", "http://[::1]x/", "http://[]/", "http://[127.0.0.1]/",
    # Hosts that are not what they seem.
    "http://user@pictures.test/", "http://user:password@pictures.test/", "http://pictures.test@127.0.0.1/",
    "http://@pictures.test/", "http://127.0.0.1#@pictures.test/", "http://pictures.test\\@127.0.0.1/",
    "http://127.0.0.1\\.pictures.test/", "http:\\\\127.0.0.1\\", "http://pictures.test/\\x",
    "http://pictures.test%00.test/", "http://%31%32%37.0.0.1/",
    "http://pictures%2etest/", "http://１２７.０.０.１/", "http://127。0。0。1/", "http://①②⑦.0.0.1/", "http://ⓛocalhost/",
    "http://０x7f.1/", "http://[：：1]/", "http://localhost/", "http://LOCALHOST./", "http://metadata.google.internal/",
    "http://metadata.google.internal./", "http://..test/", "http://pictures..test/", "http://-pictures.test/",
    "http://pictures.test../", f"http://{'a' * 64}.test/", f"http://{'a.' * 130}test/", "http://pict ures.test/",
    "http://pictures.test\t/", "http://pictures.test/\r\nX-Injected: 1", "http://pictures.test/\nGET / HTTP/1.1",
    " http://pictures.test/", "http://pictures.test/\x00", "http://pictures.test/\u200b", "http://pictures\u00ad.test/",
    "http://pictures.test/ü\u2028", "http://a,b/", "http://a;b/", "http://a'b/", "http://xn--/", "http://a\u0661.1/",
    # Ports.
    "http://93.184.216.34:22/", "http://93.184.216.34:6379/", "https://93.184.216.34:8443/", "http://93.184.216.34:0/",
    "http://93.184.216.34:65536/", "http://93.184.216.34:-80/", "http://93.184.216.34:８０/", "http://93.184.216.34:80:80/",
    "http://[2606:2800:220:1::1]:25/",
    # What names resolve to.
    "http://mixed.test/", "http://mixed-families.test/", "http://mapped.test/", "http://scoped.test/",
    "http://1.2.3.4.nip.test/", "https://metadata.test/", "HTTP://METADATA.TEST/",
]  # fmt: skip


EVERYTHING = [ip_network("0.0.0.0/0"), ip_network("::/0")]
METADATA = [
    "169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192",
    "[fe80::1]", "[fd00:ec2::254]", "[fd00:ec2::23]", "[fd20:ce::254]", "[fd00:c1::a9fe:a9fe]", "[fd00:42::42]",
    # Mapped, compatible and translated.
    "[::ffff:169.254.169.254]", "[::169.254.169.254]", "[::ffff:0:169.254.169.254]", "[::ffff:0:168.63.129.16]",
    # NAT64: the well-known prefix, the local one at each of its lengths, and an operator's own.
    "[64:ff9b::169.254.169.254]", "[64:ff9b::a83f:8110]", "[64:ff9b::6464:64c8]", "[64:ff9b:1::169.254.169.254]",
    "[64:ff9b:1:a9fe:a9:fe00::]", "[64:ff9b:1:a9:fe:a9fe::]", "[64:ff9b:1:0:a9:fea9:fe00::]",
    "[fd00:64::169.254.169.254]",
    # 6to4, Teredo (server, and client with its bits turned), ISATAP.
    "[2002:a9fe:a9fe::1]", "[2002:c000:c0::1]", "[2001:0:a9fe:a9fe::1]", "[2001:0:5db8:d822::5601:5601]",
    "[fd00::5efe:a9fe:a9fe]", "[fd00::200:5efe:169.254.169.254]",
]  # fmt: skip


class TestRefusedUrls:
    def test_the_table_is_long(self) -> None:
        assert len(set(REFUSED)) == len(REFUSED) >= 40

    @pytest.mark.parametrize("url", REFUSED, ids=ascii)
    async def test_nothing_is_dialled(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        dialled: list[str] = []

        async def connect_tcp(_: Any, host: str, *__: Any) -> Any:
            dialled.append(host)
            raise guarded_fetch.httpcore2.ConnectError

        monkeypatch.setattr(guarded_fetch.httpcore2.AnyIOBackend, "connect_tcp", connect_tcp)
        # The name itself is honest here, so that only what is wrong with the URL can keep it from being called.
        with pytest.raises(errors.SourceRefused):
            await fetch(guarded(resolve=Resolver(pictures=[["93.184.216.34"]])), url)
        assert dialled == []

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("ftp://pictures.test/", "Use http:// or https://"),
            ("http://user@pictures.test/", "user name"),
            ("http://pictures.test/a b", "spaces"),
            ("http://0x7f.1/", "four decimal numbers"),
            ("http://93.184.216.34:22/", "only 80 and 443"),
            ("http://10.0.0.1/", "not public"),
        ],
    )
    async def test_the_reason_is_told(self, url: str, reason: str) -> None:
        with pytest.raises(errors.SourceRefused, match=reason):
            await fetch(guarded(), url)

    @pytest.mark.parametrize("url", ["http://absent.test/", "http://strange.test/", "http://empty.test/"])
    async def test_a_name_without_an_address_is_unreachable(self, dialled: list[str], url: str) -> None:
        with pytest.raises(errors.SourceUnreachable):
            await fetch(guarded(), url)
        assert dialled == []

    async def test_what_is_allowed_by_network_cannot_hold_a_metadata_server(self, dialled: list[str]) -> None:
        for host in METADATA:
            with pytest.raises(errors.SourceRefused):
                await fetch(guarded(allowed=EVERYTHING), f"http://{host}/")
        assert dialled == []

    async def test_what_is_allowed_by_network_has_no_scope(self, dialled: list[str]) -> None:
        for name in ("scoped", "scoped-public"):
            with pytest.raises(errors.SourceRefused):
                await fetch(guarded(allowed=EVERYTHING), f"http://{name}.test/")
        assert dialled == []

    @pytest.mark.parametrize("host", ["64:ff9b::5db8:d822", "64:ff9b:1::5db8:d822", "2002:5db8:d822::1", "fd00::1"])
    async def test_what_leads_elsewhere_is_open_where_its_network_is_allowed(
        self, monkeypatch: pytest.MonkeyPatch, host: str
    ) -> None:
        dialled: list[str] = []

        async def connect_tcp(_: Any, host: str, *__: Any) -> Any:
            dialled.append(host)
            raise guarded_fetch.httpcore2.ConnectError

        monkeypatch.setattr(guarded_fetch.httpcore2.AnyIOBackend, "connect_tcp", connect_tcp)
        with pytest.raises(errors.SourceUnreachable):
            await fetch(guarded(allowed=EVERYTHING), f"http://[{host}]/")
        assert dialled == [host]


class TestWhatIsDialled:
    async def test_the_name_is_asked_for_once_and_the_checked_address_is_dialled(
        self, source: HostileSource, dialled: list[str]
    ) -> None:
        resolve = Resolver(rebinding=[["127.0.0.1"], ["169.254.169.254"]])
        url = f"http://rebinding.test:{source.port}/picture.png"
        assert await fetch(guarded(allowed=LOCAL, resolve=resolve), url) == BODY
        assert (resolve.asked, dialled) == (["rebinding.test"], ["127.0.0.1"])

    async def test_an_answer_that_has_changed_by_the_redirect_is_refused(
        self, source: HostileSource, dialled: list[str]
    ) -> None:
        resolve = Resolver(rebinding=[["127.0.0.1"], ["127.0.0.2"]])
        with pytest.raises(errors.SourceRefused):
            await fetch(guarded(allowed=LOCAL, resolve=resolve), f"http://rebinding.test:{source.port}/to-picture")
        assert (resolve.asked, dialled) == (["rebinding.test"] * 2, ["127.0.0.1"])

    async def test_the_next_address_is_tried_where_one_takes_no_connection(
        self, source: HostileSource, dialled: list[str]
    ) -> None:
        allowed = [*LOCAL, ip_network("127.0.0.9/32")]
        resolve = Resolver(two=[["127.0.0.9", "127.0.0.1"]])
        url = f"http://two.test:{source.port}/picture.png"
        assert await fetch(guarded(allowed=allowed, resolve=resolve), url) == BODY
        assert dialled == ["127.0.0.9", "127.0.0.1"]

    async def test_the_request_names_the_host_and_nothing_of_ours(
        self, source: HostileSource, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.2:1")
        url = f"http://müller.test.:{source.port}/picture.png?#part"
        assert await fetch(guarded(allowed=LOCAL), url.replace("?#part", "#part")) == BODY
        assert source.requests[-1].splitlines()[:-1] == [
            "GET /picture.png HTTP/1.1",
            f"Host: xn--mller-kva.test:{source.port}",
            "User-Agent: image-manager",
            "Accept-Encoding: identity",
            "Accept: image/*",
        ]


BEHAVIOUR = {
    "/missing": errors.SourceAnswerUnusable,
    "/broken": errors.SourceAnswerUnusable,
    "/partial": errors.SourceAnswerUnusable,
    "/upgrade": errors.SourceAnswerUnusable,
    "/endless-body": errors.SourceTooLarge,
    "/declares-too-much": errors.SourceTooLarge,
    "/endless-headers": errors.SourceAnswerUnusable,
    "/one-endless-header": errors.SourceAnswerUnusable,
    "/endless-chunk-size": errors.SourceAnswerUnusable,
    "/gzip-bomb": errors.SourceAnswerUnusable,
    "/deflate": errors.SourceAnswerUnusable,
    "/gzip-transfer": errors.SourceAnswerUnusable,
    "/shorter-than-declared": errors.SourceAnswerUnusable,
    "/two-lengths": errors.SourceAnswerUnusable,
    "/negative-length": errors.SourceAnswerUnusable,
    "/broken-chunk": errors.SourceAnswerUnusable,
    "/garbage": errors.SourceAnswerUnusable,
    "/greeting": errors.SourceAnswerUnusable,
    "/closed-at-once": errors.SourceAnswerUnusable,
    "/loop": errors.SourceAnswerUnusable,
    "/to-nowhere": errors.SourceAnswerUnusable,
    "/to-metadata": errors.SourceRefused,
    "/to-metadata-by-name": errors.SourceRefused,
    "/to-loopback": errors.SourceRefused,
    "/to-loopback-ipv6": errors.SourceRefused,
    "/to-octal": errors.SourceRefused,
    "/to-file": errors.SourceRefused,
    "/to-ftp": errors.SourceRefused,
    "/to-gopher": errors.SourceRefused,
    "/to-data": errors.SourceRefused,
    "/to-credentials": errors.SourceRefused,
    "/to-broken-brackets": errors.SourceRefused,
}
SLOW = ["/one-byte-at-a-time", "/dripping-headers", "/silent", "/silent-after-the-head", "/endless-interim-answers"]


class TestHostileSources:
    @pytest.mark.parametrize(("path", "expected"), BEHAVIOUR.items())
    async def test_a_source_that_misbehaves_is_named_by_its_fault(
        self, source: HostileSource, path: str, expected: type[errors.AppError]
    ) -> None:
        with pytest.raises(expected):
            await fetch(guarded(allowed=LOCAL), f"http://pictures.test:{source.port}{path}")

    @pytest.mark.parametrize("path", SLOW)
    async def test_a_slow_source_is_given_up_when_its_time_is_over(self, source: HostileSource, path: str) -> None:
        with pytest.raises(errors.SourceTimeout):
            await fetch(guarded(allowed=LOCAL), f"http://pictures.test:{source.port}{path}", seconds=0.2)

    async def test_a_silent_source_is_given_up_before_its_time_is_over(
        self, source: HostileSource, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(guarded_fetch._TIMEOUTS, "read", 0.05)
        with pytest.raises(errors.SourceTimeout):
            await fetch(guarded(allowed=LOCAL), f"http://pictures.test:{source.port}/silent", seconds=100)

    async def test_a_name_server_that_hangs_is_given_up(self, dialled: list[str]) -> None:
        async def resolve(host: str, caller: Hashable) -> list[str]:
            await asyncio.sleep(60)
            return []

        with pytest.raises(errors.SourceTimeout):
            await fetch(guarded(resolve=resolve), "http://pictures.test/", seconds=0.05)

    async def test_nobody_listening_is_unreachable(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            with pytest.raises(errors.SourceUnreachable):
                await fetch(guarded(allowed=LOCAL), f"http://127.0.0.1:{unused.getsockname()[1]}/")

    async def test_the_readers_own_time_is_not_the_sources(self, source: HostileSource) -> None:
        url = f"http://pictures.test:{source.port}/endless-body"
        loop = asyncio.get_running_loop()
        async with aclosing(guarded(allowed=LOCAL).chunks(url, LIMIT_BYTES, 5)) as chunks:
            await anext(chunks)
            really, loop.time = loop.time, lambda: really() + 100  # type: ignore[method-assign]
            try:
                assert await anext(chunks)
            finally:
                loop.time = really  # type: ignore[method-assign]

    @pytest.mark.parametrize("path", ["/chunked", "/until-closed"])
    async def test_a_body_of_unknown_length_is_read_to_its_end(self, source: HostileSource, path: str) -> None:
        assert await fetch(guarded(allowed=LOCAL), f"http://pictures.test:{source.port}{path}") == b"picture"

    async def test_the_answer_to_the_status_tells_it(self, source: HostileSource) -> None:
        with pytest.raises(errors.SourceAnswerUnusable) as caught:
            await fetch(guarded(allowed=LOCAL), f"http://pictures.test:{source.port}/missing")
        assert caught.value.extra == {"source_status": 404}

    async def test_leaving_early_hangs_up(self, source: HostileSource, monkeypatch: pytest.MonkeyPatch) -> None:
        hung_up: list[Any] = []
        really = guarded_fetch._PinnedBackend.abort

        async def hang_up(self: Any) -> None:
            await really(self)
            hung_up.append(self._stream.get_extra_info("socket").fileno())

        monkeypatch.setattr(guarded_fetch._PinnedBackend, "abort", hang_up)
        chunks = guarded(allowed=LOCAL).chunks(f"http://pictures.test:{source.port}/endless-body", LIMIT_BYTES, 5)
        await anext(chunks)
        await chunks.aclose()
        assert hung_up == [-1]


class TestTls:
    async def test_the_certificate_is_that_of_the_name_and_not_of_the_address(self, tmp_path: Path) -> None:
        server, client = certificate(tmp_path, "pictures.test")
        async with hostile_source(server) as source:
            url = f"https://pictures.test:{source.port}/picture.png"
            assert await fetch(guarded(allowed=LOCAL, ssl_context=client), url) == BODY
        assert source.names == ["pictures.test"]

    async def test_another_names_certificate_is_refused(self, tmp_path: Path) -> None:
        server, client = certificate(tmp_path, "other.test")
        async with hostile_source(server) as source:
            with pytest.raises(errors.SourceUnreachable):
                await fetch(
                    guarded(allowed=LOCAL, ssl_context=client), f"https://pictures.test:{source.port}/picture.png"
                )
        assert source.requests == []

    async def test_a_certificate_that_nobody_vouches_for_is_refused(self, tmp_path: Path) -> None:
        server, _ = certificate(tmp_path, "pictures.test")
        async with hostile_source(server) as source:
            with pytest.raises(errors.SourceUnreachable):
                await fetch(guarded(allowed=LOCAL), f"https://pictures.test:{source.port}/picture.png")
        assert source.requests == []

    async def test_tls_with_a_server_that_speaks_none_is_unreachable(self, source: HostileSource) -> None:
        with pytest.raises((errors.SourceUnreachable, errors.SourceTimeout)):
            await fetch(guarded(allowed=LOCAL), f"https://pictures.test:{source.port}/picture.png", seconds=0.2)


class HangingNames:
    """A name server that does not answer for names that begin with `hang` until the end of the test."""

    def __init__(self) -> None:
        self.under_way, self.most, self.over = 0, 0, threading.Event()

    def __call__(self, host: str) -> list[str]:
        if not host.startswith("hang"):
            return ["127.0.0.1"]
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.over.wait(30)
        self.under_way -= 1
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")


class TestNamesThatHang:
    @pytest.fixture
    def names(self) -> Iterator[HangingNames]:
        names = HangingNames()
        yield names
        names.over.set()

    async def test_they_hold_up_no_other_caller(self, source: HostileSource, names: HangingNames) -> None:
        fetcher = guarded(allowed=LOCAL, resolve=SystemResolver(names))

        async def ask(url: str, caller: Hashable, seconds: float = 20) -> bytes:
            async with aclosing(fetcher.chunks(url, LIMIT_BYTES, seconds, caller=caller)) as chunks:
                return b"".join([chunk async for chunk in chunks])

        hanging = [
            asyncio.create_task(ask(f"http://hang{number}.test/", caller, seconds=0.3))
            for number in range(10)
            for caller in ("slow", "slower", "slowest", "slower still", "slowest of all")
        ]
        picture = f"http://pictures.test:{source.port}/picture.png"
        assert await ask(picture, "another") == BODY
        outcomes = await asyncio.gather(*hanging, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {errors.SourceTimeout}
        # Given up by everybody, they hang on, and count.
        assert names.under_way == names.most == 5 * LOOKUPS_PER_CALLER
        with pytest.raises(errors.SourceTimeout):
            await ask(picture, "slow", seconds=0.1)
        assert await ask(picture, "another") == BODY

    async def test_once_they_have_ended_their_caller_goes_on(self, names: HangingNames) -> None:
        resolve = SystemResolver(names)
        hanging = [asyncio.create_task(resolve(f"hang{number}", "slow")) for number in range(4)]
        waiting = asyncio.create_task(resolve("pictures.test", "slow"))
        await asyncio.sleep(0)
        hanging[0].cancel()
        hanging[3].cancel()
        names.over.set()
        assert await waiting == ["127.0.0.1"]
        outcomes = await asyncio.gather(*hanging, return_exceptions=True)
        assert [type(each) for each in outcomes[1:3]] == [socket.gaierror] * 2
        assert names.most <= LOOKUPS_PER_CALLER
        del outcomes, hanging, waiting
        async with asyncio.timeout(10):
            while resolve._of_callers:
                gc.collect()
                await asyncio.sleep(0)


async def test_the_systems_resolver_is_asked_where_no_other_is_given() -> None:
    assert "127.0.0.1" in await SystemResolver()("localhost", None)
