"""A worker's side of the channel: it receives one request after the other, and sends the answers."""

import json
import os
import resource
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

from image_engine.contract.framing import (
    ACCEPTED,
    LENGTH,
    MAX_BATCH,
    MAX_HEADER_BYTES,
    READY,
    Answer,
    Request,
    decode_job,
    encode_answer,
    encode_header,
    encode_rejection,
)
from image_engine.contract.rejections import PictureRejected, place_of
from image_engine.worker.confinement import Confinement, MemoryWatch, resident_bytes, return_free_memory

Work = Callable[[Sequence[int], Request, float], Answer]


def serve(
    channel: socket.socket,
    work: Work,
    memory_limit_bytes: int,
    confinement: Confinement,
    greeting: bytes = READY,
) -> None:
    """Answer each request of the channel, until it is closed."""
    watch = MemoryWatch(memory_limit_bytes)
    channel.sendall(greeting + encode_header(asdict(confinement)))
    while (job := _receive_job(channel)) is not None:
        descriptors, request, deadline_at = job
        channel.sendall(ACCEPTED)
        with watch.watching():
            answer = _answer(work, descriptors, request, deadline_at)
        for descriptor in descriptors:
            os.close(descriptor)
        for part in answer:
            channel.sendall(part)
        del answer


def _answer(work: Work, descriptors: Sequence[int], request: Request, deadline_at: float) -> list[bytes]:
    started_cpu_seconds = _cpu_seconds()
    try:
        answer = work(descriptors, request, deadline_at)
        return_free_memory()
        used = replace(
            answer,
            worker_rss_bytes=resident_bytes(),
            worker_cpu_seconds=_cpu_seconds() - started_cpu_seconds,
        )
        return encode_answer(used)
    except PictureRejected as rejection:
        return [encode_rejection(rejection, resident_bytes())]
    except MemoryError:
        return [encode_rejection(PictureRejected("picture-too-much-memory"), resident_bytes())]
    except Exception as error:  # noqa: BLE001 - whatever a picture does to a step, the parent gets an answer
        return [encode_rejection(PictureRejected("processing-crashed"), resident_bytes(), place_of(error))]


def _receive_job(channel: socket.socket) -> tuple[list[int], Request, float] | None:
    head, descriptors, _, _ = socket.recv_fds(channel, LENGTH.size, MAX_BATCH)
    if not head:
        return None
    head += _receive(channel, LENGTH.size - len(head))
    (length,) = LENGTH.unpack(head)
    if length > MAX_HEADER_BYTES or not descriptors:
        raise ValueError("the parent sent no job")
    request, deadline_seconds = decode_job(json.loads(_receive(channel, length)))
    return descriptors, request, time.monotonic() + deadline_seconds


def _receive(channel: socket.socket, size_bytes: int) -> bytes:
    content = bytearray()
    while len(content) < size_bytes:
        part = channel.recv(size_bytes - len(content))
        if not part:
            raise EOFError("the parent closed the channel")
        content += part
    return bytes(content)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
