"""Remove two things that Google adds to each new project and this system never uses: default network and account.

The network lets SSH and RDP in from everywhere, and the account is an editor of the project. A project in which
something already runs on them is left as it is, and a person is told.
"""

from typing import Any

from scripts.infra.commands import run, say
from scripts.infra.project import Project, gcloud_json

FIREWALL_RULES = {"default-allow-icmp", "default-allow-internal", "default-allow-rdp", "default-allow-ssh"}
"""The rules that come with the default network; another one means that somebody uses it."""


def remove_default_network(project: Project) -> None:
    """Delete the network `default` and its firewall rules, unless something is in it."""
    scope = f"--project={project.project_id}"
    networks = gcloud_json("compute", "networks", "list", "--filter=name=default", scope) or []
    if not networks:
        return
    listed = gcloud_json("compute", "firewall-rules", "list", "--filter=network~/default$", scope) or []
    rules = sorted(each["name"] for each in listed)
    if networks[0].get("peerings") or not set(rules) <= FIREWALL_RULES or _instances(project):
        say(f"The network `default` of {project.project_id} is in use and stays, open to SSH from everywhere.")
        return
    if rules:
        run(["gcloud", "compute", "firewall-rules", "delete", *rules, scope, "--quiet"])
    run(["gcloud", "compute", "networks", "delete", "default", scope, "--quiet"])


def disable_default_account(project: Project) -> None:
    """Take the role of an editor from Compute Engine's default account and disable it, unless something runs as it."""
    scope = f"--project={project.project_id}"
    described: dict[str, Any] = gcloud_json("projects", "describe", project.project_id)
    email = f"{described['projectNumber']}-compute@developer.gserviceaccount.com"
    found = run(
        ["gcloud", "iam", "service-accounts", "describe", email, scope, "--format=value(disabled)"], check=False
    )
    if found.code:
        return
    if _runs_something(project, email):
        say(f"{email} is in use and stays an editor of {project.project_id}: give what runs as it its own account.")
        return
    member = f"serviceAccount:{email}"
    policy = gcloud_json("projects", "get-iam-policy", project.project_id)
    editors = [who for each in policy.get("bindings", []) if each["role"] == "roles/editor" for who in each["members"]]
    if member in editors:
        run(
            ["gcloud", "projects", "remove-iam-policy-binding", project.project_id, f"--member={member}",
             "--role=roles/editor", "--condition=None"]
        )  # fmt: skip
    if found.stdout.strip() != "True":
        run(["gcloud", "iam", "service-accounts", "disable", email, scope])


def _instances(project: Project) -> list[dict[str, Any]]:
    return gcloud_json("compute", "instances", "list", f"--project={project.project_id}") or []


def _runs_something(project: Project, email: str) -> bool:
    services = gcloud_json("run", "services", "list", f"--project={project.project_id}") or []
    run_as = {each["spec"]["template"]["spec"].get("serviceAccountName", email) for each in services}
    used = {account["email"] for each in _instances(project) for account in each.get("serviceAccounts", [])}
    return email in run_as | used
