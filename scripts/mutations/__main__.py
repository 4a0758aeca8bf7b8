"""Remove each condition and bound of the queries in turn, and check that a test fails.

A test that passes whatever a query says protects nothing. Each removal is made in a copy of the tree, where the tests
of the room run until the first that fails: those that import the module, then those in folders of the same name. If
none does, those of the rooms that import the module follow, and those above the rooms of its package. A module whose
tests are red without any removal is skipped.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scripts.infra.commands import run, say
from scripts.mutations.conditions import ROOT, Kind, Mutation, mutations_of, query_modules

RESULTS = Path(".local/mutations.jsonl")
SURVIVED, SKIPPED = "SURVIVED", "SKIPPED"
_PYTEST = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-rfE", "-n", "0", "-p", "no:cacheprovider"]
_RED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
# Fixtures, and rules on how code is written, which a removal may break whatever the query does.
_RUN_NO_QUERY = {"conftest", "test_architecture"}
_FAILED, _BROKEN, _NOTHING_COLLECTED = 1, 2, 5


class TestsFail(Exception):
    """Tests are red, or cannot run, without any removal."""


@dataclass
class Tests:
    """Which tests run for a module, derived from where everything lies and from what imports what."""

    root: Path
    _texts: dict[Path, str] = field(default_factory=dict)

    def of_room(self, module: Path) -> list[str]:
        """Return the test files that import the module, then the others of its room in every package."""
        return self._files([*self._importers(module, tests=True), *self._rooms([module])])

    def around(self, module: Path) -> list[str]:
        """Return the tests of the rooms that import a module, and those above the rooms of its package."""
        above = sorted((self.root / Path(*module.relative_to(self.root).parts[:2]) / "tests").glob("test_*.py"))
        first = set(self.of_room(module))
        found = self._files([*self._rooms(self._importers(module, tests=False)), *above])
        return [each for each in found if each not in first]

    def _rooms(self, modules: Iterable[Path]) -> Iterator[Path]:
        for module in modules:
            inside = module.relative_to(self.root).parts[3:]
            for folder in self._test_folders():
                if len(inside) > 1:
                    yield folder / inside[0]
                else:
                    yield folder / f"test_{module.stem}.py"

    def _test_folders(self) -> list[Path]:
        return [*sorted(self.root.glob("apps/image_*/tests")), *sorted(self.root.glob("packages/*/tests"))]

    def _importers(self, module: Path, *, tests: bool) -> list[Path]:
        package, name = re.escape(".".join(module.relative_to(self.root).parts[2:-1])), module.stem
        imports = re.compile(
            rf"from {package} import .*\b{name}\b|(from|import) {package}\.{name}\b|[\"']{package}\.{name}\."
        )
        return [
            path
            for path, text in self._sources().items()
            if ("tests" in path.parts) is tests and path != module and imports.search(text)
        ]

    def _sources(self) -> dict[Path, str]:
        if not self._texts:
            files = [path for folder in ("packages", "apps") for path in (self.root / folder).rglob("*.py")]
            files += (self.root / "tests").glob("*.py")
            self._texts.update((path, path.read_text()) for path in sorted(files) if path.stem not in _RUN_NO_QUERY)
        return self._texts

    def _files(self, paths: Iterable[Path]) -> list[str]:
        """Return each test file once, in order; of a folder those in it."""
        found = (
            file
            for path in paths
            for file in (sorted(path.rglob("test_*.py")) if path.is_dir() else [path])
            if file.exists() and file.name.startswith("test_")
        )
        return list(dict.fromkeys(str(file.relative_to(self.root)) for file in found))


class Copy:
    """A copy of the tree in which one removal at a time is made and tested."""

    def __init__(self, root: Path, folder: Path, limit_seconds: float) -> None:
        self._root, self._folder, self._limit_seconds = root, folder, limit_seconds
        self._running: subprocess.Popen[str] | None = None
        self._changed_at = time.time()
        for name in run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root).stdout.splitlines():
            if (root / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, folder / name)
        places = [str(path) for path in (*folder.glob("packages/*"), *folder.glob("apps/*"), folder)]
        # The copy comes before what the environment has installed.
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "TENANCY_RULE": "off"}

    def test(self, tests: list[str]) -> str | None:
        """Return the test that turned red, or null.

        Raises:
            TestsFail: pytest could not run them at all.
        """
        if not tests:
            return None
        command = subprocess.Popen(  # noqa: S603 (a list, no shell: nothing in it is interpreted)
            [*_PYTEST, *tests], cwd=self._folder, env=self._environment, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._running = command
        try:
            printed, _ = command.communicate(timeout=self._limit_seconds)
        except subprocess.TimeoutExpired:
            return f"no end within {self._limit_seconds:.0f} s"
        finally:
            self.stop()
        if command.returncode in {0, _NOTHING_COLLECTED}:
            return None
        red = _RED.search(printed)
        if command.returncode not in {_FAILED, _BROKEN} or red is None:
            raise TestsFail(printed[-2000:])
        return red[1]

    def stop(self) -> None:
        """End what runs, with whatever it has started."""
        if self._running is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._running.pid, signal.SIGKILL)
            self._running.wait()

    def without(self, mutation: Mutation, tests: Tests) -> str:
        """Return which test notices a removal, or that it survived."""
        path = self._folder / mutation.path
        kept = path.read_bytes()
        module = self._root / mutation.path
        try:
            self._write(path, mutation.applied(kept))
            if red := self.test(tests.of_room(module)):
                return red
            red = self.test(tests.around(module))
        finally:
            self._write(path, kept)
        # Those of the room were green before; outside it a test may be red for another reason.
        if red is None or ("::" in red and self.test([red])):
            return SURVIVED
        return red

    def _write(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        # Python takes compiled code for current by size and second.
        self._changed_at += 1
        os.utime(path, (self._changed_at, self._changed_at))


@contextmanager
def _copies(root: Path, count: int, limit_seconds: float) -> Iterator[list[Copy]]:
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        copies = [Copy(root, Path(folder) / str(number), limit_seconds) for number in range(count)]
        try:
            yield copies
        finally:
            for copy in copies:
                copy.stop()


def _known(results: Path) -> dict[str, str]:
    """Return what earlier runs found; what survived is tried again, as a test may have come since."""
    if not results.exists():
        return {}
    found = [json.loads(line) for line in results.read_text().splitlines()]
    return {each["key"]: each["red"] for each in found if each["red"] != SURVIVED}


def _line(mutation: Mutation, red: str) -> str:
    removed = re.sub(r"\s+", " ", mutation.removed)
    place = f"{mutation.path}:{mutation.line} {mutation.function}"
    return f"| {place} | {mutation.kind} | `{removed[:100]}` | {red} |"


def _try_module(root: Path, chosen: list[Mutation], copies: list[Copy]) -> list[str]:
    """Try the removals in one module and return a line for each.

    Raises:
        TestsFail: its tests are red without any removal.
    """
    tests, results, lock = Tests(root), root / RESULTS, threading.Lock()
    free, lines = list(copies), dict.fromkeys(range(len(chosen)), "")
    module = root / chosen[0].path
    known, source = _known(results), module.read_bytes()
    is_new = any(each.key(source) not in known for each in chosen)
    if is_new and (red := copies[0].test(tests.of_room(module))):
        raise TestsFail(f"{red} is red without any removal")
    results.parent.mkdir(exist_ok=True)

    def one(number: int) -> None:
        mutation = chosen[number]
        key = mutation.key(source)
        red = known.get(key)
        if red is None:
            with lock:
                copy = free.pop()
            try:
                red = copy.without(mutation, tests)
            finally:
                with lock:
                    free.append(copy)
            with lock, results.open("a") as file:
                file.write(json.dumps({"key": key, "red": red}) + "\n")
        lines[number] = _line(mutation, red)
        say(lines[number])

    with ThreadPoolExecutor(len(copies)) as pool:
        try:
            list(pool.map(one, range(len(chosen))))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for copy in copies:
                copy.stop()
            raise
    return list(lines.values())


def _try_all(root: Path, modules: list[list[Mutation]], copies: list[Copy]) -> int:
    """Try the removals of each module, say what survived, and return the exit code."""
    lines, skipped = [], []
    for chosen in modules:
        try:
            lines += _try_module(root, chosen, copies)
        except TestsFail as error:
            skipped.append(f"| {chosen[0].path} | {len(chosen)} removals | {SKIPPED} | {error} |")
            say(skipped[-1])
    survived = [line for line in lines if SURVIVED in line]
    say("\n".join([f"{len(lines) - len(survived)} of {len(lines)} removals were noticed.", *survived, *skipped]))
    return 1 if survived or skipped else 0


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("paths", nargs="*", type=Path, help="files or folders; by default every query of every package")
    parser.add_argument(
        "--kinds", nargs="+", type=Kind, choices=list(Kind), default=[kind for kind in Kind if kind != Kind.KEY],
        help="what to remove (default: all but the conditions that name the row itself)",
    )  # fmt: skip
    parser.add_argument(
        "--processes", type=int, default=2, help="how many copies to test at once (default: %(default)s)"
    )
    parser.add_argument("--limit-seconds", type=float, default=300, help="for one removal (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="only show what would be removed, and the tests for it")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    within = [path.resolve() for path in options.paths] or [root]
    paths = [path for path in query_modules(root) if any(path.is_relative_to(each) for each in within)]
    found = [[each for each in mutations_of(path, root) if each.kind in options.kinds] for path in paths]
    modules = [chosen for chosen in found if chosen]
    if options.list:
        for each in (each for chosen in modules for each in chosen):
            say(_line(each, " ".join(Tests(root).of_room(root / each.path))))
        return 0
    with _copies(root, options.processes, options.limit_seconds) as copies:
        return _try_all(root, modules, copies)


if __name__ == "__main__":
    sys.exit(main())
