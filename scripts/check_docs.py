"""Checks that what the documents promise is there: every relative link, every make target, everything generated."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_TARGET = re.compile(r"`make ([a-z-]+)")
GENERATED = ("scripts/settings_docs.py", "scripts/access_docs.py")


def documents() -> list[Path]:
    """Every Markdown file that belongs to the project."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],  # noqa: S607 (git from the PATH)
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / name for name in listed.stdout.split()]


def broken_links(document: Path) -> list[str]:
    """Relative links that lead nowhere."""
    return [
        f"{document.relative_to(ROOT)}: there is no {target}"
        for target in _LINK.findall(document.read_text())
        if "://" not in target and not target.startswith("mailto:") and not (document.parent / target).exists()
    ]


def unknown_targets(document: Path, targets: set[str]) -> list[str]:
    """`make` commands that the Makefile does not know."""
    named = _TARGET.findall(document.read_text())
    return [f"{document.relative_to(ROOT)}: there is no target {name}" for name in named if name not in targets]


def make_targets() -> set[str]:
    """The targets of the Makefile and of what it includes."""
    text = "\n".join(path.read_text() for path in (ROOT / "Makefile", *ROOT.glob("*.mk")))
    return set(re.findall(r"^([a-z-]+):", text, flags=re.MULTILINE))


def main() -> None:
    """Prints what is wrong and exits with 1, if anything is."""
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
