"""What a plan's summary says and refuses, and how the stack is planned and applied."""

import json
from pathlib import Path
from typing import Any

import pytest
from scripts.delivery import plan_summary, stack

from .conftest import Commands

KEPT = ["google_sql_database", "google_sql_database_instance", "google_storage_bucket"]
IMAGE = "europe-west1-docker.pkg.dev/p/images/image-api@sha256:" + "a" * 64


def entry(kind: str, *actions: str, name: str = "this", **change: Any) -> dict[str, Any]:
    return {
        "address": f"module.m.{kind}.{name}", "type": kind, "mode": "managed",
        "change": {"actions": list(actions), **change},
    }  # fmt: skip


def summarise(tmp_path: Path, *entries: dict[str, Any]) -> tuple[int, str]:
    plan, text = tmp_path / "plan.json", tmp_path / "summary.md"
    plan.write_text(json.dumps({"resource_changes": entries}))
    status = plan_summary.main([str(plan), "--title", "prod", "--markdown", str(text)])
    return status, text.read_text()


@pytest.mark.parametrize("kind", KEPT)
@pytest.mark.parametrize("actions", [("delete",), ("delete", "create"), ("create", "delete")])
def test_taking_away_what_holds_data_is_refused(tmp_path: Path, kind: str, actions: tuple[str, ...]) -> None:
    status, text = summarise(tmp_path, entry("google_pubsub_topic", "create"), entry(kind, *actions))
    assert status == 3
    assert "Refused" in text
    assert text.count(f"`module.m.{kind}.this`") == 2


@pytest.mark.parametrize("kind", KEPT)
@pytest.mark.parametrize("actions", [("create",), ("update",), ("no-op",), ("read",), ("forget",)])
def test_everything_else_of_them_is_let_through(tmp_path: Path, kind: str, actions: tuple[str, ...]) -> None:
    assert summarise(tmp_path, entry(kind, *actions))[0] == 0


def test_deleting_what_holds_no_data_is_let_through(tmp_path: Path) -> None:
    status, text = summarise(tmp_path, entry("google_pubsub_topic", "delete"))
    assert (status, "1 to delete." in text) == (0, True)


def test_an_update_names_its_arguments_and_shows_no_value(tmp_path: Path) -> None:
    before, after = {"labels": {"a": "secret-1"}, "name": "same"}, {"labels": {"a": "secret-2"}, "name": "same"}
    change = entry("google_storage_bucket", "update", before=before, after=after, after_unknown={"etag": True})
    _, text = summarise(tmp_path, change)
    assert "| update | `module.m.google_storage_bucket.this` | `etag`, `labels` |" in text
    assert "secret" not in text


def test_nothing_to_do_is_said(tmp_path: Path) -> None:
    assert summarise(tmp_path, entry("google_pubsub_topic", "no-op"))[1].endswith("No changes.\n")


def test_an_output_that_changes_is_named(tmp_path: Path) -> None:
    plan, text = tmp_path / "plan.json", tmp_path / "summary.md"
    outputs = {"api_url": {"actions": ["update"]}, "network_name": {"actions": ["no-op"]}}
    plan.write_text(json.dumps({"output_changes": outputs}))
    assert plan_summary.main([str(plan), "--title", "dev", "--markdown", str(text)]) == 0
    assert "Outputs that change: `api_url`." in text.read_text()
    assert "network_name" not in text.read_text()


def test_reading_data_is_no_change(tmp_path: Path) -> None:
    read = {**entry("google_project", "read"), "mode": "data"}
    assert "No changes." in summarise(tmp_path, read)[1]


def test_an_address_cannot_leave_its_cell(tmp_path: Path) -> None:
    _, text = summarise(tmp_path, entry("google_pubsub_topic", "create", name='x["`|\n## heading"]'))
    (row,) = [line for line in text.splitlines() if line.startswith("| create")]
    assert row.count("`") == 2
    assert row.replace("\\|", "").count("|") == 4


def test_a_long_plan_is_cut_and_says_so(tmp_path: Path) -> None:
    topics = [entry("google_pubsub_topic", "create", name=f"t{number}") for number in range(130)]
    _, text = summarise(tmp_path, *topics, entry("google_storage_bucket", "delete"))
    assert "And 31 more" in text
    assert text.index("google_storage_bucket") < text.index("google_pubsub_topic")


@pytest.fixture
def workflow(commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """The variables of a GitHub environment, and services that run."""
    for name, value in {
        "GCP_PROJECT_ID": "project", "GCP_REGION": "europe-west1", "TERRAFORM_STATE_BUCKET": "project-terraform",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    described = json.dumps({"spec": {"template": {"spec": {"containers": [{"image": IMAGE}]}}}})
    commands.answer(
        {"to": "run services describe", "stdout": described},
        {"to": " plan ", "status": 2},
        {"to": " show ", "stdout": '{"resource_changes": []}'},
    )
    return commands


def test_a_plan_keeps_itself_and_says_whether_it_changes_anything(workflow: Commands, tmp_path: Path) -> None:
    assert stack.main(["plan", "dev", "--folder", str(tmp_path / "plan"), "--no-lock"]) == 0
    assert (tmp_path / "output").read_text() == "changes=true\n"
    assert (tmp_path / "plan" / "changes").read_text() == "true\n"
    assert json.loads((tmp_path / "plan" / "plan.json").read_text()) == {"resource_changes": []}
    (init,) = [line for line in workflow.lines if " init " in line]
    assert "-backend-config=bucket=project-terraform" in init
    (planned,) = [line for line in workflow.lines if " plan " in line]
    assert "-lock=false" in planned
    assert "environments/dev.tfvars" in planned
    assert "-input=false" in planned


def test_a_plan_without_changes_says_so(workflow: Commands, tmp_path: Path) -> None:
    workflow.answer({"to": "describe", "stdout": '{"spec":{"template":{"spec":{"containers":[{"image":"i"}]}}}}'})
    assert stack.main(["plan", "dev", "--folder", str(tmp_path / "plan")]) == 0
    assert (tmp_path / "output").read_text() == "changes=false\n"
    assert any("-lock=true" in line for line in workflow.lines)


def test_a_failed_plan_fails(workflow: Commands, tmp_path: Path) -> None:
    described = json.dumps({"spec": {"template": {"spec": {"containers": [{"image": IMAGE}]}}}})
    workflow.answer({"to": "describe", "stdout": described}, {"to": " plan ", "status": 1})
    assert stack.main(["plan", "dev", "--folder", str(tmp_path / "plan")]) == 1
    assert not (tmp_path / "output").exists()


def test_an_unknown_environment_or_a_missing_variable_stops_before_terraform(
    workflow: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stack.main(["plan", "staging", "--folder", str(tmp_path)]) == 1
    monkeypatch.delenv("TERRAFORM_STATE_BUCKET")
    assert stack.main(["plan", "dev", "--folder", str(tmp_path)]) == 1
    assert "TERRAFORM_STATE_BUCKET" in capsys.readouterr().err
    assert workflow.calls == []


def test_apply_applies_the_kept_plan_and_nothing_else(workflow: Commands, tmp_path: Path) -> None:
    assert stack.main(["apply", "--folder", str(tmp_path)]) == 0
    assert workflow.calls[-1][-1] == str(tmp_path / "stack.tfplan")
    assert [call[2] for call in workflow.calls] == ["init", "apply"]
