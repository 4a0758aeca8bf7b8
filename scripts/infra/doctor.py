"""`make doctor PROJECT=…`: what would keep the system from being made here, one line each, with the fix."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scripts.infra.commands import CommandFailed, first_on_path, run, say
from scripts.infra.project import gcloud_json, project_id_argument

PROGRAMS = ("gcloud", "gh", "terraform", "docker")
APIS = (
    "artifactregistry", "billingbudgets", "cloudbilling", "cloudresourcemanager", "cloudscheduler", "compute",
    "containerscanning", "iam", "iamcredentials", "logging", "monitoring", "pubsub", "run", "secretmanager",
    "servicenetworking", "serviceusage", "sqladmin", "storage", "sts",
)  # fmt: skip
BLOCKING_POLICIES = {
    "constraints/sql.restrictPublicIp": "",
    "constraints/iam.allowedPolicyMemberDomains": "grants to Google's own group of access logs are refused",
    "constraints/run.allowedIngress": "the API needs the ingress `all`, or the load balancer switched on",
    "constraints/run.managed.requireInvokerIam": "the API must be callable without an identity; keys guard it",
    "constraints/gcp.resourceLocations": "the region must be among the allowed locations",
}
"""Organisation policies that a plan meets only half-way; an empty text means that the system is content with it."""
NEEDED_CPUS = 24
"""Most vCPUs of both services with the variables of prod, rounded up to what a new project is given."""


@dataclass(frozen=True)
class Finding:
    """A line of the report: whether it is well, what was looked at, and the fix."""

    well: bool
    what: str
    fix: str = ""


def programs(_: str, __: str) -> list[Finding]:
    """The programs that bootstrap starts."""
    return [Finding(first_on_path(each) is not None, f"program {each}", f"install {each}") for each in PROGRAMS]


def billing(project_id: str, _: str) -> list[Finding]:
    """The project pays."""
    enabled = bool(gcloud_json("billing", "projects", "describe", project_id).get("billingEnabled"))
    fix = f"gcloud billing projects link {project_id} --billing-account=…"
    return [Finding(enabled, "billing", fix)]


def apis(project_id: str, _: str) -> list[Finding]:
    """Every API is on."""
    listed = gcloud_json("services", "list", "--enabled", f"--project={project_id}")
    enabled = {each["config"]["name"] for each in listed}
    fix = "bootstrap enables it; by hand: gcloud services enable {} --project=" + project_id
    names = [f"{each}.googleapis.com" for each in APIS]
    return [Finding(name in enabled, f"API {name}", fix.format(name)) for name in names]


def roles(project_id: str, _: str) -> list[Finding]:
    """Whoever runs bootstrap owns the project; afterwards nobody needs to."""
    account = run(["gcloud", "config", "get-value", "account"]).stdout.strip()
    policy = gcloud_json("projects", "get-iam-policy", project_id)
    owners = [who for each in policy.get("bindings", []) if each["role"] == "roles/owner" for who in each["members"]]
    member = f"{'serviceAccount' if account.endswith('.gserviceaccount.com') else 'user'}:{account}"
    fix = f"gcloud projects add-iam-policy-binding {project_id} --member={member} --role=roles/owner"
    return [Finding(member in owners, f"role of {account or 'nobody'}", fix)]


def quotas(project_id: str, region: str) -> list[Finding]:
    """The region has room. Cloud Run's own limits are shown in the console only; Compute's tell a new project."""
    described: dict[str, Any] = gcloud_json("compute", "regions", "describe", region, f"--project={project_id}")
    limits = {each["metric"]: each["limit"] - each["usage"] for each in described.get("quotas", [])}
    left = limits.get("CPUS", 0)
    fix = f"ask for more CPUs in {region} at https://console.cloud.google.com/iam-admin/quotas?project={project_id}"
    return [Finding(left >= NEEDED_CPUS, f"{left:g} CPUs left in {region}, {NEEDED_CPUS} wanted", fix)]


def policies(project_id: str, _: str) -> list[Finding]:
    """No organisation policy stands in the way."""
    listed = gcloud_json("resource-manager", "org-policies", "list", f"--project={project_id}") or []
    active = {each["constraint"] for each in listed}
    return [
        Finding(name not in active or not reason, f"policy {name.removeprefix('constraints/')}", reason)
        for name, reason in BLOCKING_POLICIES.items()
    ]


CHECKS: tuple[Callable[[str, str], list[Finding]], ...] = (programs, billing, apis, roles, quotas, policies)


def examine(project_id: str, region: str) -> list[Finding]:
    """Every finding; a check that cannot look is a finding itself."""
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings += check(project_id, region)
        except CommandFailed as failure:
            findings.append(Finding(well=False, what=check.__name__, fix=f"could not look: {_reason(failure)}"))
    return findings


def _reason(failure: CommandFailed) -> str:
    """The line that says it: gcloud explains itself for many lines before and after."""
    lines = str(failure).splitlines()
    return next((line for line in lines if line.startswith("ERROR:")), lines[-1])


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("project_id", type=project_id_argument)
    parser.add_argument("--region", default="europe-west1")
    options = parser.parse_args(arguments)
    findings = examine(options.project_id, options.region)
    for each in findings:
        say(f"ok    {each.what}" if each.well else f"FIX   {each.what}: {each.fix}")
    return 0 if all(each.well for each in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
