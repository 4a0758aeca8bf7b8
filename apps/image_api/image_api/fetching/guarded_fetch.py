"""Requests to URLs named by callers, protected against server-side request forgery.

The name is resolved once, every address of the answer is checked, and the connection is made to one of exactly these
addresses; Host, SNI and certificate use the name. httpcore2 is used without httpx2 because it has no features that
would have to be disabled: no proxies from the environment, cookies, credentials, redirects or decompression.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from ipaddress import ip_address
from typing import NamedTuple, TypeVar

import anyio
import httpcore2

from image_api.fetching.public_addresses import Address, Network, is_allowed, is_public
from image_api.fetching.source_url import PORTS, SourceUrl, parse
from image_api.fetching.system_resolver import SystemResolver
from image_core import errors
from image_core.storage.sizes import format_size

Resolve = Callable[[str, Hashable], Awaitable[list[str]]]
"""Return the addresses of a host, on behalf of a caller."""
T = TypeVar("T")

_MAX_REDIRECTS = 5
_MAX_ADDRESSES = 4
_CONNECT_SECONDS = 5
_IDLE_SECONDS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
# Compression is not requested, and a compressed response is rejected: a few bytes could expand to any number.
_HEADERS = [(b"User-Agent", b"image-manager"), (b"Accept-Encoding", b"identity")]
_TIMEOUTS = {"connect": _CONNECT_SECONDS, "read": _IDLE_SECONDS, "write": _IDLE_SECONDS}


class Answer(NamedTuple):
    """What a receiver answered: lower-case header names, and the beginning of the body."""

    status: int
    headers: dict[str, str]
    body: bytes


class GuardedFetcher:
    """Fetches bytes from public addresses on ports 80 and 443, and sends some to them.

    Other ports are rejected, because the service must not probe what listens there. `allowed` are networks that an
    operator trusts, on any port.
    """

    def __init__(
        self,
        allowed: Sequence[Network] = (),
        resolve: Resolve | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = allowed
        self._resolve = resolve or SystemResolver()
        self._ssl_context = ssl_context or ssl.create_default_context()

    async def chunks(
        self,
        url: str,
        max_bytes: int,
        seconds: float,
        on_disposition: Callable[[str], None] | None = None,
        *,
        caller: Hashable = None,
    ) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a URL as they arrive. Close the generator to release its connection.

        Args:
            url: the URL to fetch.
            max_bytes: the maximum size of the file.
            seconds: the time limit for the source, including redirects; the reader's own time does not count.
            on_disposition: gets the Content-Disposition of the response, read as Latin-1, before the first byte.
            caller: whose lookups are limited, so that names that hang delay no other caller.

        Raises:
            errors.SourceRefused: The source's URL may not be fetched.
            errors.SourceUnreachable: The source cannot be reached.
            errors.SourceTimeout: The source took too long.
            errors.SourceAnswerUnusable: The response of the source cannot be used.
            errors.SourceTooLarge: The source's file is larger than allowed.
        """
        source, time_limit = parse(url), _TimeLimit(seconds)
        for _ in range(_MAX_REDIRECTS + 1):
            async with self._request(source, time_limit, caller, "GET", [(b"Accept", b"image/*")]) as response:
                if response.status in _REDIRECTS:
                    source = source.redirected_to(_location(response))
                    continue
                _check_answer(response, max_bytes)
                if on_disposition:
                    on_disposition(_header(response, b"content-disposition", "latin-1"))
                total = 0
                async with aclosing(response.aiter_stream()) as body:
                    while (chunk := await time_limit.wait(anext(body, None))) is not None:
                        total += len(chunk)
                        _check_size(total, max_bytes)
                        yield chunk
                return
        raise errors.SourceAnswerUnusable(
            f"Too many redirects: the limit is {_MAX_REDIRECTS}. Send the URL that they lead to."
        )

    async def post(
        self,
        source: SourceUrl,
        body: bytes,
        headers: Mapping[str, str],
        max_answer_bytes: int,
        seconds: float,
        *,
        caller: Hashable = None,
    ) -> Answer:
        """Send a body and return the answer; redirects are not followed.

        Once the head of the answer is there it counts, whatever becomes of its body, of which the connection brings at
        most `max_answer_bytes` within the time.

        Raises:
            errors.SourceRefused: The URL may not be called.
            errors.SourceUnreachable: The receiver cannot be reached.
            errors.SourceTimeout: The receiver took too long.
            errors.SourceAnswerUnusable: The receiver's response is invalid.
        """
        time_limit, received = _TimeLimit(seconds), bytearray()
        sent = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        sent.append((b"Content-Length", str(len(body)).encode()))
        async with self._request(source, time_limit, caller, "POST", sent, body) as response:
            with suppress(errors.SourceTimeout, errors.SourceUnreachable, errors.SourceAnswerUnusable):
                async with aclosing(response.aiter_stream()) as stream:
                    while (chunk := await time_limit.wait(anext(stream, None))) is not None:
                        received += chunk[: max_answer_bytes - len(received)]
                        if len(received) >= max_answer_bytes:
                            break
            names = {key.decode("latin-1").lower() for key, _ in response.headers}
            answered = {name: _header(response, name.encode("latin-1"), "latin-1") for name in names}
            return Answer(response.status, answered, bytes(received))

    @asynccontextmanager
    async def _request(
        self,
        source: SourceUrl,
        time_limit: "_TimeLimit",
        caller: Hashable,
        method: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | None = None,
    ) -> AsyncIterator[httpcore2.Response]:
        """Yield the head of the response; the connection is closed at the end of the block."""
        backend = _PinnedBackend(partial(self._addresses, source, caller))
        url = httpcore2.URL(scheme=source.scheme, host=source.host, port=source.port, target=source.target)
        connection = httpcore2.AsyncHTTPConnection(url.origin, self._ssl_context, network_backend=backend)
        host = f"[{source.host}]" if ":" in source.host else source.host
        if source.port != PORTS[source.scheme]:
            host += f":{source.port}"
        request = httpcore2.Request(
            method,
            url,
            headers=[(b"Host", host.encode()), *_HEADERS, *headers],
            content=body,
            extensions={"timeout": _TIMEOUTS},
        )
        try:
            yield await time_limit.wait(connection.handle_async_request(request))
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await backend.abort()

    async def _addresses(self, source: SourceUrl, caller: Hashable) -> list[Address]:
        """Return the addresses to connect to.

        Raises:
            errors.SourceRefused: An address of the name is not public.
        """
        found = [source.address] if source.address else await self._look_up(source.host, caller)
        trusted = all(is_allowed(address, self._allowed) for address in found)
        # The address is not named: that would reveal what our resolver knows.
        if not trusted and not all(is_public(address) or is_allowed(address, self._allowed) for address in found):
            raise errors.SourceRefused("Address not allowed: the URL's host has an address that is not public.")
        if not trusted and source.port not in PORTS.values():
            raise errors.SourceRefused("Port not allowed: only 80 and 443 can be used.")
        return found[:_MAX_ADDRESSES]

    async def _look_up(self, host: str, caller: Hashable) -> list[Address]:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                found = [ip_address(text) for text in await self._resolve(host, caller)]
        except TimeoutError:
            raise
        except (OSError, ValueError) as error:
            raise errors.SourceUnreachable("The URL's host cannot be resolved. Check its spelling.") from error
        if not found:
            raise errors.SourceUnreachable("The URL's host has no address.")
        return found


