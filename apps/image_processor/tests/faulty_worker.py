"""A worker that does what the picture's bytes say: it stands for codecs that fail in every way."""

import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace

from image_processor.analysis_request import (
    AnalysisBatch,
    AnalysisOutcome,
    AnalysisRequest,
    AnalyzedBatch,
    AnalyzedPicture,
)
from image_processor.confinement import confine, confine_code
from image_processor.processed_picture import Derivative, PictureFacts, ProcessedPicture, ProcessingRequest
from image_processor.rejections import PictureRejected
from image_processor.wire import Answer, Request
from image_processor.worker import parse_options, serve

MIB = 1024 * 1024


COLORS: dict[str, object] = {
    "palette": [], "transparency": 1.0, "grey": True, "mean_chroma": 0.0, "warmth": 0.0, "temperature": "neutral",
}  # fmt: skip


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    time.sleep(600)


def sleep() -> None:
    time.sleep(600)


def late() -> None:
    raise PictureRejected("processing-timeout")


def burn() -> None:
    while True:
        pass


def lie() -> None:
    os.write(int(sys.argv[sys.argv.index("--channel") + 1]), b"\xff" * 64)


def grow() -> None:
    # Page by page, as a codec that follows a lying header does.
    held = bytearray()
    while True:
        held += bytes(MIB)


def write() -> None:
    with tempfile.TemporaryFile() as file:
        file.writelines(bytes(MIB) for _ in range(8))


def error() -> None:
    raise LookupError("a message that quotes the picture")


def reject() -> None:
    raise PictureRejected("image-undecodable")


FAULTS = {b"exit": sys.exit} | {
    fault.__name__.encode(): fault for fault in (crash, hang, sleep, late, burn, lie, grow, write, error, reject)
}


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def misbehave(descriptors: Sequence[int], request: Request, deadline_at: float) -> Answer:
    if isinstance(request, AnalysisBatch):
        return misbehave_together(descriptors, request, deadline_at)
    (descriptor,) = descriptors
    order = os.pread(descriptor, 40, 0)
    if order.startswith(b"embed "):
        # Only the model that makes vectors meets the fault.
        order = order.removeprefix(b"embed ") if isinstance(request, ProcessingRequest) and request.embed else b""
    if order.startswith(b"analyzer "):
        # Only analyzers meet the fault.
        order = order.removeprefix(b"analyzer ") if request.analyses else b"fine"
    if order in FAULTS:
        FAULTS[order]()
    if order == b"environment":
        return answer(repr(sorted(os.environ)), *(str(number) for number in range(64) if is_open(number)))
    if isinstance(request, AnalysisRequest):
        results = {b"no result": None, b"foreign": {"sharpness": 1.0}, b"long": COLORS | {"warmth": 0.123456}}
        return AnalyzedPicture((AnalysisOutcome("colors", "1", {}, results.get(order, COLORS)),), {})
    return answer(str(os.getpid()))


def misbehave_together(descriptors: Sequence[int], batch: AnalysisBatch, deadline_at: float) -> AnalyzedBatch:
    answers = [
        misbehave([descriptor], request, deadline_at)
        for descriptor, request in zip(descriptors, batch.requests, strict=True)
    ]
    kept = answers[1:] if any(os.pread(descriptor, 5, 0) == b"short" for descriptor in descriptors) else answers
    analyzed = [
        replace(each, step_seconds={"pictures": len(answers)}) for each in kept if isinstance(each, AnalyzedPicture)
    ]
    return AnalyzedBatch(tuple(analyzed))


def answer(text: str, *more: str) -> ProcessedPicture:
    facts = PictureFacts(
        "png", "image/png", 1, 1, 1, None, None, 8, False, "rgb", text, 1, {"more": " ".join(more)}, None, [], "", ""
    )
    return ProcessedPicture(facts, (Derivative("thumb", 1, 1, 1, b"content"),), {"decode": 0.1})


if __name__ == "__main__":
    options = parse_options()
    confine(options.parent, options.memory_limit_bytes)
    confinement = confine_code(required=options.require_confinement)
    with socket.socket(fileno=options.channel) as channel:
        serve(channel, misbehave, options.memory_limit_bytes, confinement)
