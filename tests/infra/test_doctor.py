"""Doctor: one line for each thing, and with each that is not well its fix."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from scripts.infra import doctor, github_environments, org_policies
from scripts.infra import project as project_script
from scripts.infra.commands import CommandFailed, Output

ONLY_MAIN = {"branch_policies": [{"name": "main", "type": "branch"}]}
SUBJECT = doctor.Subject("example-project", "europe-west1", "prod", "owner/name")
WELL: dict[str, Any] = {
    "gcloud billing projects describe": {"billingEnabled": True},
    "gcloud services list": [{"config": {"name": f"{name}.googleapis.com"}} for name in doctor.APIS],
    "gcloud config get-value account": "somebody@example.com",
    "gcloud projects get-iam-policy": {"bindings": [{"role": "roles/owner", "members": ["user:somebody@example.com"]}]},
    "gcloud beta quotas info describe": {
        "dimensionsInfos": [
            {"applicableLocations": ["us-central1"], "details": {"value": "1000"}},
            {"applicableLocations": ["europe-west1"], "details": {"value": "200000"}},
        ]
    },
    "gcloud org-policies describe": {"spec": {"rules": [{"allowAll": True}]}},
    "gh api --method GET repos/owner/name/environments/prod/deployment-branch-policies": {
        "branch_policies": [{"name": "v*", "type": "tag"}]
    },
    "gh api --method GET repos/owner/name/environments/infra-prod/deployment-branch-policies": ONLY_MAIN,
    "gh api --method GET repos/owner/name/environments/approval-prod/deployment-branch-policies": ONLY_MAIN,
    "gh api --method GET repos/owner/name/codeowners/errors": {"errors": []},
    "gh api --method GET repos/owner/name/environments/": {
        "deployment_branch_policy": {"custom_branch_policies": True},
        "protection_rules": [{"type": "required_reviewers"}],
    },
}


@pytest.fixture(autouse=True)
def code_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that whoever took the repository over has changed, or not."""
    file = tmp_path / doctor.CODE_OWNERS
    file.parent.mkdir()
    file.write_text("* @somebody/maintainers\n")
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    return file


def _plain(text: str) -> str:
    return text.replace("-", " ").replace("_", " ")


