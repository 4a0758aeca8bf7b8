"""Reads the blocks of a formatted Terraform file: enough of the language for documents, policies and tests.

`terraform fmt` is what makes it simple: a block begins at the first column and ends with a brace there, and its own
arguments stand two columns further in.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RUN = re.compile(r'^run "(?P<name>\w+)" \{\n(?P<body>.*?)^\}\n', re.MULTILINE | re.DOTALL)
"""A run in a file of tests."""

_OPENING = re.compile(r'^(?P<kind>[a-z_]+)(?P<labels>(?: "[^"]+")*) \{(?P<empty>\})?$')
_ARGUMENT = re.compile(r"^  (?P<name>[a-z_]+) += (?P<value>.*)$")


@dataclass(frozen=True)
class Block:
    """A block at the top of a file: its kind, its labels and its lines."""

    kind: str
    labels: tuple[str, ...]
    lines: tuple[str, ...]
    path: Path

    @property
    def text(self) -> str:
        """What stands between its braces."""
        return "\n".join(self.lines)

    def argument(self, name: str) -> str | None:
        """The expression of one of its own arguments, over as many lines as it has; None where it is not given."""
        for index, line in enumerate(self.lines):
            found = _ARGUMENT.match(line)
            if found and found["name"] == name:
                rest = [found["value"]]
                for following in self.lines[index + 1 :]:
                    if _closed("\n".join(rest)):
                        break
                    rest.append(following)
                return "\n".join(line.removeprefix("  ") if number else line for number, line in enumerate(rest))
        return None


def _closed(expression: str) -> bool:
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", expression)
    return all(bare.count(opening) <= bare.count(closing) for opening, closing in ("()", "[]", "{}"))


def blocks(path: Path) -> Iterator[Block]:
    """The blocks of a file, in order."""
    kind, labels, lines = "", (), None  # type: str, tuple[str, ...], list[str] | None
    for line in path.read_text().splitlines():
        opening = _OPENING.match(line)
        if lines is None and opening:
            kind, labels, lines = opening["kind"], tuple(re.findall(r'"([^"]+)"', opening["labels"])), []
            if not opening["empty"]:
                continue
        elif lines is None or line != "}":
            if lines is not None:
                lines.append(line)
            continue
        yield Block(kind, labels, tuple(lines or ()), path)
        lines = None


def blocks_in(folder: Path, kind: str) -> list[Block]:
    """The blocks of one kind in the files of a folder."""
    return [block for path in sorted(folder.glob("*.tf")) for block in blocks(path) if block.kind == kind]


def text_of(expression: str | None) -> str:
    """A quoted string's text, or the expression itself."""
    expression = expression or ""
    quoted = re.fullmatch(r'"((?:[^"\\]|\\.)*)"', expression)
    return quoted[1].replace('\\"', '"') if quoted else expression
