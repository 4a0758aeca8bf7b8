"""`make plan`, `make apply`, `make destroy`, `make adopt-database`: run Terraform on the stack of one environment.

Values of a single project come from `environments/<environment>.local.tfvars.json`, which the bootstrap writes, or,
in CI, from `TF_VAR_…`. An apply applies exactly the plan that was shown before.
"""

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from scripts.delivery.plan_summary import changed_outputs, changes_of
from scripts.infra.commands import CommandFailed, run, say
from scripts.infra.project import ENVIRONMENTS, IMAGES, ROOT, TERRAFORM, built_image, running_images

PROTECTED_TYPES = ("google_sql_database_instance", "google_sql_database", "google_storage_bucket")
"""What a plan must never delete or replace unasked."""
AUDIT_BUCKET = "image-manager-audit"
"""The log bucket of modules/observability. A deleted one keeps its name for a week, and can be brought back."""
RELEASE_ATTEMPTS = 18
RELEASE_SECONDS = 600
"""Cloud Run gives the addresses of its instances back after one or two hours, and a subnet cannot go before."""


def _value(environment: str, name: str) -> str:
    path = TERRAFORM / "environments" / f"{environment}.local.tfvars.json"
    if value := os.environ.get(f"TF_VAR_{name}"):
        return value
    if not path.is_file():
        raise CommandFailed(f"{path.name} is missing: run `make bootstrap` first, or set TF_VAR_{name}")
    return str(json.loads(path.read_text())[name])


def arguments_for(environment: str) -> list[str]:
    """Return the variables of an environment. Images are those that run now: deploys own them, not this."""
    folder = TERRAFORM / "environments"
    local = folder / f"{environment}.local.tfvars.json"
    files = [folder / f"{environment}.tfvars", *([local] if local.is_file() else [])]
    images = _images(environment, local)
    said = [f"-var=images={json.dumps(images)}"] if images else []
    return [*(f"-var-file={path}" for path in files), *said]


def _images(environment: str, local: Path) -> dict[str, str]:
    """Return an image for each service: of one that runs its own, of a new one that of this commit, if it was built."""
    project_id, region = _value(environment, "project_id"), _value(environment, "region")
    images = running_images(project_id, region)
    if not images:
        return {}  # A first apply: bootstrap has written down what it built.
    remembered = json.loads(local.read_text()).get("images", {}) if local.is_file() else {}
    for key, service in IMAGES.items():
        if key not in images:
            image = built_image(project_id, region, service, _commit()) or remembered.get(key)
            say(f"{service} is new: {image or 'it has no image yet, and is made by an apply after the next deploy'}")
            images |= {key: image} if image else {}
    return images


def _commit() -> str:
    return os.environ.get("GITHUB_SHA") or run(["git", "rev-parse", "HEAD"], cwd=ROOT).stdout.strip()


def initialise(environment: str) -> None:
    """`terraform init` on the environment's state."""
    backend = TERRAFORM / "environments" / f"{environment}.gcs.tfbackend"
    bucket = os.environ.get("TERRAFORM_STATE_BUCKET")
    if not bucket and not backend.is_file():
        raise CommandFailed(f"{backend.name} is missing: run `make bootstrap` first, or set TERRAFORM_STATE_BUCKET")
    chosen = f"-backend-config=bucket={bucket}" if bucket else f"-backend-config={backend}"
    # Where a lock file is committed, what it does not name is refused instead of added.
    locked = ["-lockfile=readonly"] if (TERRAFORM / "stack" / ".terraform.lock.hcl").is_file() else []
    _terraform("init", "-input=false", "-reconfigure", *locked, chosen)


def _terraform(*arguments: str, check: bool = True) -> int:
    return run(["terraform", *arguments], cwd=TERRAFORM / "stack", check=check, show=True).code


def plan(environment: str, plan_file: Path, *, lock: bool = True, destroy: bool = False) -> bool:
    """Show and save a plan; return whether it changes anything. Raises `CommandFailed`."""
    initialise(environment)
    options = ["-input=false", "-detailed-exitcode", f"-out={plan_file}", f"-lock={str(lock).lower()}"]
    code = _terraform("plan", *options, *(["-destroy"] if destroy else []), *arguments_for(environment), check=False)
    if code not in (0, 2):
        raise CommandFailed("the plan failed")
    return code == 2


