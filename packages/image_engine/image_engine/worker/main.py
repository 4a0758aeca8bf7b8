"""A worker process: processes one picture after the other, any of which may crash it.

`pool.fleet` starts it as `python -m image_engine.worker.main`.
"""

import argparse
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from image_core.analyses.catalogue import CATALOGUE
from image_engine.contract.framing import READY, READY_WITHOUT_MODEL, Answer, Request
from image_engine.contract.limits import ALL_FORMATS
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.renditions import RenditionRequest
from image_engine.contract.requests import AnalysisBatch, AnalysisOrder, AnalysisRequest, ProcessingRequest
from image_engine.worker.confinement import confine, confine_code
from image_engine.worker.serving import Work, serve

if TYPE_CHECKING:
    from image_engine.worker.loading import LoadedModels


def main(arguments: Sequence[str] | None = None) -> None:
    """Confine this process, load the codecs, and serve until the parent closes the channel."""
    options = parse_options(arguments)
    confine(options.parent, options.memory_limit_bytes)

    # Imported while Python may still write bytecode that a checkout has not compiled yet.
    from image_engine.worker.loader_policy import restrict_libvips
    from image_engine.worker.loading import load_models, read_models

    models = read_models(dict(options.model))
    confinement = confine_code(required=options.require_confinement)
    loaded = load_models(models, dict(options.model_failure))
    del models
    work = _load_codecs(loaded)
    _warm_up(work)
    restrict_libvips(options.formats)
    with socket.socket(fileno=options.channel) as channel:
        greeting = READY if loaded.are_complete else READY_WITHOUT_MODEL
        serve(channel, work, options.memory_limit_bytes, confinement, greeting)


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the options that the pool appends to a worker's command."""
    parser = argparse.ArgumentParser(prog="image_engine.worker.main", description=__doc__)
    parser.add_argument("--channel", type=int, required=True, help="descriptor of the socket to the parent")
    parser.add_argument("--parent", type=int, required=True, help="process id of the parent")
    parser.add_argument("--memory-limit-bytes", type=int, required=True)
    parser.add_argument("--formats", nargs="*", default=list(ALL_FORMATS), choices=ALL_FORMATS)
    parser.add_argument("--require-confinement", action="store_true", help="end where system calls stay open")
    parser.add_argument("--model", nargs=2, action="append", default=[], metavar=("ROLE", "PATH"))
    parser.add_argument("--model-failure", nargs=2, action="append", default=[], metavar=("ROLE", "CODE"))
    return parser.parse_args(arguments)


def _load_codecs(loaded: "LoadedModels") -> Work:
    from image_engine.worker.analysis import analyze_batch, analyze_picture
    from image_engine.worker.pipeline import process_picture
    from image_engine.worker.rendition import render_picture

    def work(descriptors: Sequence[int], request: Request, deadline_at: float) -> Answer:
        if isinstance(request, AnalysisBatch):
            return analyze_batch(descriptors, request, deadline_at, loaded.analyzers)
        (descriptor,) = descriptors
        if isinstance(request, AnalysisRequest):
            return analyze_picture(descriptor, request, deadline_at, loaded.analyzers)
        if isinstance(request, RenditionRequest):
            return render_picture(descriptor, request, deadline_at)
        return process_picture(descriptor, request, deadline_at, loaded.analyzers, loaded.embedding)

    return work


def _warm_up(work: Work) -> None:
    """Run every step once, so that the first real picture does not pay for lazy loading."""
    import pyvips

    content = (pyvips.Image.black(96, 64, bands=3) + 128).cast("uchar").jpegsave_buffer()
    with open_picture_file() as picture:
        picture.write(content)
        analyses = tuple(AnalysisOrder(name) for name in CATALOGUE)
        work([picture.fileno()], ProcessingRequest(analyses=analyses), time.monotonic() + 60)


if __name__ == "__main__":
    main()
