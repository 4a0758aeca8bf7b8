"""Doctor: one line for each thing, and with each that is not well its fix."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from scripts.infra import doctor
from scripts.infra import project as project_script
from scripts.infra.commands import CommandFailed, Output

WELL: dict[str, Any] = {
    "gcloud billing projects describe": {"billingEnabled": True},
    "gcloud services list": [{"config": {"name": f"{name}.googleapis.com"}} for name in doctor.APIS],
    "gcloud config get-value account": "somebody@example.com",
    "gcloud projects get-iam-policy": {"bindings": [{"role": "roles/owner", "members": ["user:somebody@example.com"]}]},
    "gcloud compute regions describe": {"quotas": [{"metric": "CPUS", "limit": 72.0, "usage": 2.0}]},
    "gcloud resource-manager org-policies list": [],
}


def _plain(text: str) -> str:
    return text.replace("-", " ").replace("_", " ")


def examined(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> dict[str, doctor.Finding]:
    answers = {_plain(key): value for key, value in (WELL | changed).items()}

    def run(command: Sequence[str], **_: Any) -> Output:
        line = " ".join(command)
        answer = next(
            value
            for beginning, value in answers.items()
            if line.replace("-", " ").startswith(beginning.replace("-", " "))
        )
        if isinstance(answer, Exception):
            raise answer
        return Output(answer if isinstance(answer, str) else json.dumps(answer), "", 0)

    monkeypatch.setattr(doctor, "run", run)
    monkeypatch.setattr(project_script, "run", run)
    monkeypatch.setattr(doctor, "first_on_path", lambda program: f"/usr/bin/{program}")
    return {each.what: each for each in doctor.examine("example-project", "europe-west1")}


def test_project_in_order_has_nothing_to_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(each.well for each in examined(monkeypatch).values())


def test_missing_billing_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, gcloud_billing_projects_describe={"billingEnabled": False})["billing"]
    assert not found.well
    assert "gcloud billing projects link example-project" in found.fix


def test_missing_api_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, gcloud_services_list=[])["API run.googleapis.com"]
    assert found.fix.endswith("gcloud services enable run.googleapis.com --project=example-project")


def test_missing_role_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, gcloud_projects_get_iam_policy={"bindings": []})["role of somebody@example.com"]
    assert "--role=roles/owner" in found.fix


def test_small_quota_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = examined(
        monkeypatch, gcloud_compute_regions_describe={"quotas": [{"metric": "CPUS", "limit": 8.0, "usage": 0.0}]}
    )
    assert not findings["8 CPUs left in europe-west1, 24 wanted"].well


def test_policy_in_the_way_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [{"constraint": "constraints/run.allowedIngress"}, {"constraint": "constraints/sql.restrictPublicIp"}]
    findings = examined(monkeypatch, gcloud_resource_manager_org_policies_list=listed)
    assert not findings["policy run.allowedIngress"].well
    assert findings["policy sql.restrictPublicIp"].well


def test_check_that_cannot_look_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "gcloud services list ended with 1\nAPI not enabled\nERROR: (gcloud) permission denied\n- links:"
    findings = examined(monkeypatch, gcloud_services_list=CommandFailed(said))
    assert findings["apis"].fix == "could not look: ERROR: (gcloud) permission denied"


def test_a_service_account_owns_a_project_by_its_own_kind_of_name(monkeypatch: pytest.MonkeyPatch) -> None:
    account = "maker@example-project.iam.gserviceaccount.com"
    policy = {"bindings": [{"role": "roles/owner", "members": [f"serviceAccount:{account}"]}]}
    changed = {"gcloud_config_get_value_account": account, "gcloud_projects_get_iam_policy": policy}
    assert examined(monkeypatch, **changed)[f"role of {account}"].well


def test_apis_are_those_that_terraform_enables() -> None:
    terraform = Path(doctor.__file__).parents[2] / "terraform"
    text = "".join((terraform / folder / "apis.tf").read_text() for folder in ("bootstrap", "stack"))
    assert set(doctor.APIS) == set(re.findall(r'"(\w+)\.googleapis\.com"', text))