def _shown(plan_file: Path) -> dict[str, Any]:
    shown = run(["terraform", "show", "-json", str(plan_file)], cwd=TERRAFORM / "stack").stdout
    plan: dict[str, Any] = json.loads(shown)
    return plan


def changes(plan_file: Path) -> list[str]:
    """Return one line for each change of a plan, without any value."""
    plan = _shown(plan_file)
    lines = [" ".join([each.action, each.address, *each.arguments]) for each in changes_of(plan)]
    return lines + [f"update output {name}" for name in changed_outputs(plan)]


def endangered(plan_file: Path) -> list[str]:
    """Return the databases and buckets that a plan deletes or replaces."""
    return [
        change["address"]
        for change in _shown(plan_file)["resource_changes"]
        if change["type"] in PROTECTED_TYPES and "delete" in change["change"]["actions"]
    ]


def apply(environment: str, plan_file: Path, *, confirmed: bool) -> None:
    """Plan, ask, and apply exactly that plan. Refuse one that deletes a database or a bucket."""
    if not plan(environment, plan_file):
        say("Nothing changes.")
        return
    if lost := endangered(plan_file):
        raise CommandFailed(f"the plan deletes or replaces {', '.join(lost)}: that is never part of an apply")
    _ask(confirmed, f"Apply this plan to {environment}? [yes/no] ", "yes")
    restore_log_bucket(_value(environment, "project_id"), _value(environment, "region"))
    _terraform("apply", "-input=false", str(plan_file))


def destroy(environment: str, plan_file: Path, *, confirmed: bool) -> None:
    """Remove everything, including the abandoned peering. Prod is refused until its protection is removed."""
    if environment != "dev":
        raise CommandFailed(f"{environment} is protected: take its protection off by a reviewed change first")
    plan(environment, plan_file, destroy=True)
    _ask(confirmed, f"Destroy everything in {environment}? Type its name: ", environment)
    network = run(["terraform", "output", "-raw", "network_name"], cwd=TERRAFORM / "stack", check=False).stdout.strip()
    project = _value(environment, "project_id")
    _destroy_as_addresses_go(environment, plan_file)
    remove_peering(project, network or "image-manager")
    say(f"{environment} is gone. Before it is made again: another database.name_suffix (docs/taking-down.md).")


def _destroy_as_addresses_go(environment: str, plan_file: Path) -> None:
    """Carry out a plan to destroy, again and again while nothing but a subnet that is still in use is in the way.

    Raises:
        CommandFailed: something else is in the way, or the subnet is in use for more than three hours.
    """
    for _ in range(RELEASE_ATTEMPTS):
        if _terraform("apply", "-input=false", str(plan_file), check=False) == 0:
            return
        left = run(["terraform", "state", "list"], cwd=TERRAFORM / "stack").stdout
        if "google_compute_subnetwork" not in left or "google_cloud_run_v2" in left:
            raise CommandFailed("not everything is gone: read what Terraform says above, and run the same again")
        say(f"Cloud Run still holds addresses of the subnet. Tried again in {RELEASE_SECONDS // 60} minutes.")
        time.sleep(RELEASE_SECONDS)
        plan(environment, plan_file, destroy=True)
    raise CommandFailed("Cloud Run still holds addresses of the subnet: run the same again tomorrow")


def restore_log_bucket(project_id: str, region: str) -> None:
    """Restore the audit log's bucket if it was deleted within the last week, while its name is reserved."""
    place = [f"--location={region}", f"--project={project_id}"]
    bucket = ["gcloud", "logging", "buckets"]
    found = run([*bucket, "describe", AUDIT_BUCKET, *place, "--format=value(lifecycleState)"], check=False)
    if found.stdout.strip() == "DELETE_REQUESTED":
        run([*bucket, "undelete", AUDIT_BUCKET, *place])


