"""Removes each condition and bound of the queries in turn, and demands that a test turns red.

A test that passes whatever a query says protects nothing. Each removal is made in a copy of the tree, where the tests
of the room run until the first that fails: those that lie in folders of the same name, and those that name the
module. If none does, those of the rooms that import the module follow, and those above the rooms of its package.
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

RESULTS = ROOT / ".local/mutations.jsonl"
SURVIVED = "SURVIVED"
_PYTEST = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-rfE", "-n", "0", "-p", "no:cacheprovider"]
_RED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_FAILED, _BROKEN, _NOTHING_COLLECTED = 1, 2, 5


class TestsFail(Exception):
    """Tests are red, or cannot run, without any removal."""


@dataclass
class Tests:
    """Which tests run for a module, derived from where everything lies and from what imports what."""

    root: Path
    _texts: dict[Path, str] = field(default_factory=dict)

    def of_room(self, module: Path) -> list[str]:
        """Return the tests of the module's room in every package, and those that name the module."""
        return self._named([*self._rooms([module]), *self._importers(module, tests=True)])

    def around(self, module: Path) -> list[str]:
        """Return the tests of the rooms that import a module, and those above the rooms of its package."""
        above = sorted((self.root / Path(*module.relative_to(self.root).parts[:2]) / "tests").glob("test_*.py"))
        first = set(self.of_room(module))
        found = self._named([*self._rooms(self._importers(module, tests=False)), *above])
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
            self._texts.update((path, path.read_text()) for path in sorted(files) if path.stem != "conftest")
        return self._texts

    def _named(self, paths: Iterable[Path]) -> list[str]:
        found = sorted({str(path.relative_to(self.root)) for path in paths if path.exists()})
        return [each for each in found if not any(each.startswith(f"{other}/") for other in found)]


class Copy:
    """A copy of the tree in which one removal at a time is made and tested."""

    def __init__(self, folder: Path, limit_seconds: float) -> None:
        self._folder, self._limit_seconds = folder, limit_seconds
        self._running: subprocess.Popen[str] | None = None
        self._changed_at = time.time()
        for name in run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT).stdout.splitlines():
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
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
        module = ROOT / mutation.path
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
def _copies(count: int, limit_seconds: float) -> Iterator[list[Copy]]:
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        copies = [Copy(Path(folder) / str(number), limit_seconds) for number in range(count)]
        try:
            yield copies
        finally:
            for copy in copies:
                copy.stop()


def _known() -> dict[str, str]:
    """Return what earlier runs found; what survived is tried again, as a test may have come since."""
    if not RESULTS.exists():
        return {}
    results = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return {each["key"]: each["red"] for each in results if each["red"] != SURVIVED}


def _line(mutation: Mutation, red: str) -> str:
    removed = re.sub(r"\s+", " ", mutation.removed)
    place = f"{mutation.path}:{mutation.line} {mutation.function}"
    return f"| {place} | {mutation.kind} | `{removed[:100]}` | {red} |"


def _try_all(chosen: list[Mutation], copies: list[Copy]) -> list[str]:
    """Try the removals in one module and return a line for each.

    Raises:
        TestsFail: its tests are red without any removal.
    """
    tests, known, lock = Tests(ROOT), _known(), threading.Lock()
    free, lines = list(copies), dict.fromkeys(range(len(chosen)), "")
    if chosen and (red := copies[0].test(tests.of_room(ROOT / chosen[0].path))):
        raise TestsFail(f"{red} is red without any removal")
    RESULTS.parent.mkdir(exist_ok=True)

    def one(number: int) -> None:
        mutation = chosen[number]
        key = mutation.key((ROOT / mutation.path).read_bytes())
        red = known.get(key)
        if red is None:
            with lock:
                copy = free.pop()
            try:
                red = copy.without(mutation, tests)
            finally:
                with lock:
                    free.append(copy)
            with lock, RESULTS.open("a") as file:
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


def main() -> int:
    """The command line."""
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
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wanted = [path.resolve() for path in arguments.paths] or [ROOT]
    modules = [path for path in query_modules(ROOT) if any(path.is_relative_to(each) for each in wanted)]
    chosen = [each for path in modules for each in mutations_of(path) if each.kind in arguments.kinds]
    if arguments.list:
        for each in chosen:
            say(_line(each, " ".join(Tests(ROOT).of_room(ROOT / each.path))))
        return 0
    lines = []
    with _copies(arguments.processes, arguments.limit_seconds) as copies:
        for module in modules:
            lines += _try_all([each for each in chosen if each.path == str(module.relative_to(ROOT))], copies)
    survived = [line for line in lines if SURVIVED in line]
    say("\n".join([f"{len(lines) - len(survived)} of {len(lines)} removals were noticed.", *survived]))
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
