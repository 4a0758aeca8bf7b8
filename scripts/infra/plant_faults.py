"""Plants one fault after the other in a copy of the repository and demands that the tests catch each.

A test that passes whatever the code says is worth nothing. Every row names a file, what stands there, what is put in
its place, and the tests that must fail; a row whose text is no longer found fails as well, so the table stays true.
What a plan does not show, such as `lifecycle`, and what the scripts do is caught by a test of Python's in the copy.
"""

import argparse
import contextlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from scripts.infra.commands import CommandFailed, run, say
from scripts.infra.hcl_blocks import RUN
from scripts.infra.terraform_checks import ROOT, TARGETS, TERRAFORM, Target, environment, initialise, mirrored_files

TEST_SECONDS = 1800
_FAILED = re.compile(r"\b[1-9]\d* failed\b")


@dataclass(frozen=True)
class Fault:
    """A fault: `old` becomes `new` in `path`; the run `caught_by` among the tests of `target` must fail.

    A `target` that is a file of tests is one of Python's, and `caught_by` a function in it, or one case of it.
    """

    name: str
    path: str
    old: str
    new: str
    target: str
    caught_by: str


def faults() -> list[Fault]:
    """The table, in `faults.yaml` beside this file."""
    rows: list[dict[str, str]] = yaml.safe_load(Path(__file__).with_name("faults.yaml").read_text())
    return [Fault(name=row.pop("fault"), **row) for row in rows]


@contextlib.contextmanager
def copied_repository() -> Iterator[Path]:
    """A copy of the files that git knows of or would add, removed afterwards."""
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT).stdout
    left_out = mirrored_files()
    with tempfile.TemporaryDirectory(prefix="repository-") as folder:
        for name in listed.split("\0"):
            source, target = ROOT / name, Path(folder) / name
            if source.is_file() and source.name not in left_out:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
        yield Path(folder)


def _applied(copy: Path, fault: Fault) -> None:
    path = copy / fault.path
    text = path.read_text()
    if fault.old not in text:
        raise CommandFailed(f"{fault.path} does not hold what the fault changes: {fault.old!r}")
    path.write_text(text.replace(fault.old, fault.new, 1))


def _only_run(folder: Path, name: str) -> Path:
    """Leaves one run in the test file that has it, and returns that file; all others cost time and say nothing here."""
    for path in sorted((folder / "tests").glob("*.tftest.hcl")):
        text = path.read_text()
        if f'run "{name}" {{' in text:
            path.write_text(RUN.sub(lambda found: found[0] if found["name"] == name else "", text))
            return path
    raise CommandFailed(f"no test has a run {name}")


def _is_caught_by_python(copy: Path, fault: Fault) -> bool:
    """Whether a test that passes without the fault fails with it. Leaves the copy as it was."""
    kept = (copy / fault.path).read_text()
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "infra or not infra", "-p", "no:cacheprovider"]
    # A test that ran into its own time limit would be taken for one that caught the fault, or for a broken one.
    command += [f"--timeout={TEST_SECONDS}"]
    command += [f"{fault.target}::{fault.caught_by}"]
    # The packages are installed from the repository; those of the copy come before them.
    packages = [str(path) for place in ("apps", "packages") for path in sorted((copy / place).iterdir())]
    variables = {**environment(), "PYTHONPATH": os.pathsep.join(packages), "PYTHONDONTWRITEBYTECODE": "1"}
    if run(command, cwd=copy, env=variables, check=False).code:
        raise CommandFailed(f"{fault.caught_by} fails without any fault")
    _applied(copy, fault)
    printed = run(command, cwd=copy, env=variables, check=False)
    (copy / fault.path).write_text(kept)
    return _FAILED.search(printed.stdout) is not None


def _is_caught(copy: Path, fault: Fault, target: Target, variables: dict[str, str]) -> bool:
    """Whether a run that passes without the fault fails with it. Leaves the copy as it was."""
    folder = copy / TERRAFORM.name / target.folder
    file = _only_run(folder, fault.caught_by)
    arguments = [each for each in target.arguments if not each.startswith("-filter")]
    command = ["terraform", "test", "-no-color", *arguments, f"-filter={file.relative_to(folder)}"]
    kept = (copy / fault.path).read_text()
    if run(command, cwd=folder, env=variables, check=False).code:
        raise CommandFailed(f"{fault.caught_by} fails without any fault")
    _applied(copy, fault)
    printed = run(command, cwd=folder, env=variables, check=False)
    (copy / fault.path).write_text(kept)
    return bool(printed.code) and f'run "{fault.caught_by}"... fail' in printed.stdout


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", help="plant only the faults whose name holds this text")
    only = parser.parse_args().only or ""
    targets, variables, missed = {target.name: target for target in TARGETS}, environment(), 0
    chosen = sorted((fault for fault in faults() if only in fault.name), key=lambda fault: fault.target)
    with copied_repository() as copy:
        for target in sorted({fault.target for fault in chosen} & targets.keys()):
            initialise(copy / TERRAFORM.name / targets[target].folder, variables)
        for fault in chosen:
            started = time.monotonic()
            kept = {path: path.read_text() for path in copy.rglob("*.tftest.hcl")}
            try:
                caught = (
                    _is_caught(copy, fault, targets[fault.target], variables)
                    if fault.target in targets
                    else _is_caught_by_python(copy, fault)
                )
                note = f" by {fault.caught_by}"
            except CommandFailed as failure:
                caught, note = False, f": {failure}"
            for path, text in kept.items():
                path.write_text(text)
            missed += not caught
            say(f"{'caught' if caught else 'MISSED'}  {fault.name}{note} ({time.monotonic() - started:.1f} s)")
    say(f"{len(chosen) - missed} of {len(chosen)} faults were caught.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
