"""A file without a name, for a picture on its way to a worker process."""

import os
import sys
import tempfile
from types import TracebackType


class PictureFile:
    """Bytes that live outside this process's heap and are handed over as a file descriptor.

    Writing is a copy within memory and does not wait for a disk, so that it may be done on the event loop.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        """Return the descriptor; the receiver of a copy moves the file position of all of them.

        Raises:
            ValueError: the file is closed.
        """
        if self._descriptor < 0:
            raise ValueError("the picture file is closed")
        return self._descriptor

    @property
    def size_bytes(self) -> int:
        """What has been written so far."""
        return os.fstat(self.fileno()).st_size

    def write(self, content: bytes | bytearray | memoryview) -> int:
        """Append all of the content, and return its length.

        Raises:
            OSError: no memory or disk is left.
        """
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self.fileno(), rest) :]
        return len(content)

    def close(self) -> None:
        """Let go of the bytes; a worker that holds a copy still sees them. May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> "PictureFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open_picture_file() -> PictureFile:
    """Create an empty file: in memory on Linux, elsewhere a temporary file that is unlinked at once.

    Raises:
        OSError: no descriptor, memory or disk is left.
    """
    if sys.platform == "linux":
        return PictureFile(os.memfd_create("picture", os.MFD_CLOEXEC))
    with tempfile.TemporaryFile(prefix="picture-") as file:
        return PictureFile(os.dup(file.fileno()))
