"""The commands of the README and of the pages that build on it run as printed, and the shown answers are true."""

import json
import re
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from PIL import Image

from .conftest import RunningSystem
from .up_process import environment

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "analyses", "delivery-addresses", "metadata", "presets", "quotas", "collections", "share-links", "descriptions",
    "many-images", "direct-uploads", "retries", "changes", "webhooks", "sign-in",
)  # fmt: skip
# Pictures of the pages before may still be in work, and their events would be the first that a page on events shows.
_SETTLE = """
until [ "$(curl -sS -H "X-API-KEY: $KEY" "$URL/api/v1/images?status=stored&status=processing" |
  python3 -c 'import json, sys; print(len(json.load(sys.stdin)["items"]))')" = 0 ]; do sleep 0.2; done
sleep 2
"""
_BLOCK_ENDS = "@@ the next block @@"
# A block of commands, without those under a comment that says what else they need, and the answer shown below it.
_BLOCK = re.compile(
    r"(?P<comment><!--[^\n]*-->\n)?```sh\n(?P<script>.*?)```\n(?:\n```json\n(?P<answer>.*?)```)?", re.DOTALL
)
_VARIES = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\d\d-\d\dT.*Z|im_\w+|#?[0-9a-f]{6}|https?://.*|data:image/.*|.*…"
)


class Block(NamedTuple):
    """Commands, and the answer that the page shows for the last one."""

    script: str
    answer: str | None


def _blocks(text: str) -> list[Block]:
    found = [match for match in _BLOCK.finditer(text) if not (match["comment"] or "").startswith("<!-- needs")]
    return [Block(match["script"], match["answer"]) for match in found]


def _first_five_minutes() -> list[Block]:
    blocks = _blocks(_between("<!-- tested:", "<!-- end of the tested part -->"))
    assert len(blocks) == 6
    return blocks


def _picture_on_a_page() -> list[Block]:
    blocks = _blocks(_between("<!-- tested like", "<!-- end of the tested page -->"))
    assert len(blocks) == 2
    return blocks


def _between(begin: str, end: str) -> str:
    text = (ROOT / "README.md").read_text()
    return text[text.index(begin) : text.index(end)]


def _page(name: str) -> list[Block]:
    return _blocks((ROOT / "docs" / f"{name}.md").read_text())


def _run(blocks: list[Block], system: RunningSystem, folder: Path) -> list[list[Any]]:
    """Return what each block prints, where every command and every request has to succeed."""
    if system.data_dir is None:
        pytest.fail("The documents speak of a system on this machine; unset IMAGE_MANAGER_URL to run this test.")
    # The folder a reader stands in: the data of the running system and the picture of the docs.
    (folder / ".local").symlink_to(system.data_dir)
    (folder / "docs").symlink_to(ROOT / "docs")
    script = f"\necho '{_BLOCK_ENDS}'\n".join(block.script for block in blocks)
    ended = subprocess.run(
        ["bash", "-c", "set -euo pipefail\n" + script.replace("curl -sS", "curl --fail-with-body -sS")],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=environment(),
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return [_documents(printed) for printed in ended.stdout.split(_BLOCK_ENDS)]


def _documents(printed: str) -> list[Any]:
    decoder, found, at = json.JSONDecoder(), [], 0
    printed = printed.strip()
    while at < len(printed):
        document, at = decoder.raw_decode(printed, at)
        found.append(document)
    return found


def _differences(shown: Any, answer: Any, where: str = "$") -> list[str]:
    """What a shown answer says that the real one does not. It may leave out fields and items."""
    if isinstance(shown, dict) and isinstance(answer, dict):
        absent = [f"{where}.{name} is absent" for name in shown if name not in answer]
        common = [name for name in shown if name in answer]
        return absent + [each for name in common for each in _differences(shown[name], answer[name], f"{where}.{name}")]
    if isinstance(shown, list) and isinstance(answer, list):
        if len(shown) > len(answer):
            return [f"{where} has {len(answer)} items"]
        pairs = enumerate(zip(shown, answer, strict=False))
        return [each for at, pair in pairs for each in _differences(*pair, f"{where}[{at}]")]
    if type(shown) is not type(answer):
        return [f"{where} is {answer!r}"]
    fixed = shown is None or isinstance(shown, bool) or (isinstance(shown, str) and not _VARIES.fullmatch(shown))
    return [f"{where} is {answer!r}"] if fixed and shown != answer else []


def _check_shown_answers(blocks: list[Block], answers: list[list[Any]]) -> None:
    for block, printed in zip(blocks, answers, strict=True):
        if block.answer is not None:
            assert _differences(json.loads(block.answer), printed[-1]) == [], block.script


def _check_page(page: str) -> None:
    """Every address that an HTML file names shows a picture as wide as the page says, to whoever has no key."""
    (source, sources), (width,) = re.findall(r'src="(.*?)" srcset="(.*?)"', page)[0], re.findall(r'width="(\d+)"', page)
    widths = {address: int(each[:-1]) for address, each in (pair.split() for pair in sources.split(", "))}
    assert widths[source] == int(width)
    assert len(widths) > 1
    for address, width_px in widths.items():
        answer = httpx2.get(address, headers={"accept": "image/webp"}, trust_env=False)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
        assert Image.open(BytesIO(answer.content)).width == width_px


def test_the_first_five_minutes_work_as_printed(system: RunningSystem, tmp_path: Path) -> None:
    blocks = [*_first_five_minutes(), *_picture_on_a_page()]
    answers = _run(blocks, system, tmp_path)
    assert sum(block.answer is not None for block in blocks) == 6
    _check_shown_answers(blocks, answers)
    _check_page((tmp_path / "page.html").read_text())
    assert (tmp_path / "thumb.webp").read_bytes()[8:12] == b"WEBP"
    assert len((tmp_path / "first-kilobyte").read_bytes()) == 1024


def test_the_calls_of_the_pages_work_after_the_first_five_minutes(system: RunningSystem, tmp_path: Path) -> None:
    begin = [Block(block.script.replace("Field team", "Team of the pages"), None) for block in _first_five_minutes()]
    blocks = begin + [block for name in PAGES for block in ([Block(_SETTLE, None)] * (name == "changes") + _page(name))]
    answers = _run(blocks, system, tmp_path)
    _check_shown_answers(blocks, answers)
    # Only the feed, which has `has_more`, may have nothing to tell.
    lists = [answer for printed in answers for answer in printed if "items" in answer and "has_more" not in answer]
    assert all(answer["items"] for answer in lists)
    assert answers[-1][-1]["session_id"] is not None


def test_a_shown_answer_that_is_wrong_is_found() -> None:
    answer = {"id": "01a225f9-393b-7d7a-99aa-bbf94004a879", "status": "ready", "width": 1280, "tags": ["a"]}
    assert _differences({"id": "0000225f-393b-7d7a-99aa-bbf94004a879", "width": 1, "tags": []}, answer) == []
    wrong = {"status": "failed", "width": "1280", "size": 1, "tags": ["b"], "id": None}
    assert len(_differences(wrong, answer)) == len(wrong)
