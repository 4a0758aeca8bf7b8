"""One worker process and the socket to it, as the service sees them."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from image_core.telemetry import log
from image_engine.contract.framing import (
    ACCEPTED,
    EXIT_OVER_MEMORY,
    LENGTH,
    MAX_HEADER_BYTES,
    READY,
    READY_WITHOUT_MODEL,
    Answer,
    Request,
    bounded_text,
    content_sizes,
    encode_job,
    read_json,
)
from image_engine.contract.picture_file import PictureFile
from image_engine.contract.rejections import RejectionCode, WorkerUnavailable
from image_engine.worker.confinement import Confinement

AnswerType = TypeVar("AnswerType", bound=Answer)
Decode = Callable[[dict[str, Any], list[bytes]], AnswerType]

_REAP_SECONDS = 0.005
_LAST_WORDS_BYTES = 4096
_OUT_OF_MEMORY = re.compile(rb"failed to allocate|bad_alloc|out of memory|MemoryError|cannot allocate", re.IGNORECASE)


class WorkerDied(Exception):
    """The process ended, or sent something that no worker sends.

    Attributes:
        accepted: False if it had not begun with the picture.
        code: the rejection of a picture that it had begun with.
        exit_status: negative for a signal; None if it was still running.
        from_outside: something else ended it: the system for lack of memory, or a person.
    """

    def __init__(
        self, *, accepted: bool, code: RejectionCode, exit_status: int | None, from_outside: bool = False
    ) -> None:
        super().__init__(code, exit_status)
        self.accepted = accepted
        self.from_outside = from_outside
        self.code: RejectionCode = code
        self.exit_status = exit_status


class WorkerProcess:
    """A started worker.

    Attributes:
        pictures: how many it was given.
        rss_bytes: its resident memory after the last one.
        model_failure: why it has no model although it was given one.
        confinement: the confinement that it reported at start.
    """

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket, last_words: IO[bytes]) -> None:
        self._process = process
        self._channel = channel
        self._last_words = last_words
        # Held while the socket or the last words are read: a loop never wakes a reader whose socket was closed.
        self._reading = asyncio.Lock()
        self._killed = False
        self.pictures = 0
        self.rss_bytes = 0
        self.model_failure: str | None = None
        self.confinement = Confinement()

    @classmethod
    def spawn(cls, command: Sequence[str], environment: Mapping[str, str]) -> "WorkerProcess":
        """Start the process with its end of the socket as the only inherited descriptor.

        Raises:
            WorkerUnavailable: The system lacks resources.
        """
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            with theirs:
                last_words = tempfile.TemporaryFile(prefix="worker-")  # noqa: SIM115 - lives as long as the worker
                process = subprocess.Popen(  # noqa: S603 - the command is ours
                    [*command, "--channel", str(theirs.fileno()), "--parent", str(os.getpid())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=last_words,
                    env=dict(environment),
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        except OSError as error:
            raise WorkerUnavailable(f"a worker process cannot be started: {error.strerror}") from error
        ours.setblocking(False)
        return cls(process, ours, last_words)

    @property
    def process_id(self) -> int:
        """The process id."""
        return self._process.pid

    def cpu_seconds(self) -> float | None:
        """Return the CPU time that the process has used; None if the system does not say."""
        try:
            # The command's name is in brackets and may contain anything; the numbers follow the last one.
            fields = Path(f"/proc/{self.process_id}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return None
        user_ticks, system_ticks = fields[11:13]
        return (int(user_ticks) + int(system_ticks)) / os.sysconf("SC_CLK_TCK")

    async def wait_until_ready(self, timeout_seconds: float) -> None:
        """Wait until the codecs are loaded; afterwards `model_failure` names models that could not be.

        Raises:
            WorkerUnavailable: It ended before, or took too long.
        """
        try:
            async with asyncio.timeout(timeout_seconds), self._reading:
                greeting = await self._receive(len(READY))
                if greeting in (READY, READY_WITHOUT_MODEL):
                    # The worker has not received untrusted bytes yet, so this can be trusted.
                    self.confinement = Confinement(**read_json(await self._receive_header()))
        except TimeoutError:
            raise WorkerUnavailable(f"a worker was not ready within {timeout_seconds:g} s") from None
        except (OSError, EOFError):
            greeting = b""
        if greeting == READY_WITHOUT_MODEL:
            self.model_failure = self._read_last_words().decode(errors="replace").strip()[-500:]
        elif greeting != READY:
            raise WorkerUnavailable(f"a worker ended before it was ready: {self._read_last_words().strip()[-500:]!r}")

    def is_alive(self) -> bool:
        """Return whether an idle worker still holds its end of the socket."""
        try:
            return self._channel.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    async def work(
        self, pictures: Sequence[PictureFile], request: Request, decode: Decode[AnswerType], deadline_seconds: float
    ) -> AnswerType:
        """Send a request with its pictures and wait for the answer. A caller that cancels this must kill the worker.

        Raises:
            PictureRejected: The worker rejects the picture.
            WorkerDied: There is no answer, or none that can be trusted.
        """
        self.pictures += len(pictures)
        accepted = False
        async with self._reading:
            try:
                self._send_job(encode_job(request, deadline_seconds), [picture.fileno() for picture in pictures])
                accepted = await self._receive(len(ACCEPTED)) == ACCEPTED
                if accepted:
                    return await self._receive_answer(decode)
            except (OSError, EOFError):
                pass
            except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
                # It is alive, but cannot be trusted any more.
                self.kill()
            # While this is held, `end` leaves open what the explanation reads.
            raise await self._explain_death(accepted=accepted)

    def _send_job(self, message: bytes, descriptors: list[int]) -> None:
        # The worker is idle and the message short, so the socket takes all of it at once.
        if socket.send_fds(self._channel, [message], descriptors) != len(message):
            raise EOFError("the job did not fit")

    async def _receive_answer(self, decode: Decode[AnswerType]) -> AnswerType:
        header = read_json(await self._receive_header())
        self.rss_bytes = int(header["worker_rss_bytes"])
        if header.get("trace"):
            log("processing_step_failed", severity="ERROR", place=bounded_text(header["trace"]))
        for answer in header.get("answers", [header]):
            for outcome in answer.get("analyses", answer.get("outcomes", [])):
                if outcome["place"]:
                    log("analyzer_failed", severity="ERROR", place=bounded_text(outcome["place"]))
        contents = [bytes(await self._receive_all(size)) for size in content_sizes(header)]
        return decode(header, contents)

    async def _receive_header(self) -> bytearray:
        (length,) = LENGTH.unpack(await self._receive_all(LENGTH.size))
        if length > MAX_HEADER_BYTES:
            raise ValueError("a worker announced a header that it may not send")
        return await self._receive_all(length)

    async def _receive(self, size_bytes: int) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._channel, size_bytes)

    async def _receive_all(self, size_bytes: int) -> bytearray:
        loop = asyncio.get_running_loop()
        content = bytearray(size_bytes)
        rest = memoryview(content)
        while rest:
            received = await loop.sock_recv_into(self._channel, rest)
            if received == 0:
                raise EOFError("a worker closed the socket")
            rest = rest[received:]
        return content

    async def _explain_death(self, *, accepted: bool) -> WorkerDied:
        # A worker that closed the socket is about to exit; its exit status says why.
        for _ in range(100):
            if self._process.poll() is not None:
                break
            await asyncio.sleep(_REAP_SECONDS)
        exit_status = self._process.poll()
        out_of_memory = exit_status == EXIT_OVER_MEMORY or _OUT_OF_MEMORY.search(self._read_last_words())
        code: RejectionCode = "picture-too-much-memory" if out_of_memory else "processing-crashed"
        # A crashing codec dies of other signals.
        from_outside = not self._killed and exit_status in (-signal.SIGKILL, -signal.SIGTERM)
        return WorkerDied(accepted=accepted, code=code, exit_status=exit_status, from_outside=from_outside)

    def _read_last_words(self) -> bytes:
        descriptor = self._last_words.fileno()
        size_bytes = os.fstat(descriptor).st_size
        return os.pread(descriptor, _LAST_WORDS_BYTES, max(0, size_bytes - _LAST_WORDS_BYTES))

    def kill(self) -> None:
        """Kill the process at once. May be called twice."""
        if self._process.poll() is None:
            self._killed = True
            self._process.kill()

    async def end(self) -> None:
        """Kill the process, wait for its end, and close its resources. May be called twice."""
        self.kill()
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        async with self._reading:
            self._channel.close()
        while self._process.poll() is None:  # noqa: ASYNC110 - not every loop can await the end of a process
            await asyncio.sleep(_REAP_SECONDS)
        self._last_words.close()
