"""A temporary folder for models that come from a bucket, which not even a killed processor leaves behind for good."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "image-processor-model-"


@contextmanager
def model_folder() -> Iterator[Path]:
    """Yield an empty folder that is removed at the end; what killed processors left on this machine is removed first.

    A lock on the folder tells that its processor lives: the system lets go of it with the process, however that ends.
    """
    _remove_abandoned()
    folder, lock = _create_locked()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _create_locked() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = _try_lock(folder)
        if lock is not None and folder.is_dir():
            return folder, lock
        # Another processor that starts at this moment took it for abandoned.
        if lock is not None:
            os.close(lock)


def _remove_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        lock = _try_lock(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _try_lock(folder: Path) -> int | None:
    """Return a descriptor that holds the folder's lock; None where somebody else has it, or the folder is gone."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor
    return None
