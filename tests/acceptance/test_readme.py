"""The README's first five minutes and the calls of the pages that go on from them, each line as it is printed."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import RunningSystem
from .up_process import environment

ROOT = Path(__file__).resolve().parents[2]


def _tested_block() -> str:
    match = re.search(r"<!-- tested: .*?-->\n```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert match is not None
    return match[1]


def _calls_of(page: str) -> str:
    """A page's calls; a comment above those that need more than this machine leaves them out."""
    return "".join(re.findall(r"(?<!-->\n)```sh\n(.*?)```", (ROOT / "docs" / f"{page}.md").read_text(), re.DOTALL))


def _run(script: str, system: RunningSystem, folder: Path) -> str:
    """What the script prints, where every command and every answer has to succeed."""
    if system.data_dir is None:
        pytest.fail("The documents speak of a system on this machine; unset IMAGE_MANAGER_URL to run this test.")
    # The folder a reader stands in: the data of the running system and the picture of the docs.
    (folder / ".local").symlink_to(system.data_dir)
    (folder / "docs").symlink_to(ROOT / "docs")
    script = "set -euo pipefail\n" + script.replace("curl -sS", "curl --fail-with-body -sS")
    ended = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=environment(),
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def _documents(printed: str) -> list[Any]:
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(printed.rstrip()):
        document, at = decoder.raw_decode(printed, at)
        found.append(document)
    return found


def test_every_line_of_the_first_five_minutes_works_as_printed(system: RunningSystem, tmp_path: Path) -> None:
    who, image, found, analysis, rotated = _documents(_run(_tested_block(), system, tmp_path))
    assert who["user_name"] == "Ada"
    assert image["status"] == "ready"
    assert [each["id"] for each in found["items"]] == [image["id"]]
    assert 0 < analysis["result"]["sharpness"] <= 1
    assert rotated["previous"] is not None
    assert (tmp_path / "thumb.webp").read_bytes()[8:12] == b"WEBP"
    assert len((tmp_path / "first-kilobyte").read_bytes()) == 1024


def test_the_calls_of_the_pages_work_after_the_first_five_minutes(system: RunningSystem, tmp_path: Path) -> None:
    begin = _tested_block().replace("Field team", "Team of the pages")
    calls = "".join(map(_calls_of, ("analyses", "metadata", "quotas", "retries", "sign-in")))
    answers = _documents(_run(begin + calls, system, tmp_path))
    assert all(answer["items"] for answer in answers if "items" in answer)
    assert answers[-1]["session_id"] is not None
