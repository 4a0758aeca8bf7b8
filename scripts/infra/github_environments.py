"""Make the GitHub environments of a project, with the rules that keep its accounts from whoever may push a branch.

GitHub lets private repositories have such rules on some plans only. What it refuses is said, and made without: the
federation lets in no other branch, tag or workflow by itself.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.infra.commands import CommandFailed, Output, run, say
from scripts.infra.project import Project

ADMIN_ROLE = 5
"""GitHub's number for the administrators of a repository."""


@dataclass(frozen=True)
class Rules:
    """The branches and tags whose jobs an environment lets in (all if both are empty), and whether it asks somebody."""

    branches: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    reviewed: bool = False

    @property
    def is_limited(self) -> bool:
        """Whether the environment is for some branches or tags only."""
        return bool(self.branches or self.tags)


def environments(environment: str) -> dict[str, Rules]:
    """Return every GitHub environment of an environment, with its rules.

    A tag may be put on any commit, so that a deploy to prod is approved in the environment of its account. An apply is
    from main alone and approved in an environment before it, where nothing waits behind it.
    """
    is_dev = environment == "dev"
    return {
        environment: Rules(branches=("main",)) if is_dev else Rules(tags=("v*",), reviewed=True),
        f"infra-{environment}": Rules(branches=("main",)),
        f"approval-{environment}": Rules(branches=("main",), reviewed=True),
        # A plan runs code of its branch, and may only read.
        f"plan-{environment}": Rules(),
    }


def make_environments(project: Project) -> None:
    """Make or correct each environment. Reviewers whom somebody has chosen stay."""
    for name, rules in environments(project.environment).items():
        path = f"repos/{project.repository}/environments/{name}"
        _put_environment(path, name, rules, _reviewers(path) if rules.reviewed else [])
        for kind, patterns in (("branch", rules.branches), ("tag", rules.tags)):
            for pattern in set(patterns) - admitted(path, kind):
                _try(
                    path + "/deployment-branch-policies", {"name": pattern, "type": kind}, "POST", f"{name}: {pattern}"
                )


def protect_refs(project: Project) -> None:
    """Let only pull requests change main, and only administrators make, move or remove a release's tag."""
    path = f"repos/{project.repository}/rulesets"
    known = call_json(path, "GET") or []
    bypass = {"actor_id": ADMIN_ROLE, "actor_type": "RepositoryRole", "bypass_mode": "always"}
    reviewed = {
        "required_approving_review_count": 0,
        "dismiss_stale_reviews_on_push": False,
        "require_code_owner_review": False,
        "require_last_push_approval": False,
        "required_review_thread_resolution": False,
    }
    rulesets = {
        ("main", "branch", "~DEFAULT_BRANCH"): [
            {"type": "deletion"},
            {"type": "non_fast_forward"},
            {"type": "pull_request", "parameters": reviewed},
        ],
        ("release tags", "tag", "refs/tags/v*"): [{"type": "creation"}, {"type": "update"}, {"type": "deletion"}],
    }
    for (name, target, included), rules in rulesets.items():
        if name not in {each["name"] for each in known}:
            conditions = {"ref_name": {"include": [included], "exclude": []}}
            body = {"name": name, "target": target, "enforcement": "active", "conditions": conditions, "rules": rules}
            _try(path, {**body, "bypass_actors": [bypass]}, "POST", f"ruleset for {name}")


def admitted(path: str, kind: str) -> set[str]:
    """Return the patterns of branches or of tags that an environment lets in."""
    listed = call_json(f"{path}/deployment-branch-policies", "GET", check=False) or {}
    return {each["name"] for each in listed.get("branch_policies", []) if each.get("type", "branch") == kind}


def _put_environment(path: str, name: str, rules: Rules, reviewers: list[dict[str, Any]]) -> None:
    limits = {"protected_branches": False, "custom_branch_policies": True} if rules.is_limited else None
    asked = {"reviewers": reviewers, "deployment_branch_policy": limits}
    attempts: list[dict[str, Any]] = [asked, {"deployment_branch_policy": limits}, {}]
    said = ""
    for body in attempts:
        ended = call(path, "PUT", body, check=False)
        if not ended.code:
            break
        said = said or (ended.stderr or ended.stdout).strip()
    else:
        raise CommandFailed(f"GitHub made no environment {name}: {said}")
    if lost := [key for key in asked if asked[key] and key not in body]:
        say(f"WITHOUT RULES: GitHub refused {' and '.join(lost)} of the environment {name}: {said}")


def _reviewers(path: str) -> list[dict[str, Any]]:
    """Those who are asked already, else whoever runs this."""
    made = call_json(path, "GET", check=False) or {}
    chosen = [
        {"type": each["type"], "id": each["reviewer"]["id"]}
        for rule in made.get("protection_rules", [])
        for each in rule.get("reviewers", [])
    ]
    return chosen or [{"type": "User", "id": call_json("user", "GET")["id"]}]


def _try(path: str, body: dict[str, Any], method: str, what: str) -> None:
    ended = call(path, method, body, check=False)
    if ended.code:
        say(f"WITHOUT RULES: GitHub refused {what}: {(ended.stderr or ended.stdout).strip()}")


def call_json(path: str, method: str, *, check: bool = True) -> Any:
    """Return what GitHub's API answers, or None where it refuses and `check` is off."""
    ended = call(path, method, None, check=check)
    return None if ended.code else json.loads(ended.stdout or "null")


def call(path: str, method: str, body: dict[str, Any] | None, *, check: bool = True) -> Output:
    """Call GitHub's API as whoever is logged in to `gh`.

    Raises:
        CommandFailed: GitHub refused, and `check` is on.
    """
    command = ["gh", "api", "--method", method, path]
    if body is None:
        return run(command, check=check)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "body.json"
        file.write_text(json.dumps(body))
        return run([*command, f"--input={file}"], check=check)
