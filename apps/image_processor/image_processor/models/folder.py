"""A temporary folder for downloaded models, which is cleaned up even after a processor was killed."""

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
    """Yield an empty folder that is removed at the end; remove those that killed processors left behind.

    A lock on the folder shows that its processor is alive: the system releases it when the process ends in any way.
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
        # Another processor that started at the same time took the folder for abandoned.
        if lock is not None:
            os.close(lock)


def _remove_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        lock = _try_lock(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _try_lock(folder: Path) -> int | None:
    """Return a descriptor that holds the folder's lock; None if another process holds it, or the folder is gone."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor
    return None
