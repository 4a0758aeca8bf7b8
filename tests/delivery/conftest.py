"""What tests of the delivery stand on: the scripts, a fake API, and a folder of fake commands on the PATH."""

import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

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
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{script}" "$@"\n')
        command.chmod(command.stat().st_mode | stat.S_IXUSR)

    return put
