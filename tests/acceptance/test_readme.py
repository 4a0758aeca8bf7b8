"""The README's first five minutes, each line as it is printed."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import RunningSystem

ROOT = Path(__file__).resolve().parents[2]


def _tested_block() -> str:
    match = re.search(r"<!-- tested: .*?-->\n```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert match is not None
    return match[1]


def _documents(printed: str) -> list[Any]:
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(printed.rstrip()):
        document, at = decoder.raw_decode(printed, at)
        found.append(document)
    return found


def test_every_line_of_the_first_five_minutes_works_as_printed(system: RunningSystem, tmp_path: Path) -> None:
    if system.data_dir is None:
        pytest.fail("The README speaks of a system on this machine; unset IMAGE_MANAGER_URL to run this test.")
    # The folder a reader stands in: the data of the running system and the picture of the docs.
    (tmp_path / ".local").symlink_to(system.data_dir)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    script = "set -euo pipefail\n" + _tested_block().replace("curl -sS", "curl -sS --fail-with-body")
    ended = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    who, image, found, analysis, rotated = _documents(ended.stdout)
    assert who["user_name"] == "Ada"
    assert image["status"] == "ready"
    assert [each["id"] for each in found["items"]] == [image["id"]]
    assert 0 < analysis["result"]["sharpness"] <= 1
    assert rotated["previous"] is not None
    assert (tmp_path / "thumb.webp").read_bytes()[8:12] == b"WEBP"
    assert len((tmp_path / "first-kilobyte").read_bytes()) == 1024
