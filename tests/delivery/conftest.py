"""What tests of the delivery stand on: the scripts, a fake API, and a folder of fake commands on the PATH."""

import json
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# The scripts are no installed package; they are run from the root as `python -m scripts.delivery.…`.
sys.path.insert(0, str(ROOT))

from .fake_api import FakeApi  # noqa: E402 (it needs nothing, but stands with what does)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "smoke: starts the local cloud and sends a picture through it")


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """A server that answers like the API."""
    fake = FakeApi()
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def put_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path], None]:
    """Let a script of this folder stand in for a command."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def put(name: str, script: Path) -> None:
        command = folder / name
        # Isolated and without site-packages, a fake command starts in a fraction of the time.
        command.write_text(f'#!/bin/sh\nFAKE_NAME={name} exec "{sys.executable}" -I -S "{script}" "$@"\n')
        command.chmod(command.stat().st_mode | stat.S_IXUSR)

    return put


@dataclass
class Commands:
    """Commands that are faked by what they have to answer; see fake_command.py."""

    file: Path

    def answer(self, *answers: dict[str, Any]) -> None:
        self.file.write_text(json.dumps({"answers": answers, "calls": []}))

    @property
    def calls(self) -> list[list[str]]:
        called: list[list[str]] = json.loads(self.file.read_text())["calls"]
        return called

    @property
    def lines(self) -> list[str]:
        return [" ".join(call) for call in self.calls]


@pytest.fixture
def commands(tmp_path: Path, put_on_path: Callable[[str, Path], None], monkeypatch: pytest.MonkeyPatch) -> Commands:
    """No gh, terraform, skopeo, docker or gcloud but ours."""
    for name in ("gh", "terraform", "skopeo", "docker", "gcloud"):
        put_on_path(name, Path(__file__).with_name("fake_command.py"))
    made = Commands(tmp_path / "commands.json")
    made.answer()
    monkeypatch.setenv("FAKE_COMMANDS", str(made.file))
    return made
