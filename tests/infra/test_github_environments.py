"""The rules of the GitHub environments: set by the bootstrap, kept where somebody chose others, said where refused."""

from typing import Any

import pytest
from scripts.infra import github_environments as script
from scripts.infra.commands import CommandFailed, Output
from scripts.infra.project import Project

from .fake_cloud import FakeCloud

REPOSITORY = "repos/owner/name"


def made(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch, environment: str = "prod") -> dict[str, Any]:
    monkeypatch.setattr(script, "run", cloud)
    project = Project("example-project", environment, repository="owner/name")
    script.make_environments(project)
    script.protect_refs(project)
    return {path.removeprefix(f"{REPOSITORY}/environments/"): body for path, body in cloud.github}


def policies(cloud: FakeCloud, environment: str) -> list[tuple[str, str]]:
    path = f"{REPOSITORY}/environments/{environment}/deployment-branch-policies"
    return sorted((body["type"], body["name"]) for posted, body in cloud.github if posted == path)


def test_an_environment_lets_in_its_branch_or_its_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud()
    bodies = made(cloud, monkeypatch)
    limited = {"protected_branches": False, "custom_branch_policies": True}
    assert bodies["prod"]["deployment_branch_policy"] == bodies["infra-prod"]["deployment_branch_policy"] == limited
    assert bodies["plan-prod"]["deployment_branch_policy"] is None
    assert policies(cloud, "prod") == [("tag", "v*")]
    assert policies(cloud, "infra-prod") == policies(cloud, "approval-prod") == [("branch", "main")]
    assert policies(cloud, "plan-prod") == []


def test_dev_is_deployed_from_main_without_an_approval(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud()
    bodies = made(cloud, monkeypatch, "dev")
    assert policies(cloud, "dev") == [("branch", "main")]
    assert bodies["dev"]["reviewers"] == []
    assert bodies["approval-dev"]["reviewers"] == [{"type": "User", "id": 42}]


def test_whoever_runs_it_is_asked_unless_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = made(FakeCloud(), monkeypatch)
    assert bodies["prod"]["reviewers"] == bodies["approval-prod"]["reviewers"] == [{"type": "User", "id": 42}]
    chosen = [{"type": "Team", "reviewer": {"id": 7}}]
    assert made(FakeCloud(reviewers=chosen), monkeypatch)["prod"]["reviewers"] == [{"type": "Team", "id": 7}]


@pytest.mark.parametrize(
    ("refused", "kept"),
    [
        (("reviewers",), {"deployment_branch_policy"}),
        (("reviewers", "deployment_branch_policy"), set()),
    ],
    ids=["reviewers", "everything"],
)
def test_what_the_plan_of_the_repository_refuses_is_said(
    refused: tuple[str, ...],
    kept: set[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bodies = made(FakeCloud(refused_by_github=refused), monkeypatch)
    assert set(bodies["prod"]) == kept
    said = capsys.readouterr().out
    assert f"WITHOUT RULES: GitHub refused {' and '.join(refused)} of the environment prod: the billing plan" in said


def test_refused_rulesets_are_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made(FakeCloud(refused_by_github=("rules",)), monkeypatch)
    assert capsys.readouterr().out.count("WITHOUT RULES: GitHub refused ruleset for ") == 2


def test_main_and_release_tags_are_protected_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud()
    made(cloud, monkeypatch)
    made(cloud, monkeypatch)
    rulesets = {body["name"]: body for _, body in cloud.github if "rules" in body}
    assert len([body for _, body in cloud.github if "rules" in body]) == 2
    assert rulesets["release tags"]["conditions"]["ref_name"]["include"] == ["refs/tags/v*"]
    assert {"creation", "update"} <= {rule["type"] for rule in rulesets["release tags"]["rules"]}
    assert {"pull_request", "non_fast_forward"} <= {rule["type"] for rule in rulesets["main"]["rules"]}
    assert {body["enforcement"] for body in rulesets.values()} == {"active"}


def test_an_environment_that_github_refuses_whole_stops_the_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud()
    monkeypatch.setattr(cloud, "_github", lambda _: Output("", "404", 1))
    with pytest.raises(CommandFailed, match="made no environment dev: 404"):
        made(cloud, monkeypatch, "dev")
