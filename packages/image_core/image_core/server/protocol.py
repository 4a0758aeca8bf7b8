"""The server's side of a connection: bounded heads with a deadline, and timeouts for stalled peers.

The server's own protocol limits neither the size of a head nor the time it takes, and waits forever for a peer that
does not read.
"""

import array
import fcntl
import sys
import termios
import time
from asyncio import BaseTransport, TimerHandle, Transport
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import NamedTuple, Self, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from image_core import errors
from image_core.errors.problem_documents import MEDIA_TYPE, document, status_of
from image_core.storage.sizes import format_size
from image_core.telemetry import log

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 100
MAX_PIPELINED = 16
HEAD_SECONDS = 10.0
"""How long a head may take from its first byte on, and how long a new connection may wait before it."""
REST_SECONDS = 10.0
"""How long the rest of an answered request may take."""
WRITE_SECONDS = 30.0
MIN_WRITTEN_BYTES = 16 * 1024
"""How much of a response a peer must read within that time."""
_LINGER_SECONDS = 2.0
_HEAD_PIECE_BYTES = 16 * 1024
_LOG_SECONDS = 10.0


class _Refusal(NamedTuple):
    """A complete error response, built once: hundreds of connections may be refused at the same time."""

    code: str
    answer: bytes

    @classmethod
    def from_error(cls, error: errors.Invalid) -> Self:
        status = HTTPStatus(status_of(error))
        body = document(status, error.code, error.title(), error.detail, **error.extra)
        lines = [
            f"HTTP/1.1 {status} {status.phrase}",
            f"content-length: {len(body)}",
            f"content-type: {MEDIA_TYPE}",
            "connection: close",
        ]
        return cls(error.code, "\r\n".join([*lines, "", ""]).encode() + body)


_TOO_LARGE = _Refusal.from_error(
    errors.HeaderTooLarge(
        f"Request header too large: the limits are {format_size(MAX_HEAD_BYTES)} and {MAX_HEADERS} fields.",
        limit_bytes=MAX_HEAD_BYTES,
    )
)
_TOO_SLOW = _Refusal.from_error(
    errors.RequestTooSlow(f"Request header too slow: the limit is {HEAD_SECONDS:g} s. Send the request again.")
)
_UNREADABLE = _Refusal.from_error(errors.RequestUnreadable("The request is not valid HTTP/1.1."))


