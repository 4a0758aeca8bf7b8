"""The protocol on the socket between the service and a worker process.

The worker announces once that it is ready. For each request, the service sends a length and a JSON header with the
descriptors of its pictures (one, except for a batch). The worker replies with ACCEPTED, a length, a JSON header, and
the bytes of derivatives or of a rendition. The parent trusts none of the reply: an exploit in a codec may have taken
over the worker.
"""

import json
import math
import re
import struct
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, NoReturn

from pydantic import TypeAdapter

from image_core.images.similarity import DESCRIPTOR_DIMENSIONS, DESCRIPTOR_MODEL, MAX_VECTOR_DIMENSIONS, MODEL_NAME
from image_engine.contract.answers import (
    AnalysisOutcome,
    AnalyzedBatch,
    AnalyzedPicture,
    Derivative,
    PictureFacts,
    ProcessedPicture,
)
from image_engine.contract.facts import Seconds, StepSeconds, Whole
from image_engine.contract.rejections import PictureRejected, parse_rejection_code
from image_engine.contract.renditions import Rendition, RenditionRequest
from image_engine.contract.requests import AnalysisBatch, AnalysisOrder, AnalysisRequest, ProcessingRequest

Request = ProcessingRequest | AnalysisRequest | AnalysisBatch | RenditionRequest
Answer = ProcessedPicture | AnalyzedPicture | AnalyzedBatch | Rendition

READY = b"R"
READY_WITHOUT_MODEL = b"M"
ACCEPTED = b"A"
LENGTH = struct.Struct(">I")
MAX_HEADER_BYTES = 1024 * 1024
MAX_BATCH = 8
MAX_CONTENT_BYTES = 64 * 1024 * 1024
EXIT_OVER_MEMORY = 71

_MAX_TEXT_LENGTH = 300
_FACTS, _DERIVATIVE, _RENDITION = TypeAdapter(PictureFacts), TypeAdapter(Derivative), TypeAdapter(Rendition)
_FIGURES: dict[str, TypeAdapter[Any]] = {
    "step_seconds": TypeAdapter(StepSeconds),
    "worker_rss_bytes": TypeAdapter(Whole),
    "worker_cpu_seconds": TypeAdapter(Seconds),
}
_REQUESTS: dict[str, type[Request]] = {
    kind.__name__: kind for kind in (ProcessingRequest, AnalysisRequest, AnalysisBatch, RenditionRequest)
}


def encode_header(values: dict[str, Any]) -> bytes:
    """Frame a JSON object with its length."""
    content = json.dumps(values, separators=(",", ":"), allow_nan=False).encode()
    return LENGTH.pack(len(content)) + content


def encode_job(request: Request, deadline_seconds: float) -> bytes:
    """Frame a request; it carries the remaining time, because clocks differ between processes."""
    job = {"kind": type(request).__name__, "request": request.to_json(), "deadline_seconds": deadline_seconds}
    return encode_header(job)


def decode_job(header: dict[str, Any]) -> tuple[Request, float]:
    """Rebuild a request and its remaining seconds."""
    return _REQUESTS[header["kind"]].from_json(header["request"]), header["deadline_seconds"]


def encode_answer(answer: Answer) -> list[bytes]:
    """Return a success as parts to be sent in sequence.

    Raises:
        PictureRejected: The files are larger than the parent accepts (`picture-too-much-memory`).
    """
    if isinstance(answer, ProcessedPicture):
        return _encode_processed(answer)
    if isinstance(answer, Rendition):
        return _encode_rendition(answer)
    if isinstance(answer, AnalyzedPicture):
        return [encode_header(asdict(answer))]
    answers = [
        {"rejected": each.code, "message": each.message} if isinstance(each, PictureRejected) else asdict(each)
        for each in answer.answers
    ]
    return [encode_header(asdict(replace(answer, answers=())) | {"answers": answers})]


def _encode_processed(picture: ProcessedPicture) -> list[bytes]:
    if sum(len(derivative.content) for derivative in picture.derivatives) > MAX_CONTENT_BYTES:
        raise PictureRejected("picture-too-much-memory")
    derivatives = [
        {name: value for name, value in asdict(replace(derivative, content=b"")).items() if name != "content"}
        | {"size_bytes": len(derivative.content)}
        for derivative in picture.derivatives
    ]
    header = {
        "facts": picture.facts.to_json(),
        "derivatives": derivatives,
        "analyses": [asdict(outcome) for outcome in picture.analyses],
        "step_seconds": picture.step_seconds,
        "vectors": picture.vectors,
        "trace": picture.trace,
        "worker_rss_bytes": picture.worker_rss_bytes,
        "worker_cpu_seconds": picture.worker_cpu_seconds,
    }
    return [encode_header(header), *(derivative.content for derivative in picture.derivatives)]


def _encode_rendition(rendition: Rendition) -> list[bytes]:
    if len(rendition.content) > MAX_CONTENT_BYTES:
        raise PictureRejected("picture-too-much-memory")
    fields = asdict(replace(rendition, content=b""))
    del fields["content"]
    return [encode_header(fields | {"size_bytes": len(rendition.content)}), rendition.content]


def encode_rejection(rejection: PictureRejected, worker_rss_bytes: int, trace: str | None = None) -> bytes:
    """Frame a rejection; `trace` is the place of an unexpected error in our own code, for the log."""
    return encode_header(
        {
            "rejected": rejection.code,
            "message": rejection.message,
            "worker_rss_bytes": worker_rss_bytes,
            "trace": trace,
        }
    )