def examined(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> dict[str, doctor.Finding]:
    answers = {_plain(key): value for key, value in changed.items()} | {
        _plain(key): value for key, value in WELL.items() if _plain(key) not in map(_plain, changed)
    }

    def run(command: Sequence[str], **_: Any) -> Output:
        line = " ".join(command)
        answer = next(value for beginning, value in answers.items() if _plain(line).startswith(beginning))
        if isinstance(answer, Exception):
            raise answer
        return Output(answer if isinstance(answer, str) else json.dumps(answer), "", 0)

    monkeypatch.setattr(doctor, "run", run)
    monkeypatch.setattr(github_environments, "run", run)
    monkeypatch.setattr(project_script, "run", run)
    monkeypatch.setattr(doctor, "first_on_path", lambda program: f"/usr/bin/{program}")
    return {each.what: each for each in doctor.examine(SUBJECT)}


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


def test_small_quota_of_cloud_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    info = {"dimensionsInfos": [{"applicableLocations": ["europe-west1"], "details": {"value": "8000"}}]}
    findings = examined(monkeypatch, gcloud_beta_quotas_info_describe=info)
    assert not findings["8 CPUs of Cloud Run in europe-west1, 68 wanted"].well


def test_quota_without_a_limit_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    info = {"dimensionsInfos": [{"applicableLocations": ["europe-west1"], "details": {"value": "-1"}}]}
    findings = examined(monkeypatch, gcloud_beta_quotas_info_describe=info)
    assert findings["inf CPUs of Cloud Run in europe-west1, 68 wanted"].well


def test_needed_cpus_are_those_of_all_instances_of_all_services() -> None:
    assert {name: doctor.needed_cpus(name) for name in project_script.ENVIRONMENTS} == {
        "dev": 9,
        "small": 13,
        "prod": 68,
    }


def test_cpus_are_those_of_the_environment_then_of_the_stack_then_of_any_service(tmp_path: Path) -> None:
    for kind in ("stack", "modules"):
        (tmp_path / kind).symlink_to(project_script.TERRAFORM / kind)
    (tmp_path / "environments").mkdir()
    values = 'api = {\n  max_instances = 3\n  cpu           = "4"\n}\n\ndelivery = {\n  max_instances = 7\n}\n'
    (tmp_path / "environments" / "other.tfvars").write_text(values)
    # The stack's own numbers: ten processors of two vCPUs, and two of image-tasks, whose one vCPU is any service's.
    assert doctor.needed_cpus("other", tmp_path) == 3 * 4 + 10 * 2 + 2 * 1 + 7 * 1


POLICIES = [
    ("run.allowedIngress", {"values": {"allowedValues": ["internal"]}}, False),
    ("run.allowedIngress", {"values": {"allowedValues": ["is:all"]}}, True),
    ("run.managed.requireInvokerIam", {"enforce": True}, False),
    ("run.managed.requireInvokerIam", {"enforce": False}, True),
    ("run.allowedVPCEgress", {"values": {"allowedValues": ["all-traffic"]}}, False),
    ("gcp.resourceLocations", {"values": {"allowedValues": ["us-east1"]}}, False),
    ("gcp.resourceLocations", {"values": {"allowedValues": ["in:eu-locations"]}}, True),
    ("gcp.restrictServiceUsage", {"values": {"deniedValues": ["pubsub.googleapis.com"]}}, False),
    ("gcp.restrictNonCmekServices", {"values": {"deniedValues": ["storage.googleapis.com"]}}, False),
    ("compute.restrictVpcPeering", {"denyAll": True}, False),
    ("compute.restrictVpcPeering", {"values": {"allowedValues": ["under:organizations/1"]}}, False),
    ("iam.workloadIdentityPoolProviders", {"denyAll": True}, False),
    (
        "iam.workloadIdentityPoolProviders",
        {"values": {"allowedValues": ["https://token.actions.githubusercontent.com"]}},
        True,
    ),
    ("iam.workloadIdentityPoolProviders", {"values": {"allowedValues": ["https://sts.windows.net/x"]}}, False),
    ("iam.allowedPolicyMemberDomains", {"values": {"allowedValues": ["C0xxxxxxx"]}}, False),
    ("iam.managed.allowedPolicyMembers", {"enforce": True}, False),
    ("iam.disableServiceAccountCreation", {"enforce": True}, False),
    ("compute.disableGlobalLoadBalancing", {"enforce": True}, False),
    ("sql.restrictPublicIp", {"enforce": True}, True),
]


@pytest.mark.parametrize(("constraint", "rule", "well"), POLICIES, ids=[f"{name} {well}" for name, _, well in POLICIES])
def test_effective_policy_in_the_way_is_told(
    constraint: str, rule: dict[str, Any], well: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {f"gcloud org-policies describe {constraint} --effective": {"spec": {"rules": [rule]}}}
    finding = examined(monkeypatch, **answer)[f"policy {constraint}"]
    assert finding.well is well
    assert finding.fix or well


def test_every_constraint_that_blocks_is_tried() -> None:
    assert {each.name for each in org_policies.CONSTRAINTS} == {name for name, _, _ in POLICIES}


ENVIRONMENT = "gh api --method GET repos/owner/name/environments/"
LOOSE = [
    ({f"{ENVIRONMENT}infra-prod": {"deployment_branch_policy": None}}, "environment infra-prod, branch: main"),
    ({f"{ENVIRONMENT}approval-prod": {"protection_rules": []}}, "environment approval-prod, reviewers"),
    ({f"{ENVIRONMENT}prod": {"protection_rules": [{"type": "wait_timer"}]}}, "environment prod, reviewers"),
    ({f"{ENVIRONMENT}infra-prod": CommandFailed("HTTP 404")}, "github"),
    (
        {f"{ENVIRONMENT}prod/deployment-branch-policies": {"branch_policies": [{"name": "*", "type": "branch"}]}},
        "environment prod, branch: none",
    ),
]


@pytest.mark.parametrize(("changed", "told"), LOOSE, ids=[told for _, told in LOOSE])
def test_environment_without_its_rules_is_told(
    changed: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = {f"{key}/deployment-branch-policies": ONLY_MAIN for key in changed if key.endswith("-prod")}
    assert not examined(monkeypatch, **policies, **changed)[told].well


def test_without_a_repository_github_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.github(doctor.Subject("example-project", "europe-west1")) == []


def test_owners_whom_github_does_not_know_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = {"line": 3, "column": 22, "kind": "Unknown owner", "source": "* @team/x", "path": ".github/CODEOWNERS"}
    answered = {"gh api --method GET repos/owner/name/codeowners/errors": {"errors": [unknown]}}
    found = examined(monkeypatch, **answered)["owners in .github/CODEOWNERS"]
    assert not found.well
    assert "line 3: Unknown owner" in found.fix


def test_owners_of_the_repository_that_was_taken_over_are_told(code_owners: Path) -> None:
    """Also without GitHub, before the first push."""
    code_owners.write_text("* @OWNER/maintainers\n")
    (found,) = doctor.code_owners(doctor.Subject("example-project", "europe-west1"))
    assert not found.well
    assert "@OWNER/maintainers stands for your own team" in found.fix


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
