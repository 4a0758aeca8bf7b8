"""Check the documentation: relative links, headings, make targets and generated files."""

import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
_FENCED = re.compile(r"^```.*?^```", flags=re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ +(.+?) *#*$", flags=re.MULTILINE)
_LINKED_TEXT = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_TARGET = re.compile(r"`make ([a-z-]+)")
GENERATED = ("scripts/settings_docs.py", "scripts/access_docs.py", "scripts/event_docs.py")


def documents() -> list[Path]:
    """Return every Markdown file of the project."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],  # noqa: S607 (git from the PATH)
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / name for name in listed.stdout.split()]


@cache
def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub writes them."""
    found: set[str] = set()
    seen: Counter[str] = Counter()
    for heading in _HEADING.findall(_FENCED.sub("", document.read_text())):
        slug = re.sub(r"[^\w\- ]", "", _LINKED_TEXT.sub(r"\1", heading).lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def broken_links(document: Path) -> list[str]:
    """Return relative links to files or headings that do not exist."""
    faults = []
    for target, anchor in _LINK.findall(document.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        path = document.parent / target if target else document
        if not path.exists():
            faults.append(f"{document.relative_to(ROOT)}: there is no {target}")
        elif anchor and path.suffix == ".md" and anchor not in anchors(path):
            faults.append(f"{document.relative_to(ROOT)}: {target or 'it'} has no heading #{anchor}")
    return faults


def unknown_targets(document: Path, targets: set[str]) -> list[str]:
    """Return `make` commands whose target does not exist."""
    named = _TARGET.findall(document.read_text())
    return [f"{document.relative_to(ROOT)}: there is no target {name}" for name in named if name not in targets]


def make_targets() -> set[str]:
    """Return the targets of the Makefile and its includes."""
    text = "\n".join(path.read_text() for path in (ROOT / "Makefile", *ROOT.glob("*.mk")))
    return set(re.findall(r"^([a-z-]+):", text, flags=re.MULTILINE))


def main() -> None:
    """Print every fault, and exit with 1 if there is one."""
    targets = make_targets()
    faults = [fault for document in documents() for fault in broken_links(document)]
    faults += [fault for document in documents() for fault in unknown_targets(document, targets)]
    for script in GENERATED:
        if (ROOT / script).exists():
            checked = subprocess.run([sys.executable, ROOT / script, "--check"], cwd=ROOT, check=False)  # noqa: S603
            faults += [f"{script} --check failed"] if checked.returncode else []
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
