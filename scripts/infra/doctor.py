"""`make doctor PROJECT=…`: list everything that would make a bootstrap fail, each with its fix."""

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.infra.commands import CommandFailed, first_on_path, run, say
from scripts.infra.github_environments import admitted, call_json, environments
from scripts.infra.hcl_blocks import blocks_in
from scripts.infra.org_policies import CONSTRAINTS, effective_rules
from scripts.infra.project import ENVIRONMENTS, IMAGES, ROOT, TERRAFORM, gcloud_json, project_id_argument

PROGRAMS = ("gcloud", "gh", "terraform", "docker")
APIS = (
    "artifactregistry", "billingbudgets", "cloudbilling", "cloudresourcemanager", "cloudscheduler", "compute",
    "containerscanning", "iam", "iamcredentials", "logging", "monitoring", "pubsub", "run", "secretmanager",
    "servicenetworking", "serviceusage", "sqladmin", "storage", "sts",
)  # fmt: skip
RUN_CPU_QUOTA = "CpuAllocPerProjectRegion"
"""Cloud Run's quota of CPU that instances hold at once, in thousandths."""

CODE_OWNERS = ".github/CODEOWNERS"
PLACEHOLDER = "@OWNER/"
"""What stands in the repository for the organisation that takes it over."""


@dataclass(frozen=True)
class Subject:
    """What is looked at: a project, its region, its environment, and the repository that deploys to it, if any."""

    project_id: str
    region: str
    environment: str = "dev"
    repository: str = ""


@dataclass(frozen=True)
class Finding:
    """A line of the report: whether it is well, what was looked at, and the fix."""

    well: bool
    what: str
    fix: str = ""


def programs(_: Subject) -> list[Finding]:
    """The programs that bootstrap starts."""
    return [Finding(first_on_path(each) is not None, f"program {each}", f"install {each}") for each in PROGRAMS]


def billing(subject: Subject) -> list[Finding]:
    """The project pays."""
    enabled = bool(gcloud_json("billing", "projects", "describe", subject.project_id).get("billingEnabled"))
    fix = f"gcloud billing projects link {subject.project_id} --billing-account=…"
    return [Finding(enabled, "billing", fix)]


def apis(subject: Subject) -> list[Finding]:
    """Every API is on."""
    listed = gcloud_json("services", "list", "--enabled", f"--project={subject.project_id}")
    enabled = {each["config"]["name"] for each in listed}
    fix = "bootstrap enables it; by hand: gcloud services enable {} --project=" + subject.project_id
    names = [f"{each}.googleapis.com" for each in APIS]
    return [Finding(name in enabled, f"API {name}", fix.format(name)) for name in names]


def roles(subject: Subject) -> list[Finding]:
    """Whoever runs bootstrap owns the project; afterwards nobody needs to."""
    account = run(["gcloud", "config", "get-value", "account"]).stdout.strip()
    policy = gcloud_json("projects", "get-iam-policy", subject.project_id)
    owners = [who for each in policy.get("bindings", []) if each["role"] == "roles/owner" for who in each["members"]]
    member = f"{'serviceAccount' if account.endswith('.gserviceaccount.com') else 'user'}:{account}"
    fix = f"gcloud projects add-iam-policy-binding {subject.project_id} --member={member} --role=roles/owner"
    return [Finding(member in owners, f"role of {account or 'nobody'}", fix)]


def quotas(subject: Subject) -> list[Finding]:
    """Cloud Run has room in the region for all instances of all services."""
    arguments = ("--service=run.googleapis.com", f"--project={subject.project_id}")
    described: dict[str, Any] = gcloud_json("beta", "quotas", "info", "describe", RUN_CPU_QUOTA, *arguments)
    limits = [
        int(each["details"]["value"])
        for each in described.get("dimensionsInfos", [])
        if subject.region in each.get("applicableLocations", [])
    ]
    cpus = min(limits) / 1000 if limits and min(limits) >= 0 else float("inf")
    needed = needed_cpus(subject.environment)
    quota_page = f"https://console.cloud.google.com/iam-admin/quotas?project={subject.project_id}"
    fix = f"ask for more Cloud Run CPU in {subject.region} at {quota_page}"
    return [Finding(cpus >= needed, f"{cpus:g} CPUs of Cloud Run in {subject.region}, {needed} wanted", fix)]


