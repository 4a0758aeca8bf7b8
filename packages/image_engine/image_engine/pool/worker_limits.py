"""Resource limits of a worker process, and how long it is used."""

from collections.abc import Sequence
from dataclasses import dataclass

from image_core.images.picture_header import PictureFormat
from image_engine.contract.limits import ALL_FORMATS

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """The limits of each worker of a pool.

    Attributes:
        deadline_seconds: from the hand-over to a worker; waiting for a free worker does not count.
        memory_limit_bytes: resident memory that a worker never exceeds.
        rss_mark_bytes: a worker that still holds more than this after a picture, besides its models, is replaced.
        max_pictures: a worker is replaced after this many.
        start_timeout_seconds: how long a worker may take to load its codecs.
        formats: all other loaders are blocked in the workers.
        require_confinement: no worker starts if the system cannot keep it from sockets and programs.
    """

    deadline_seconds: float = 10.0
    memory_limit_bytes: int = 512 * MIB
    rss_mark_bytes: int = 256 * MIB
    max_pictures: int = 500
    start_timeout_seconds: float = 20.0
    formats: Sequence[PictureFormat] = ALL_FORMATS
    require_confinement: bool = False

    def options(self) -> list[str]:
        """Return the command-line options of a worker for these limits."""
        required = ("--require-confinement",) if self.require_confinement else ()
        return [*required, "--memory-limit-bytes", str(self.memory_limit_bytes), "--formats", *self.formats]