class _HeadTooLarge(Exception):
    """Stops the parser."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A request has two phases, head and body; between requests there is neither."""

    _timer: TimerHandle | None = None
    """Runs while the server waits for a head, for the rest of an answered request, or for the end of a refusal."""
    _write_timer: TimerHandle | None = None
    _answered: RequestResponseCycle | None = None
    """The request that is being answered; others may be queued behind it."""
    _in_head = False
    _in_body = False
    _refused = False
    _too_large = False
    _unframed_bytes = 0
    """What has arrived since the parser's last callback: the beginning of a long line."""
    _head_bytes = 0
    _parsed_bytes = 0
    """How much of the current piece belongs to this parser."""
    _reframing = False
    """Whether the parser reads a head that only says how the body of a request is framed."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Start waiting for a head."""
        super().connection_made(cast("Transport", transport))
        self._start_timer(HEAD_SECONDS, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers, and notify every request on the connection; the server notifies the last one."""
        self._stop_timer()
        self._stop_write_timer()
        for cycle in (self._answered, *(waiting for waiting, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the data, or discard it if the connection has been refused."""
        start = 0
        while start < len(data) and not self._refused:
            # The parser reports the end of a head, but not its position in the data.
            piece = data[start:] if self._in_body else data[start : start + _HEAD_PIECE_BYTES]
            self._parsed_bytes = len(piece)
            self._unframed_bytes += len(piece)
            super().data_received(piece)
            start += self._parsed_bytes
            if self._unframed_bytes > MAX_HEAD_BYTES and not self._refused:
                self._refuse_head()
        if self._timer is None and self._awaits_head():
            self._start_timer(HEAD_SECONDS, self._head_is_late)

    def _awaits_head(self) -> bool:
        """Return whether a head has begun, or something else has ended the wait for one."""
        idle = not self._in_body and (self.cycle is None or self.cycle.response_complete)
        return self._in_head or (idle and self.timeout_keep_alive_task is None)

    def on_message_begin(self) -> None:
        """Begin a head."""
        if self._reframing:
            return
        self._in_head, self._unframed_bytes, self._head_bytes = True, 0, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count a part of the head."""
        if self._reframing:
            return
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a part of the head, and ignore trailers after the body, which would be taken for headers."""
        if self._reframing:
            return
        self._count_head(len(name) + len(value) + 4)
        if self._in_head:
            super().on_header(name, value)
            if len(self.headers) > MAX_HEADERS:
                self._too_large = True
                raise _HeadTooLarge

    def _count_head(self, size_bytes: int) -> None:
        self._head_bytes += size_bytes
        if self._head_bytes > MAX_HEAD_BYTES:
            self._too_large = True
            raise _HeadTooLarge

    def on_headers_complete(self) -> None:
        """Begin the body, and the work."""
        if self._reframing:
            return
        self._in_head, self._in_body = False, True
        self._stop_timer()
        super().on_headers_complete()
        if not self.pipeline:
            self._answered = self.cycle
        if not self.flow.write_paused:
            self._stop_write_timer()
        if len(self.pipeline) > MAX_PIPELINED:
            self.transport.abort()

    def on_chunk_header(self) -> None:
        """Discard the count of the line that announced a chunk."""
        self._unframed_bytes = 0

    def on_body(self, body: bytes) -> None:
        """Handle a piece of the body."""
        self._unframed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body; if the response came first, the connection is now idle."""
        if self.parser.should_upgrade():
            # Only the parser assumes that nothing follows; see `_unsupported_upgrade_warning`.
            return
        self._in_body = False
        self._unframed_bytes = 0
        super().on_message_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._stop_timer()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """Wait for the next request, for the rest of this one, and for the peer to read."""
        if self.pipeline:
            self._answered = self.pipeline[-1][0]
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._start_write_timer()
        if self._in_body and not self.pipeline and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._start_timer(REST_SECONDS, self.transport.close)

    def pause_writing(self) -> None:
        """Start checking whether the peer reads."""
        super().pause_writing()
        self._start_write_timer()

    def resume_writing(self) -> None:
        """Resume the response; if it is complete, keep watching the rest."""
        super().resume_writing()
        self._stop_write_timer()
        if self.cycle is not None and self.cycle.response_complete:
            self._start_write_timer()

    def _start_write_timer(self) -> None:
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(WRITE_SECONDS, self._check_writing, self._unsent_bytes())

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _check_writing(self, unsent_before: int) -> None:
        self._write_timer = None
        if not self.transport.get_write_buffer_size():
            return
        unsent = self._unsent_bytes()
        if unsent > unsent_before - MIN_WRITTEN_BYTES:
            log("reader_stands_still", severity="WARNING", unsent_bytes=unsent)
            self.transport.abort()
        else:
            self._start_write_timer()

    def _unsent_bytes(self) -> int:
        """Return what the peer has not read: the transport's buffer, and the kernel's, which drains in large steps."""
        queued = array.array("i", [0])
        with suppress(OSError):
            fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
        return self.transport.get_write_buffer_size() + queued[0]

    def _start_timer(self, seconds: float, callback: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, callback)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_is_late(self) -> None:
        if self._in_head:
            self._refuse(_TOO_SLOW)
        else:
            self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Continue as if no upgrade had been requested; the parser that read the head skips the body.

        Java's client requests an upgrade with its first request, whatever that is.
        """
        (self._parsed_bytes,) = cast("httptools.HttpParserUpgrade", sys.exception()).args
        self._unframed_bytes = 0
        framing = [field for field in self.headers if field[0] in (b"content-length", b"transfer-encoding")]
        self.parser = httptools.HttpRequestParser(self)
        self._reframing = True
        try:
            self.parser.feed_data(
                b"POST / HTTP/1.1\r\n" + b"".join(b"%b: %b\r\n" % field for field in framing) + b"\r\n"
            )
        except httptools.HttpParserError:
            self.send_400_response("")
        finally:
            self._reframing = False

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (the text is the server's)
        """Answer a request that cannot be parsed, or was not parsed completely."""
        if self._too_large:
            self._refuse_head()
        else:
            self._refuse(_UNREADABLE)

    def _refuse_head(self) -> None:
        self._refuse(_TOO_LARGE)

    def _refuse(self, refusal: _Refusal) -> None:
        """Respond with a problem, and close once the peer has had time to read it."""
        self._refused = True
        self._unset_keepalive_if_required()
        if self.cycle is not None and not self.cycle.response_complete:
            if self.pipeline or self.cycle.response_started or not self._in_body:
                # Another response is in progress, and this one would end up in the middle of it.
                self.transport.abort()
                return
            # The request whose body cannot be read gets no other response.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(refusal.answer)
        _REFUSALS.add(refusal.code)
        self._start_timer(_LINGER_SECONDS, self.transport.close)


class _Refusals:
    """Logs the number of refused connections at intervals."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._logged_at = float("-inf")

    def add(self, code: str) -> None:
        self._counts[code] += 1
        now = time.monotonic()
        if now - self._logged_at >= _LOG_SECONDS:
            self._logged_at = now
            log("connections_refused", severity="WARNING", codes=dict(self._counts))
            self._counts.clear()


_REFUSALS = _Refusals()