class _PinnedBackend(httpcore2.AsyncNetworkBackend):
    """A network backend that connects to the checked addresses of one source, whatever the name resolves to now."""

    def __init__(self, addresses: Callable[[], Awaitable[list[Address]]]) -> None:
        self._addresses = addresses
        self._backend = httpcore2.AnyIOBackend()
        self._stream: httpcore2.AsyncNetworkStream | None = None

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002 (what it resolves to now is no longer asked)
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address that accepts."""
        failed: Exception | None = None
        for address in await self._addresses():
            try:
                self._stream = await self._backend.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
            else:
                return self._stream
        raise failed or httpcore2.ConnectError

    async def abort(self) -> None:
        """Close the connection, if any, without a TLS shutdown that the other side could delay."""
        if self._stream is not None:
            await self._stream.aclose()


class _TimeLimit:
    """The time that is left for the source, and the translation of its failures."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def wait(self, answer: Awaitable[T]) -> T:
        """Await the source, for as long as there is time left."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        try:
            async with asyncio.timeout(self._seconds):
                return await answer
        except (TimeoutError, httpcore2.TimeoutException) as error:
            raise errors.SourceTimeout("The source did not send the whole file in time.") from error
        except httpcore2.ConnectError as error:
            raise errors.SourceUnreachable(
                "The source refused the connection, or its certificate is not valid."
            ) from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
            raise errors.SourceAnswerUnusable("The source's response is invalid or incomplete.") from error
        finally:
            self._seconds -= loop.time() - began_at


def _header(response: httpcore2.Response, name: bytes, encoding: str = "utf-8") -> str:
    return ", ".join(value.decode(encoding, "replace") for key, value in response.headers if key.lower() == name)


def _location(response: httpcore2.Response) -> str:
    location = _header(response, b"location")
    if not location:
        raise errors.SourceAnswerUnusable(
            "The source sent a redirect without a location.", source_status=response.status
        )
    return location


def _check_answer(response: httpcore2.Response, max_bytes: int) -> None:
    if response.status != 200:
        raise errors.SourceAnswerUnusable(
            f"The source responded with status {response.status}.", source_status=response.status
        )
    if _header(response, b"content-encoding").strip().lower() not in ("", "identity"):
        raise errors.SourceAnswerUnusable("The source sent a compressed response, which is not supported.")
    length = _header(response, b"content-length")
    _check_size(int(length) if length.isdecimal() else 0, max_bytes)


def _check_size(size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise errors.SourceTooLarge(f"File too large: the limit is {format_size(max_bytes)}.", limit_bytes=max_bytes)
