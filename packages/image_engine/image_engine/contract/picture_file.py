"""An anonymous file that passes a picture to a worker process."""

import os
import sys
import tempfile
from types import TracebackType


class PictureFile:
    """Bytes outside this process's heap that are passed on as a file descriptor.

    Writing copies within memory and does not wait for a disk, so it may be done on the event loop.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        """Return the descriptor; all copies of it share one file position.

        Raises:
            ValueError: The file is closed.
        """
        if self._descriptor < 0:
            raise ValueError("the picture file is closed")
        return self._descriptor

    @property
    def size_bytes(self) -> int:
        """The number of bytes written so far."""
        return os.fstat(self.fileno()).st_size

    def write(self, content: bytes | bytearray | memoryview) -> int:
        """Append all of the content, and return its length.

        Raises:
            OSError: No memory or disk space is left.
        """
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self.fileno(), rest) :]
        return len(content)

    def close(self) -> None:
        """Release the bytes; a worker with a copy of the descriptor still sees them. May be called twice."""
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
        OSError: No descriptor, memory or disk space is left.
    """
    if sys.platform == "linux":
        return PictureFile(os.memfd_create("picture", os.MFD_CLOEXEC))
    with tempfile.TemporaryFile(prefix="picture-") as file:
        return PictureFile(os.dup(file.fileno()))
