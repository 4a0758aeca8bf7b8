"""`make bootstrap PROJECT=… REPO=…`: create a running system in an empty project, step by step.

Every step first checks whether it is done, so an interrupted bootstrap can be run again. Nothing here
creates a key or a password: the migration job creates the first admin key and stores it in Secret Manager.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.infra import stack
from scripts.infra.commands import CommandFailed, run, say
from scripts.infra.default_resources import disable_default_account, remove_default_network
from scripts.infra.github_environments import make_environments, protect_refs
from scripts.infra.project import (
    BUILT_AS,
    ENVIRONMENTS,
    IMAGES,
    ROOT,
    TERRAFORM,
    Project,
    gcloud_json,
    logged_in_account,
    project_id_argument,
    repository_argument,
    running_images,
)

FIRST_APIS = ("cloudresourcemanager", "iam", "serviceusage", "storage", "pubsub", "artifactregistry")
READY_SECONDS = 300
"""How long the services may take after the migration until they are ready."""


def check_access(project: Project) -> None:
    """Check that gcloud and Terraform are logged in, and that the project exists and has billing."""
    logged_in_account()
    if run(["gcloud", "auth", "application-default", "print-access-token"], check=False).code:
        raise CommandFailed("Terraform has no credentials: run `gcloud auth application-default login`")
    gcloud_json("projects", "describe", project.project_id)
    billing = gcloud_json("billing", "projects", "describe", project.project_id)
    if not billing.get("billingEnabled"):
        raise CommandFailed(
            f"{project.project_id} has no billing account: link one with `gcloud billing projects link`"
        )


def enable_first_apis(project: Project) -> None:
    """Enable the APIs that Terraform needs before it can enable others."""
    services = [f"{name}.googleapis.com" for name in FIRST_APIS]
    run(["gcloud", "services", "enable", *services, f"--project={project.project_id}"])


def make_state_bucket(project: Project) -> None:
    """Create the versioned state bucket, which Terraform manages from its first apply on."""
    url, scope = f"gs://{project.state_bucket}", f"--project={project.project_id}"
    if run(["gcloud", "storage", "buckets", "describe", url, scope], check=False).code:
        run(
            ["gcloud", "storage", "buckets", "create", url, scope, f"--location={project.region}",
             "--uniform-bucket-level-access", "--public-access-prevention"]
        )  # fmt: skip
    # Apart from the creation: a run that stopped between the two must not leave a state without versions.
    run(["gcloud", "storage", "buckets", "update", url, scope, "--versioning"])


def make_pubsub_agent(project: Project) -> None:
    """Create Pub/Sub's service agent, to which the stack grants roles, unless it exists."""
    run(
        ["gcloud", "beta", "services", "identity", "create", "--service=pubsub.googleapis.com",
         f"--project={project.project_id}"]
    )  # fmt: skip


def apply_bootstrap(project: Project) -> None:
    """Apply state bucket, APIs, registry and federation; the first time, import the bucket."""
    folder = project.folder / "bootstrap"
    repository = json.loads(run(["gh", "api", f"repos/{project.repository}"]).stdout)
    numbers = {"repository_id": str(repository["id"]), "repository_owner_id": str(repository["owner"]["id"])}
    variables = [
        f"-var=project_id={project.project_id}",
        f"-var=region={project.region}",
        f"-var=environment={project.environment}",
        f"-var=state_bucket_name={project.state_bucket}",
        f"-var=repository={json.dumps(numbers)}",
        *([f"-var=billing_account={account}"] if (account := project.budget_billing_account) else []),
    ]
    run(
        ["terraform", "init", "-input=false", "-reconfigure", f"-backend-config=bucket={project.state_bucket}"],
        cwd=folder,
    )
    known = run(["terraform", "state", "list"], cwd=folder, check=False).stdout.split()
    if "google_storage_bucket.state" not in known:
        address = ["google_storage_bucket.state", f"{project.project_id}/{project.state_bucket}"]
        run(["terraform", "import", "-input=false", *variables, *address], cwd=folder)
    run(["terraform", "apply", "-input=false", "-auto-approve", *variables], cwd=folder)


def set_github_variables(project: Project) -> None:
    """Create the GitHub environments with their rules and variables. None of them is a secret."""
    make_environments(project)
    protect_refs(project)
    shown = run(["terraform", "output", "-json", "github_variables"], cwd=project.folder / "bootstrap").stdout
    variables: dict[str, str] = json.loads(shown)
    for environment in (project.environment, f"infra-{project.environment}", f"plan-{project.environment}"):
        for name, value in {**variables, "NOTIFICATION_EMAIL": project.notification_email}.items():
            scope = [f"--env={environment}", f"--repo={project.repository}"]
            run(["gh", "variable", "set", name, f"--body={value}", *scope])
    _list_environment(project)


def _list_environment(project: Project) -> None:
    """Add this environment to those that the workflows deliver to."""
    repository = f"--repo={project.repository}"
    variables = json.loads(run(["gh", "variable", "list", "--json=name,value", repository]).stdout)
    known = next((each["value"] for each in variables if each["name"] == "DELIVERY_ENVIRONMENTS"), "[]")
    environments = json.dumps(sorted({*json.loads(known), project.environment}))
    run(["gh", "variable", "set", "DELIVERY_ENVIRONMENTS", f"--body={environments}", repository])


