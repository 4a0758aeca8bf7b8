"""Print the section of CHANGELOG.md for a tag.

python -m scripts.delivery.release_notes v1.4.0 [--changelog CHANGELOG.md]
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

CHANGELOG = Path(__file__).resolve().parent.parent.parent / "CHANGELOG.md"
_TAG = re.compile(r"^v(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)$")
_HEADING = re.compile(r"^## \[?(?P<version>[^\s\]]+)\]?")


class ReleaseNotesError(Exception):
    """There are no notes for this tag."""


def notes(tag: str, changelog: str) -> str:
    """Return the entries under the version's heading. Raises `ReleaseNotesError`."""
    matched = _TAG.match(tag)
    if matched is None:
        raise ReleaseNotesError(f"{tag} is not a version's tag, such as v1.4.0")
    version, lines, inside = matched[1], [], False
    for line in changelog.splitlines():
        heading = _HEADING.match(line)
        if heading:
            if inside:
                break
            inside = heading["version"] == version
        elif inside:
            lines.append(line)
    text = "\n".join(lines).strip()
    if not text:
        raise ReleaseNotesError(f"CHANGELOG.md has no entries under `## {version}`; write them before the tag")
    return f"{text}\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the notes; return 1 if there are none."""
    parser = argparse.ArgumentParser(description="Print a tag's part of the changelog.")
    parser.add_argument("tag")
    parser.add_argument("--changelog", type=Path, default=CHANGELOG)
    arguments = parser.parse_args(argv)
    try:
        sys.stdout.write(notes(arguments.tag, arguments.changelog.read_text()))
    except ReleaseNotesError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
