"""What a plan's summary says and refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from scripts.delivery import plan_summary

from .conftest import Commands

KEPT = ["google_sql_database", "google_sql_database_instance", "google_storage_bucket"]


def entry(kind: str, *actions: str, name: str = "this", **change: Any) -> dict[str, Any]:
    return {
        "address": f"module.m.{kind}.{name}", "type": kind, "mode": "managed",
        "change": {"actions": list(actions), **change},
    }  # fmt: skip


class Summarise:
    """Summarises a plan in a folder of its own."""

    def __init__(self, commands: Commands, folder: Path) -> None:
        self._commands, self.folder = commands, folder

    def __call__(self, *entries: dict[str, Any], **more: Any) -> tuple[int, str]:
        shown = json.dumps({"resource_changes": entries, **more})
        self._commands.answer({"to": "terraform -chdir", "stdout": shown})
        status = plan_summary.main(["stack.tfplan", "--title", "prod", "--folder", str(self.folder)])
        return status, (self.folder / "summary.md").read_text()

    @property
    def changes(self) -> str:
        return (self.folder / "changes").read_text().strip()


@pytest.fixture
def summarise(commands: Commands, tmp_path: Path) -> Summarise:
    return Summarise(commands, tmp_path / "plan")


@pytest.mark.parametrize("kind", KEPT)
@pytest.mark.parametrize("actions", [("delete",), ("delete", "create"), ("create", "delete")])
def test_taking_away_what_holds_data_is_refused(summarise: Summarise, kind: str, actions: tuple[str, ...]) -> None:
    status, text = summarise(entry("google_pubsub_topic", "create"), entry(kind, *actions))
    assert status == 3
    assert "Refused" in text
    assert text.count(f"`module.m.{kind}.this`") == 2


@pytest.mark.parametrize("kind", KEPT)
@pytest.mark.parametrize("actions", [("create",), ("update",), ("no-op",), ("read",), ("forget",)])
def test_everything_else_of_them_is_let_through(summarise: Summarise, kind: str, actions: tuple[str, ...]) -> None:
    assert summarise(entry(kind, *actions))[0] == 0


def test_deleting_what_holds_no_data_is_let_through(summarise: Summarise) -> None:
    status, text = summarise(entry("google_pubsub_topic", "delete"))
    assert (status, "1 to delete." in text) == (0, True)


def test_an_update_names_its_arguments_and_shows_no_value(summarise: Summarise) -> None:
    before, after = {"labels": {"a": "secret-1"}, "name": "same"}, {"labels": {"a": "secret-2"}, "name": "same"}
    change = entry("google_storage_bucket", "update", before=before, after=after, after_unknown={"etag": True})
    _, text = summarise(change)
    assert "| update | `module.m.google_storage_bucket.this` | `etag`, `labels` |" in text
    assert "secret" not in text


def test_nothing_to_do_is_said(summarise: Summarise) -> None:
    assert summarise(entry("google_pubsub_topic", "no-op"))[1].endswith("No changes.\n")
    assert summarise.changes == "false"


def test_an_output_that_changes_is_named_and_counts(summarise: Summarise) -> None:
    outputs = {"api_url": {"actions": ["update"]}, "network_name": {"actions": ["no-op"]}}
    status, text = summarise(output_changes=outputs)
    assert (status, summarise.changes) == (0, "true")
    assert "Outputs that change: `api_url`." in text
    assert "network_name" not in text


def test_reading_data_is_no_change(summarise: Summarise) -> None:
    read = {**entry("google_project", "read"), "mode": "data"}
    assert "No changes." in summarise(read)[1]


def test_an_address_cannot_leave_its_cell(summarise: Summarise) -> None:
    _, text = summarise(entry("google_pubsub_topic", "create", name='x["`|\n## heading"]'))
    (row,) = [line for line in text.splitlines() if line.startswith("| create")]
    assert row.count("`") == 2
    assert row.replace("\\|", "").count("|") == 4


def test_a_long_plan_is_cut_and_says_so(summarise: Summarise) -> None:
    topics = [entry("google_pubsub_topic", "create", name=f"t{number}") for number in range(130)]
    _, text = summarise(*topics, entry("google_storage_bucket", "delete"))
    assert "And 31 more" in text
    assert text.index("google_storage_bucket") < text.index("google_pubsub_topic")


def test_the_summary_is_added_to_the_runs_own(summarise: Summarise, monkeypatch: pytest.MonkeyPatch) -> None:
    page = summarise.folder.parent / "step-summary.md"
    page.write_text("Before.\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    _, text = summarise(entry("google_pubsub_topic", "create"))
    assert page.read_text() == f"Before.\n{text}"


def test_a_plan_that_cannot_be_read_is_not_taken_for_one_without_changes(commands: Commands, tmp_path: Path) -> None:
    commands.answer({"to": "terraform", "status": 1})
    assert plan_summary.main(["stack.tfplan", "--title", "dev", "--folder", str(tmp_path)]) == 1
    assert not (tmp_path / "changes").exists()
