"""A worker that behaves as the picture's bytes say, to simulate codecs that fail in every way."""

import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from image_engine.contract.answers import (
    AnalysisOutcome,
    AnalyzedBatch,
    AnalyzedPicture,
    Derivative,
    PictureFacts,
    ProcessedPicture,
)
from image_engine.contract.framing import LENGTH, Answer, Request
from image_engine.contract.rejections import PictureRejected
from image_engine.contract.renditions import Rendition, RenditionRequest
from image_engine.contract.requests import AnalysisBatch, AnalysisRequest, ProcessingRequest
from image_engine.worker.confinement import confine, confine_code
from image_engine.worker.main import parse_options
from image_engine.worker.serving import serve

MIB = 1024 * 1024


COLORS: dict[str, object] = {
    "palette": [], "transparency": 1.0, "grey": True, "mean_chroma": 0.0, "warmth": 0.0, "temperature": "neutral",
}  # fmt: skip


LABELS: dict[str, object] = {
    "labels": [], "model": {"name": "m", "version": "1", "sha256": None}, "source": "onnx", "notice": None,
    "safe_search": None, "text": None, "landmarks": None,
}  # fmt: skip
RESULTS = {"colors": COLORS, "labels": LABELS}


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


def deep() -> None:
    channel = int(sys.argv[sys.argv.index("--channel") + 1])
    with os.fdopen(os.dup(channel), "wb") as stream:
        stream.write(LENGTH.pack(200_000) + b"[" * 200_000)


def grow() -> None:
    # Page by page, like a codec that trusts a false header.
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
    fault.__name__.encode(): fault for fault in (crash, hang, sleep, late, burn, lie, deep, grow, write, error, reject)
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
        # Only the embedding model meets the fault.
        order = order.removeprefix(b"embed ") if isinstance(request, ProcessingRequest) and request.embed else b""
    if order.startswith(b"analyzer "):
        # Only analyzers meet the fault.
        has_analyzers = not isinstance(request, RenditionRequest) and request.analyses
        order = order.removeprefix(b"analyzer ") if has_analyzers else b"fine"
    if order.startswith(b"preset "):
        # Only presets that may be left out meet the fault.
        has_optional = isinstance(request, ProcessingRequest) and request.optional_presets
        order = order.removeprefix(b"preset ") if has_optional else b"fine"
    if order in FAULTS:
        FAULTS[order]()
    if isinstance(request, RenditionRequest):
        return replace(Rendition(request.format, 1, 1, 1, b"content"), **RENDITION_LIES.get(order, {}))
    if isinstance(request, AnalysisRequest):
        results = {b"no result": None, b"foreign": {"sharpness": 1.0}, b"long": COLORS | {"warmth": 0.123456}}
        (wanted,) = request.analyses
        result = results.get(order, RESULTS[wanted.analyzer])
        return AnalyzedPicture((AnalysisOutcome(wanted.analyzer, "1", wanted.parameters, result),), {})
    if order == b"environment":
        open_numbers = (str(number) for number in range(64) if is_open(number))
        return answer(request, repr(sorted(os.environ)), *open_numbers)
    answered = answer(request, str(os.getpid()))
    if order in LIES:
        return replace(answered, **LIES[order])
    return answered


def misbehave_together(descriptors: Sequence[int], batch: AnalysisBatch, deadline_at: float) -> AnalyzedBatch:
    answers = [
        misbehave([descriptor], request, deadline_at)
        for descriptor, request in zip(descriptors, batch.requests, strict=True)
    ]
    remaining = answers[1:] if any(os.pread(descriptor, 5, 0) == b"short" for descriptor in descriptors) else answers
    analyzed = [
        replace(outcome, step_seconds={"pictures": len(answers)})
        for outcome in remaining
        if isinstance(outcome, AnalyzedPicture)
    ]
    return AnalyzedBatch(tuple(analyzed))


FACTS = PictureFacts(
    "png", "image/png", 1, 1, 1, None, None, 8, False, "rgb", None, 1, {}, None, [], "00OZZy", "0" * 16
)  # fmt: skip
LIES: dict[bytes, dict[str, Any]] = {
    b"no size": {"facts": replace(FACTS, width_px=0)},
    b"endless": {"facts": replace(FACTS, exif={"iso": 10**38})},
    b"no character": {"facts": replace(FACTS, icc_profile="\ud800")},
    b"other derivatives": {"derivatives": ()},
    b"page": {"derivatives": (Derivative("thumb", 1, 1, 1, b"content", "text/html"),) * 3},  # type: ignore[arg-type]
    b"other analyses": {"analyses": (AnalysisOutcome("colors", "1", {}, COLORS),)},
    b"eternity": {"step_seconds": {"decode": 1e300}},
}
RENDITION_LIES: dict[bytes, dict[str, Any]] = {
    b"no size": {"width_px": 0},
    b"other format": {"format": "png"},
    b"page": {"format": "html"},
    b"no content": {"content": b""},
    b"eternity": {"step_seconds": {"decode": 1e300}},
}


def answer(request: ProcessingRequest, text: str, *more: str) -> ProcessedPicture:
    facts = replace(FACTS, icc_profile=text, exif={"more": " ".join(more)})
    made = tuple(Derivative(preset.name, 1, 1, 1, b"content") for preset in request.all_presets)
    analyses = tuple(AnalysisOutcome(order.analyzer, "1", order.parameters, COLORS) for order in request.analyses)
    return ProcessedPicture(facts, made, {"decode": 0.1}, analyses=analyses)


if __name__ == "__main__":
    options = parse_options()
    confine(options.parent, options.memory_limit_bytes)
    confinement = confine_code(required=options.require_confinement)
    with socket.socket(fileno=options.channel) as channel:
        serve(channel, misbehave, options.memory_limit_bytes, confinement)