def adopt_database(environment: str, *, confirmed: bool) -> None:
    """Put the instance named by `database.name_suffix` into the state instead of the current one, which keeps running.

    Nothing in the cloud changes. A service that does not run yet has no user in the instance; an apply makes it. An
    interrupted run can be repeated.
    """
    initialise(environment)
    project, name = _value(environment, "project_id"), _instance_name(environment)
    state = run(
        ["gcloud", "sql", "instances", "describe", name, f"--project={project}", "--format=value(state)"]
    ).stdout.strip()
    if state != "RUNNABLE":
        raise CommandFailed(f"{name} is {state or 'in no state'}: wait until it is RUNNABLE")
    running = running_images(project, _value(environment, "region"))
    users = {key: service for key, service in IMAGES.items() if key in running} | {"migrator": "image-migrate"}
    _ask(confirmed, f"Manage {name} in {environment} from now on? Type the environment's name: ", environment)
    known = run(["terraform", "state", "list", "module.database"], cwd=TERRAFORM / "stack", check=False).stdout.split()
    if known:
        _terraform("state", "rm", *known)
    variables = arguments_for(environment)
    for address, imported in _database_imports(project, name, users).items():
        _terraform("import", "-input=false", *variables, f"module.database.{address}", imported)
    say(f"{name} is in the state. `make plan ENV={environment}` shows what an apply would still change.")


def _instance_name(environment: str) -> str:
    values = (TERRAFORM / "environments" / f"{environment}.tfvars").read_text()
    suffix = re.search(r'^ *name_suffix += "(\w+)"', values, re.MULTILINE)
    if not suffix:
        raise CommandFailed(f"{environment}.tfvars has no database.name_suffix")
    return f"image-manager-{suffix[1]}"


def _database_imports(project_id: str, name: str, users: dict[str, str]) -> dict[str, str]:
    """Return what `module.database` manages, by its address there, as `terraform import` names it.

    `users` has the service account of each user by its key.
    """
    return {
        "google_sql_database_instance.this": f"projects/{project_id}/instances/{name}",
        "google_sql_database.this": f"projects/{project_id}/instances/{name}/databases/image_manager",
        **{
            f'google_sql_user.service_account["{key}"]': f"{project_id}/{name}/{account}@{project_id}.iam"
            for key, account in users.items()
        },
    }


def remove_peering(project_id: str, network: str) -> None:
    """Delete the peering that Terraform abandoned, if it still exists."""
    ended = run(
        ["gcloud", "services", "vpc-peerings", "delete", "--quiet", f"--network={network}", f"--project={project_id}",
         "--service=servicenetworking.googleapis.com"],
        check=False,
    )  # fmt: skip
    gone = ended.code == 0 or "not found" in ended.stderr.lower()
    say(
        "The peering is gone."
        if gone
        else f"The peering stays for now; run `make destroy` again in some days.\n{ended.stderr}"
    )


def _ask(confirmed: bool, question: str, expected: str) -> None:
    if confirmed:
        return
    sys.stdout.write(question)
    sys.stdout.flush()
    if sys.stdin.readline().strip() != expected:
        raise CommandFailed("nothing was changed")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=["plan", "apply", "destroy", "adopt-database"])
    parser.add_argument("environment", choices=ENVIRONMENTS)
    parser.add_argument("--plan-file", type=Path, default=None, help="where the plan is kept")
    parser.add_argument("--yes", action="store_true", help="do not ask, as in CI after an approval")
    parser.add_argument("--no-lock", action="store_true", help="for an account that may only read the state")
    parser.add_argument("--detailed-exitcode", action="store_true", help="plan: exit 2 when something would change")
    options = parser.parse_args(arguments)
    plan_file = options.plan_file or TERRAFORM / "stack" / f"{options.environment}.tfplan"
    try:
        if options.command == "plan":
            changes = plan(options.environment, plan_file, lock=not options.no_lock)
            return 2 if changes and options.detailed_exitcode else 0
        if options.command == "adopt-database":
            adopt_database(options.environment, confirmed=options.yes)
            return 0
        action = apply if options.command == "apply" else destroy
        action(options.environment, plan_file, confirmed=options.yes)
    except CommandFailed as failure:
        say(f"Stopped: {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
