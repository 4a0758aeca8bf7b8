"""The review of new dependencies against a fake gh."""

import json
from typing import Any

import pytest
from scripts.delivery import dependency_review

from .conftest import Commands

HOLE = {"severity": "high", "advisory_ghsa_id": "GHSA-1", "advisory_summary": "reads files"}


def added(**more: Any) -> dict[str, Any]:
    return {"change_type": "added", "name": "thing", "version": "1.0", "manifest": "uv.lock", **more}


@pytest.fixture(autouse=True)
def repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GH_REPO", "owner/name")


def review(commands: Commands, *changed: dict[str, Any]) -> int:
    commands.answer({"to": "dependency-graph/compare/base...head", "stdout": json.dumps([list(changed)])})
    return dependency_review.main(["base", "head"])


@pytest.mark.parametrize(
    "change",
    [
        added(license="MIT"),
        added(license=None),
        added(vulnerabilities=[{**HOLE, "severity": "moderate"}]),
        {**added(vulnerabilities=[HOLE]), "change_type": "removed"},
    ],
)
def test_a_sound_change_passes(commands: Commands, change: dict[str, Any]) -> None:
    assert review(commands, change) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (added(vulnerabilities=[HOLE]), "thing 1.0 (uv.lock): GHSA-1, high: reads files"),
        (added(vulnerabilities=[{**HOLE, "severity": "critical"}]), "critical"),
        (added(license="AGPL-3.0-only"), "thing 1.0 (uv.lock): under AGPL-3.0-only"),
    ],
)
def test_a_hole_or_a_licence_is_refused(
    commands: Commands, change: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert review(commands, added(), change) == 1
    assert said in capsys.readouterr().out


def test_what_cannot_be_compared_does_not_pass(commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    commands.answer({"to": "compare", "status": 1, "stderr": "Dependency graph is disabled"})
    assert dependency_review.main(["base", "head"]) == 1
    assert "Dependency graph is disabled" in capsys.readouterr().out
