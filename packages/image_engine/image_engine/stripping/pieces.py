"""A file that is made of parts of another one."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from mmap import mmap

Content = bytes | mmap

_MOST_PIECES = 10_000
_PART_BYTES = 1024 * 1024


class CannotStrip(Exception):
    """The file is broken or unusual: what its metadata is cannot be told, so that it has to be encoded anew."""


@dataclass(slots=True)
class Pieces:
    """Bytes of one's own and ranges of the original, in the order in which they make the new file.

    Attributes:
        size_bytes: of the new file.
        pieces: bytes, or start and end of a range of the original.
    """

    size_bytes: int = 0
    pieces: list[bytes | tuple[int, int]] = field(default_factory=list)

    def add(self, content: bytes) -> None:
        """Append bytes.

        Raises:
            CannotStrip: there are too many pieces.
        """
        self._append(content, len(content))

    def keep(self, start: int, end: int) -> None:
        """Append a range of the original; what follows the range before it is joined to it.

        Raises:
            CannotStrip: there are too many pieces.
        """
        last = self.pieces[-1] if self.pieces else None
        if isinstance(last, tuple) and last[1] == start:
            self.pieces[-1] = (last[0], end)
            self.size_bytes += end - start
        else:
            self._append((start, end), end - start)

    def extend(self, others: "Pieces") -> None:
        """Append the pieces of another file that is made of the same original.

        Raises:
            CannotStrip: there are too many pieces.
        """
        for piece in others.pieces:
            if isinstance(piece, bytes):
                self.add(piece)
            else:
                self.keep(*piece)

    def _append(self, piece: bytes | tuple[int, int], size_bytes: int) -> None:
        if len(self.pieces) >= _MOST_PIECES:
            raise CannotStrip("too many parts")
        self.pieces.append(piece)
        self.size_bytes += size_bytes

    def parts(self, original: Content, part_bytes: int = _PART_BYTES) -> Iterator[bytes]:
        """Give the new file in parts of at most `part_bytes`; `original` is what it was made of."""
        for piece in self.pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            for start in range(*piece, part_bytes):
                yield original[start : min(start + part_bytes, piece[1])]
