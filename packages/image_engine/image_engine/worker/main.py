"""A worker process: receives one picture after the other, and may die of any of them.

Started by `workers.WorkerPool` as `python -m image_engine.worker.main`.
"""

import argparse
import json
import os
import resource
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from image_core.analyses.catalogue import CATALOGUE
from image_engine.contract.framing import (
    ACCEPTED,
    LENGTH,
    MAX_BATCH,
    MAX_HEADER_BYTES,
    READY,
    READY_WITHOUT_MODEL,
    Answer,
    Request,
    decode_job,
    encode_answer,
    encode_header,
    encode_rejection,
)
from image_engine.contract.limits import ALL_FORMATS
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.rejections import PictureRejected, place_of
from image_engine.contract.requests import AnalysisBatch, AnalysisOrder, AnalysisRequest, ProcessingRequest
from image_engine.contract.worker_models import EMBEDDING, LABELS
from image_engine.models.description import (
    MODEL_FAILURES,
    DescribedModel,
    EmbeddingDescription,
    LabelsDescription,
    ModelBroken,
    ModelUnavailable,
    read_labels_model,
    read_model,
)
from image_engine.worker.confinement import (
    Confinement,
    MemoryWatch,
    confine,
    confine_code,
    resident_bytes,
    return_free_memory,
)

if TYPE_CHECKING:
    from image_engine.analyzers.analyzer import Analyzer
    from image_engine.analyzers.onnx_embedding import OnnxEmbedding

Work = Callable[[Sequence[int], Request, float], Answer]
Analyzers = Mapping[str, "Analyzer"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Confine this process, load the codecs, and serve until the parent closes the channel."""
    options = parse_options(arguments)
    confine(options.parent, options.memory_limit_bytes)

    # Imported while Python may still keep the bytecode of what a checkout has not compiled yet.
    from image_engine.worker.analysis import BUILT_IN
    from image_engine.worker.loader_policy import restrict_libvips

    labels_model, embedding_model = _read_labels(options.labels_model), _read_embedding(options.embedding_model)
    confinement = confine_code(required=options.require_confinement)
    analyzers, labels_failure = _load_analyzers(options.labels_failure, labels_model, BUILT_IN)
    embedding, embedding_failure = _load_embedding(embedding_model)
    del labels_model, embedding_model
    work = _load_codecs(analyzers, embedding)
    _warm_up(work)
    restrict_libvips(options.formats)
    with socket.socket(fileno=options.channel) as channel:
        failed = labels_failure or embedding_failure
        greeting = READY_WITHOUT_MODEL if failed else READY
        serve(channel, work, options.memory_limit_bytes, confinement, greeting)


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read what the pool appends to a worker's command."""
    parser = argparse.ArgumentParser(prog="image_engine.worker.main", description=__doc__)
    parser.add_argument("--channel", type=int, required=True, help="descriptor of the socket to the parent")
    parser.add_argument("--parent", type=int, required=True, help="process id of the parent")
    parser.add_argument("--memory-limit-bytes", type=int, required=True)
    parser.add_argument("--formats", nargs="*", default=list(ALL_FORMATS), choices=ALL_FORMATS)
    parser.add_argument("--require-confinement", action="store_true", help="end where system calls stay open")
    parser.add_argument("--labels-model", help="model that answers labels")
    parser.add_argument("--labels-failure", choices=[*MODEL_FAILURES], help="why there is none, though one is wanted")
    parser.add_argument("--embedding-model", help="model that makes vectors")
    return parser.parse_args(arguments)


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


def _read_labels(path: str | None) -> DescribedModel[LabelsDescription] | ModelUnavailable | None:
    """Read the model that answers `labels`, or return why it cannot be read."""
    try:
        return None if path is None else read_labels_model(path)
    except ModelUnavailable as error:
        return error


def _read_embedding(path: str | None) -> DescribedModel[EmbeddingDescription] | ModelUnavailable | None:
    """Read the model that makes vectors, or return why it cannot be read."""
    try:
        return None if path is None else read_model(path, EmbeddingDescription)
    except ModelUnavailable as error:
        return error


def _load_analyzers(
    known_failure: str | None,
    model: DescribedModel[LabelsDescription] | ModelUnavailable | None,
    built_in: Analyzers,
) -> tuple[Analyzers, str | None]:
    """What answers each analyzer's name; with the reason, where the model that was chosen for one cannot be used."""
    from image_engine.analyzers.no_labels import NoLabels

    if known_failure is not None:
        return {**built_in, "labels": NoLabels(MODEL_FAILURES[known_failure]("no model"))}, None
    if model is None:
        return built_in, None
    try:
        return {**built_in, "labels": _load_labels(model)}, None
    except ModelUnavailable as error:
        sys.stderr.write(f"{LABELS}{error}\n")
        return {**built_in, "labels": NoLabels(error)}, str(error)


_NO_RUNTIME = "onnxruntime is not installed: install the extra `analysis` of image-processor."


def _load_labels(model: DescribedModel[LabelsDescription] | ModelUnavailable) -> "Analyzer":
    if isinstance(model, ModelUnavailable):
        raise model
    try:
        from image_engine.analyzers.onnx_labels import OnnxLabels
        from image_engine.analyzers.onnx_model import OnnxModel
    except ImportError as error:
        raise ModelBroken(_NO_RUNTIME) from error
    return OnnxLabels(OnnxModel(model))


def _load_embedding(
    model: DescribedModel[EmbeddingDescription] | ModelUnavailable | None,
) -> tuple["OnnxEmbedding | None", str | None]:
    """What makes vectors, where a model for it is given; or the reason why it cannot be used."""
    if model is None:
        return None, None
    try:
        if isinstance(model, ModelUnavailable):
            raise model
        try:
            from image_engine.analyzers.onnx_embedding import OnnxEmbedding
            from image_engine.analyzers.onnx_model import OnnxModel
        except ImportError as error:
            raise ModelBroken(_NO_RUNTIME) from error
        return OnnxEmbedding(OnnxModel(model)), None
    except ModelUnavailable as error:
        sys.stderr.write(f"{EMBEDDING}{error}\n")
        return None, str(error)


def _load_codecs(analyzers: Analyzers, embedding: "OnnxEmbedding | None") -> Work:
    from image_engine.worker.analysis import analyze_batch, analyze_picture
    from image_engine.worker.pipeline import process_picture

    def work(descriptors: Sequence[int], request: Request, deadline_at: float) -> Answer:
        if isinstance(request, AnalysisBatch):
            return analyze_batch(descriptors, request, deadline_at, analyzers)
        (descriptor,) = descriptors
        if isinstance(request, AnalysisRequest):
            return analyze_picture(descriptor, request, deadline_at, analyzers)
        return process_picture(descriptor, request, deadline_at, analyzers, embedding)

    return work


def _warm_up(work: Work) -> None:
    """Run every step once, so that the first real picture does not pay for what is loaded late."""
    import pyvips

    content = (pyvips.Image.black(96, 64, bands=3) + 128).cast("uchar").jpegsave_buffer()
    with open_picture_file() as picture:
        picture.write(content)
        analyses = tuple(AnalysisOrder(name) for name in CATALOGUE)
        work([picture.fileno()], ProcessingRequest(analyses=analyses), time.monotonic() + 60)


if __name__ == "__main__":
    main()