def bounded_text(value: object) -> str | None:
    """Accept a line of text from a worker, or None; it goes into the database and the log."""
    if not isinstance(value, str):
        return None
    return "".join(each if each.isprintable() else " " for each in value[:_MAX_TEXT_LENGTH])


def read_json(content: bytes | bytearray) -> Any:
    """Parse JSON from a worker.

    Raises:
        ValueError: It is not standard JSON, which has no NaN or infinity.
    """
    return json.loads(content, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"a worker sent {name}")


def content_sizes(header: dict[str, Any]) -> list[int]:
    """Return the sizes of the parts that follow the header.

    Raises:
        ValueError: A worker may not send these sizes.
    """
    entries = [header] if "size_bytes" in header else header.get("derivatives", [])
    sizes = [entry["size_bytes"] for entry in entries]
    if not all(isinstance(size, int) and size > 0 for size in sizes) or sum(sizes) > MAX_CONTENT_BYTES:
        raise ValueError("a worker announced sizes that it may not send")
    return sizes


def decode_processed(request: ProcessingRequest, header: dict[str, Any], contents: list[bytes]) -> ProcessedPicture:
    """Rebuild a success.

    Raises:
        PictureRejected: The header holds a rejection.
        ValueError, TypeError, KeyError: It holds neither, or not what was requested.
    """
    _raise_rejection(header)
    derivatives = []
    for entry, content in zip(header["derivatives"], contents, strict=True):
        fields = {name: value for name, value in entry.items() if name != "size_bytes"}
        derivatives.append(_DERIVATIVE.validate_python(fields | {"content": content}))
    if [each.preset for each in derivatives] != [preset.name for preset in request.all_presets]:
        raise ValueError("a worker sent other derivatives than were asked for")
    return ProcessedPicture(
        facts=_FACTS.validate_python(header["facts"]),
        derivatives=tuple(derivatives),
        vectors={name: _checked_vector(name, numbers) for name, numbers in dict(header["vectors"]).items()},
        analyses=_decode_outcomes(request.analyses, header["analyses"]),
        **_figures(header, "step_seconds"),
    )


def _figures(header: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the figures that are logged and counted."""
    names = (*names, "worker_rss_bytes", "worker_cpu_seconds")
    return {name: _FIGURES[name].validate_python(header[name]) for name in names}


def _checked_vector(model: str, numbers: list[float]) -> list[float]:
    # Otherwise only the database would reject such a vector, or it would distort every comparison.
    if not re.fullmatch(MODEL_NAME, model):
        raise ValueError("a worker named a model that may not be called so")
    if not 0 < len(numbers) <= MAX_VECTOR_DIMENSIONS or not all(_is_coordinate(number) for number in numbers):
        raise ValueError("a worker sent a vector that is none")
    if model == DESCRIPTOR_MODEL and len(numbers) != DESCRIPTOR_DIMENSIONS:
        raise ValueError("a worker sent a descriptor of another length")
    if not math.isclose(math.hypot(*numbers), 1, abs_tol=0.01):
        raise ValueError("a worker sent a vector whose length is not one")
    return numbers


def _is_coordinate(number: object) -> bool:
    return isinstance(number, float) and abs(number) <= 1


def decode_rendition(request: RenditionRequest, header: dict[str, Any], contents: list[bytes]) -> Rendition:
    """Rebuild a success.

    Raises:
        PictureRejected: The header holds a rejection.
        ValueError, TypeError, KeyError: It holds neither, or not what was requested.
    """
    _raise_rejection(header)
    (content,) = contents
    fields = {name: value for name, value in header.items() if name != "size_bytes"}
    rendition: Rendition = _RENDITION.validate_python(fields | {"content": content})
    if rendition.format != request.format:
        raise ValueError("a worker sent another format than was asked for")
    return rendition


def decode_analyzed(request: AnalysisRequest, header: dict[str, Any], _contents: list[bytes]) -> AnalyzedPicture:
    """Rebuild a success.

    Raises:
        PictureRejected: The header holds a rejection.
        ValueError, TypeError, KeyError: It holds neither, or not what was requested.
    """
    _raise_rejection(header)
    outcomes = _decode_outcomes(request.analyses, header["outcomes"])
    return AnalyzedPicture(outcomes, **_figures(header, "step_seconds"))


def decode_batch(batch: AnalysisBatch, header: dict[str, Any], contents: list[bytes]) -> AnalyzedBatch:
    """Rebuild a success.

    Raises:
        PictureRejected: The header rejects all pictures.
        ValueError, TypeError, KeyError: It holds neither, or not what was requested.
    """
    _raise_rejection(header)
    answers: list[AnalyzedPicture | PictureRejected] = []
    for request, entry in zip(batch.requests, header["answers"], strict=True):
        try:
            answers.append(decode_analyzed(request, entry, contents))
        except PictureRejected as rejection:
            answers.append(rejection)
    return AnalyzedBatch(tuple(answers), **_figures(header))


def _raise_rejection(header: dict[str, Any]) -> None:
    if "rejected" in header:
        raise PictureRejected(parse_rejection_code(header["rejected"]), bounded_text(header.get("message")))


def _decode_outcomes(orders: Sequence[AnalysisOrder], entries: list[dict[str, Any]]) -> tuple[AnalysisOutcome, ...]:
    outcomes = tuple(
        AnalysisOutcome.from_json({**entry, "place": bounded_text(entry.get("place"))}) for entry in entries
    )
    if [(each.analyzer, each.parameters) for each in outcomes] != [(each.analyzer, each.parameters) for each in orders]:
        raise ValueError("a worker ran other analyses than were asked for")
    return outcomes
