"""The drift issue, the wait for checks, the notes of a release."""

import json
from pathlib import Path

import pytest
from scripts.delivery import drift_issue, release_notes, wait_for_checks

from .conftest import ROOT, Commands

OPEN = [
    {"number": 7, "title": "The infrastructure of prod has drifted"},
    {"number": 9, "title": "The infrastructure of dev has drifted"},
]


def night(folder: Path, *, changes: bool) -> int:
    (folder / "changes").write_text(f"{str(changes).lower()}\n")
    (folder / "summary.md").write_text("### Plan for dev\n\n1 to update.\n")
    return drift_issue.main(["dev", "--folder", str(folder)])


def test_the_first_night_opens_one_issue(commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUN_URL", "https://github.example/run/1")
    commands.answer({"to": "issue list", "stdout": json.dumps(OPEN[:1])})
    assert night(tmp_path, changes=True) == 0
    (create,) = [call for call in commands.calls if call[1:3] == ["issue", "create"]]
    text = create[create.index("--body") + 1]
    assert "1 to update." in text
    assert "infra-apply" in text
    assert "https://github.example/run/1" in text
    assert create[create.index("--title") + 1] == OPEN[1]["title"]


def test_later_nights_bring_it_up_to_date(commands: Commands, tmp_path: Path) -> None:
    commands.answer({"to": "issue list", "stdout": json.dumps(OPEN)})
    assert night(tmp_path, changes=True) == 0
    assert [call[1:4] for call in commands.calls[1:]] == [["issue", "edit", "9"]]


def test_a_night_without_drift_closes_it(commands: Commands, tmp_path: Path) -> None:
    commands.answer({"to": "issue list", "stdout": json.dumps(OPEN)})
    assert night(tmp_path, changes=False) == 0
    assert [call[1:4] for call in commands.calls[1:]] == [["issue", "close", "9"]]


def test_without_drift_and_issue_nothing_is_written(commands: Commands, tmp_path: Path) -> None:
    commands.answer({"to": "issue list", "stdout": "[]"})
    assert night(tmp_path, changes=False) == 0
    assert len(commands.calls) == 1


def test_a_refusal_of_github_fails_the_job(commands: Commands, tmp_path: Path) -> None:
    commands.answer({"to": "issue list", "status": 1, "stderr": "HTTP 403"})
    assert night(tmp_path, changes=True) == 1


def runs(*states: tuple[int, str, str]) -> str:
    return json.dumps(
        [{"databaseId": number, "status": status, "conclusion": end, "url": "u"} for number, status, end in states]
    )


def wait(*more: str) -> int:
    return wait_for_checks.main(["abc", "--poll-seconds", "0.01", *more])


def test_checks_that_run_are_waited_for(commands: Commands) -> None:
    commands.answer(
        {"to": "run list", "times": 1, "stdout": "[]"},
        {"to": "run list", "times": 1, "status": 1, "stderr": "HTTP 502"},
        {"to": "run list", "times": 1, "stdout": runs((1, "in_progress", ""))},
        {"to": "run list", "stdout": runs((1, "completed", "success"))},
    )
    assert wait() == 0
    assert len(commands.calls) == 4
    assert "--branch main --commit abc --event push" in commands.lines[0]


@pytest.mark.parametrize("end", ["failure", "cancelled", "timed_out", "skipped"])
def test_checks_that_did_not_pass_stop_the_delivery(commands: Commands, end: str) -> None:
    commands.answer({"to": "run list", "stdout": runs((1, "completed", end))})
    assert wait() == 1


def test_the_newest_run_counts(commands: Commands) -> None:
    commands.answer({"to": "run list", "stdout": runs((1, "completed", "success"), (2, "completed", "failure"))})
    assert wait() == 1


@pytest.mark.parametrize("listed", ["[]", runs((1, "queued", ""))])
def test_checks_that_never_end_are_not_waited_for_for_ever(commands: Commands, listed: str) -> None:
    commands.answer({"to": "run list", "stdout": listed})
    assert wait("--minutes", "0.001") == 1


CHANGELOG = """\
# Changelog

## Unreleased

- Later.

## [1.4.0] - 2026-11-20

- New: one thing.

### Fixed

- Another.

## 1.3.0

- Old.

## 1.2.0

"""


@pytest.mark.parametrize(
    ("tag", "expected"), [("v1.4.0", "- New: one thing.\n\n### Fixed\n\n- Another.\n"), ("v1.3.0", "- Old.\n")]
)
def test_notes_are_the_part_of_the_tag(tag: str, expected: str) -> None:
    assert release_notes.notes(tag, CHANGELOG) == expected


@pytest.mark.parametrize("tag", ["v1.2.0", "v9.9.9", "v1.4", "1.4.0", "vUnreleased", "v1.4.0;x"])
def test_a_tag_without_notes_is_refused(tag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text(CHANGELOG)
    assert release_notes.main([tag, "--changelog", str(changelog)]) == 1
    assert tag.removeprefix("v") in capsys.readouterr().err


def test_the_changelog_of_this_repository_has_headings_that_are_found() -> None:
    text = (ROOT / "CHANGELOG.md").read_text().replace("## Unreleased", "## 0.1.0")
    assert release_notes.notes("v0.1.0", text).startswith(("- ", "### "))
