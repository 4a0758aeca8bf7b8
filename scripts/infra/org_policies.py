"""Organisation policies that would keep the system from being made, as they hold for one project in the end.

A policy is mostly set on the organisation or a folder. Only the effective one tells what a project meets, and it has to
be asked for constraint by constraint.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scripts.infra.project import gcloud_json

Rules = list[dict[str, Any]]


def _enforced(rules: Rules, _: str) -> bool:
    return any(rule.get("enforce") for rule in rules)


def _anything_denied(rules: Rules, _: str) -> bool:
    return any(rule.get("denyAll") or rule.get("values", {}).get("deniedValues") for rule in rules)


def _anything_but_all(rules: Rules, _: str) -> bool:
    return bool(rules) and not any(rule.get("allowAll") for rule in rules)


def _refuses(*values: str) -> Callable[[Rules, str], bool]:
    """Return whether a list refuses any of these values. `{region}` stands for the region."""

    def refuses(rules: Rules, region: str) -> bool:
        wanted = [value.format(region=region) for value in values]
        return any(_refused_by(rule, value) for rule in rules for value in wanted)

    return refuses


def _refused_by(rule: dict[str, Any], value: str) -> bool:
    if rule.get("denyAll"):
        return True
    listed = rule.get("values", {})
    allowed, denied = (
        {each.removeprefix("is:") for each in listed.get(kind, [])} for kind in ("allowedValues", "deniedValues")
    )
    # A group such as `in:europe-locations` or `under:organizations/1` may hold the value; who set it knows.
    grouped = any(":" in each and not each.startswith("https:") for each in allowed)
    return value in denied or (bool(allowed) and value not in allowed and not grouped)


@dataclass(frozen=True)
class Constraint:
    """A constraint, whether its effective rules keep the system from being made, and what to do then."""

    name: str
    blocks: Callable[[Rules, str], bool]
    fix: str


SERVICES = ("run.googleapis.com", "sqladmin.googleapis.com", "storage.googleapis.com", "pubsub.googleapis.com")
CONSTRAINTS = (
    Constraint("sql.restrictPublicIp", lambda _rules, _region: False, ""),
    Constraint(
        "iam.allowedPolicyMemberDomains", _anything_but_all,
        "grants to Google's own group of access logs are refused: allow its customer id, C02h8e9nw",
    ),
    Constraint(
        "iam.managed.allowedPolicyMembers", _enforced,
        "grants to Google's own group of access logs and to the federation's pool are refused: allow both",
    ),
    Constraint("run.allowedIngress", _refuses("all"), "the API needs the ingress `all`, or edge.exclusive"),
    Constraint(
        "run.managed.requireInvokerIam", _enforced,
        "the API must be callable without an identity; keys guard it",
    ),
    Constraint("run.allowedVPCEgress", _refuses("private-ranges-only"), "services reach the database by it"),
    Constraint("gcp.resourceLocations", _refuses("{region}"), "the region must be among the allowed locations"),
    Constraint("gcp.restrictServiceUsage", _refuses(*SERVICES), "the system's APIs must be among those allowed"),
    Constraint(
        "gcp.restrictNonCmekServices", _anything_denied,
        "set kms_key, or take the services of the system from the list",
    ),
    Constraint(
        "compute.restrictVpcPeering", _anything_but_all,
        "Cloud SQL's private address is a peering with servicenetworking.googleapis.com's project: allow it",
    ),
    Constraint(
        "iam.workloadIdentityPoolProviders", _refuses("https://token.actions.githubusercontent.com"),
        "the workflows' identities come from GitHub: allow https://token.actions.githubusercontent.com",
    ),
    Constraint(
        "iam.disableServiceAccountCreation", _enforced,
        "each service has an account of its own",
    ),
    Constraint(
        "compute.disableGlobalLoadBalancing", _enforced,
        "the load balancer (edge.enabled) is a global one",
    ),
)  # fmt: skip


def effective_rules(project_id: str, constraint: str) -> Rules:
    """Return the rules of a constraint as they hold for a project. Raises `CommandFailed`."""
    described = gcloud_json("org-policies", "describe", constraint, "--effective", f"--project={project_id}") or {}
    rules: Rules = described.get("spec", {}).get("rules", [])
    return rules