def needed_cpus(environment: str, folder: Path = TERRAFORM) -> int:
    """Return the vCPUs of an environment's services, each with as many instances as it may have."""
    given = (folder / "environments" / f"{environment}.tfvars").read_text()
    own = {block.labels[0]: block.text for block in blocks_in(folder / "stack", "variable")}
    shared = {block.labels[0]: block.text for block in blocks_in(folder / "modules" / "run_service", "variable")}

    def setting(service: str, name: str) -> int:
        of_environment = re.search(rf"^{service} = {{\n(.*?)^}}", given, re.MULTILINE | re.DOTALL)
        for text in (of_environment[1] if of_environment else "", own[service], shared["container"]):
            if found := re.search(rf'^ +{name} += (?:optional\(\w+, )?"?(\d+)', text, re.MULTILINE):
                return int(found[1])
        raise CommandFailed(f"{environment}: {service} has no {name}")

    return sum(setting(service, "max_instances") * setting(service, "cpu") for service in IMAGES)


def policies(subject: Subject) -> list[Finding]:
    """No organisation policy stands in the way, wherever it is set."""
    findings = []
    for constraint in CONSTRAINTS:
        try:
            blocks = constraint.blocks(effective_rules(subject.project_id, constraint.name), subject.region)
            findings.append(Finding(not blocks, f"policy {constraint.name}", constraint.fix))
        except CommandFailed as failure:
            fix = f"could not look (gcloud services enable orgpolicy.googleapis.com): {_reason(failure)}"
            findings.append(Finding(well=False, what=f"policy {constraint.name}", fix=fix))
    return findings


def github(subject: Subject) -> list[Finding]:
    """The GitHub environments have their rules; bootstrap sets them where GitHub lets it."""
    if not subject.repository:
        return []
    findings = []
    for name, rules in environments(subject.environment).items():
        path = f"repos/{subject.repository}/environments/{name}"
        made = call_json(path, "GET", check=False)
        where = f"https://github.com/{subject.repository}/settings/environments"
        if made is None:
            findings.append(Finding(False, f"environment {name}", "it is not there yet: make bootstrap"))
            continue
        asks = any(each.get("type") == "required_reviewers" for each in made.get("protection_rules", []))
        for kind, wanted in (("branch", rules.branches), ("tag", rules.tags)):
            if rules.is_limited:
                limited = bool(made.get("deployment_branch_policy")) and admitted(path, kind) == set(wanted)
                shown = ", ".join(wanted) or "none"
                fix = f"limit it to the {kind} {shown} at {where}"
                findings.append(Finding(limited, f"environment {name}, {kind}: {shown}", fix))
        if rules.reviewed:
            findings.append(Finding(asks, f"environment {name}, reviewers", f"say who approves at {where}"))
    return findings


def code_owners(subject: Subject) -> list[Finding]:
    """Whoever is to be asked about a change exists at GitHub and may write."""
    invented = sorted(set(re.findall(rf"{PLACEHOLDER}\S*", (ROOT / CODE_OWNERS).read_text())))
    seen = [f"{each} stands for your own team" for each in invented]
    if subject.repository:
        answered = call_json(f"repos/{subject.repository}/codeowners/errors", "GET")
        seen += [f"line {each['line']}: {each['kind']}" for each in answered["errors"]]
    return [Finding(not seen, f"owners in {CODE_OWNERS}", f"correct it on the default branch ({'; '.join(seen)})")]


CHECKS: tuple[Callable[[Subject], list[Finding]], ...] = (
    programs,
    billing,
    apis,
    roles,
    quotas,
    policies,
    github,
    code_owners,
)


def examine(subject: Subject) -> list[Finding]:
    """Every finding; a check that cannot look is a finding itself."""
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings += check(subject)
        except CommandFailed as failure:
            findings.append(Finding(well=False, what=check.__name__, fix=f"could not look: {_reason(failure)}"))
    return findings


def _reason(failure: CommandFailed) -> str:
    """The line that says it: gcloud explains itself for many lines before and after."""
    lines = str(failure).splitlines()
    return next((line for line in lines if line.startswith("ERROR:")), lines[-1])


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("project_id", type=project_id_argument)
    parser.add_argument("--region", default="europe-west1")
    parser.add_argument("--environment", choices=ENVIRONMENTS, default="dev")
    parser.add_argument("--repository", default="", help="owner/name at GitHub; without it GitHub is not asked")
    options = parser.parse_args(arguments)
    findings = examine(Subject(options.project_id, options.region, options.environment, options.repository))
    for each in findings:
        say(f"ok    {each.what}" if each.well else f"FIX   {each.what}: {each.fix}")
    return 0 if all(each.well for each in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