def build_images(project: Project) -> None:
    """Build the first images, unless services already run, and write the local files."""
    images = running_images(project.project_id, project.region)
    if len(images) < len(IMAGES):
        run(["gcloud", "auth", "configure-docker", f"{project.region}-docker.pkg.dev", "--quiet"])
        names = {key: BUILT_AS.get(service, service) for key, service in IMAGES.items()}
        built = {name: _build(project, name) for name in dict.fromkeys(names.values())}
        images = {key: built[name] for key, name in names.items()}
    project.remember(images)


def _build(project: Project, name: str) -> str:
    """Build and push an image under this commit's tag, unless the tag exists; return its name with digest."""
    commit = run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT).stdout.strip()
    image = f"{project.image_repository}/{name}"
    described = [
        "gcloud",
        "artifacts",
        "docker",
        "images",
        "describe",
        f"{image}:{commit}",
        "--format=value(image_summary.digest)",
    ]
    found = run(described, check=False)
    if found.code or not found.stdout.strip():
        dockerfile = f"--file={ROOT / 'apps' / name.replace('-', '_') / 'Dockerfile'}"
        build = ["docker", "build", "--platform=linux/amd64", f"--tag={image}:{commit}", dockerfile, str(ROOT)]
        run(build)
        run(["docker", "push", f"{image}:{commit}"])
        found = run(described)
    return f"{image}@{found.stdout.strip()}"


def apply_stack(project: Project) -> None:
    """Apply the stack. Services are created before their schema exists, and wait for it."""
    with tempfile.TemporaryDirectory() as folder:
        stack.apply(project.environment, Path(folder) / "first.tfplan", confirmed=True)


def migrate(project: Project) -> None:
    """Migrate the schema and store the first admin key in Secret Manager; a second run changes nothing."""
    run(
        ["gcloud", "run", "jobs", "execute", "image-migrate", "--wait", f"--project={project.project_id}",
         f"--region={project.region}"]
    )  # fmt: skip


def wait_until_ready(project: Project) -> None:
    """Wait until every service is ready. Raises `CommandFailed` after five minutes."""
    deadline = time.monotonic() + READY_SECONDS
    for service in IMAGES.values():
        while not _is_ready(project, service):
            if time.monotonic() > deadline:
                raise CommandFailed(f"{service} is not ready after {READY_SECONDS} s: look at its log")
            time.sleep(5)


def _is_ready(project: Project, service: str) -> bool:
    described: dict[str, Any] = gcloud_json(
        "run", "services", "describe", service, f"--project={project.project_id}", f"--region={project.region}"
    )
    conditions = described.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def smoke_test(project: Project) -> None:
    """Send one image through the whole system, with `make smoke`."""
    url = run(["terraform", "output", "-raw", "api_url"], cwd=project.folder / "stack").stdout.strip()
    key = run(
        ["gcloud", "secrets", "versions", "access", "latest", "--secret=image-manager-admin-key",
         f"--project={project.project_id}"]
    ).stdout.strip()  # fmt: skip
    # By the environment: arguments are visible to everybody on a machine.
    run(
        ["make", "smoke", f"URL={url}", "ARGS=--expect-delivery --expect-links"],
        cwd=ROOT,
        env={**os.environ, "IMAGE_MANAGER_KEY": key},
    )


def plan_again(project: Project) -> None:
    """Plan again and report any changes: a plan right after an apply must be empty."""
    with tempfile.TemporaryDirectory() as folder:
        plan_file = Path(folder) / "second.tfplan"
        if not stack.plan(project.environment, plan_file):
            say("The second plan changes nothing.")
            return
        say("The second plan would change again what was just applied; the nightly plan will tell of it too:")
        for line in stack.changes(plan_file):
            say(f"  {line}")


STEPS: dict[str, Callable[[Project], None]] = {
    "access": check_access,
    "first APIs": enable_first_apis,
    "state bucket": make_state_bucket,
    "Pub/Sub's agent": make_pubsub_agent,
    "registry and federation": apply_bootstrap,
    "GitHub": set_github_variables,
    "images": build_images,
    "stack": apply_stack,
    "default network": remove_default_network,
    "default account": disable_default_account,
    "migration": migrate,
    "readiness": wait_until_ready,
    "smoke test": smoke_test,
    "second plan": plan_again,
}


def bootstrap(project: Project) -> bool:
    """Run every step; return whether all succeeded."""
    for number, (name, step) in enumerate(STEPS.items(), start=1):
        say(f"[{number}/{len(STEPS)}] {name}")
        try:
            step(project)
        except CommandFailed as failure:
            say(f"Stopped at «{name}»: {failure}\nRepair it and run the same command again; what is done stays done.")
            return False
    say(f"{project.environment} runs in {project.project_id}. docs/delivery.md lists what is left to do by hand.")
    return True


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("project_id", type=project_id_argument)
    parser.add_argument("repository", type=repository_argument, help="owner/name at GitHub")
    parser.add_argument("--environment", choices=ENVIRONMENTS, default="dev")
    parser.add_argument("--region", default="europe-west1")
    parser.add_argument("--notification-email", default="", help="whom alerts tell; whoever is logged in without")
    options = parser.parse_args(arguments)
    try:
        notification_email = options.notification_email or logged_in_account()
    except CommandFailed as failure:
        say(f"Stopped: {failure}")
        return 1
    project = Project(
        options.project_id,
        options.environment,
        options.region,
        options.repository,
        notification_email,
        TERRAFORM,
    )
    return 0 if bootstrap(project) else 1


if __name__ == "__main__":
    sys.exit(main())
