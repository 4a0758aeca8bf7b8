"""Plans and applies the stack of one environment as the workflows do it.

    python -m scripts.delivery.stack plan dev --folder plan [--no-lock]
    python -m scripts.delivery.stack apply --folder plan

Reads GCP_PROJECT_ID, GCP_REGION and TERRAFORM_STATE_BUCKET. The images are those that run: deploys own them, and a
plan that named others would only seem to change something. `plan` leaves `stack.tfplan` and `plan.json` in the folder,
and says there in `changes`, and to GITHUB_OUTPUT, whether there are any.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.delivery.cloud_run import CloudRun, GcloudError

STACK = Path(__file__).resolve().parent.parent.parent / "terraform" / "stack"
VARIABLES = ("GCP_PROJECT_ID", "GCP_REGION", "TERRAFORM_STATE_BUCKET")
SERVICES = {"api": "image-api", "processor": "image-processor"}
NO_CHANGES, FAILED, CHANGES = 0, 1, 2


class StackError(Exception):
    """Nothing was planned or applied; the text says why."""


def plan(environment: str, folder: Path, *, lock: bool) -> bool:
    """Plan and keep the plan; whether it changes anything. Raises `StackError`, `GcloudError`."""
    settings = _settings(os.environ)
    variable_file = STACK.parent / "environments" / f"{environment}.tfvars"
    if not variable_file.exists():
        raise StackError(f"there is no environment {environment}: {variable_file.name} is missing")
    cloud = CloudRun(settings["GCP_PROJECT_ID"], settings["GCP_REGION"])
    images = {name: cloud.image(service) for name, service in SERVICES.items()}
    variables = {
        "TF_VAR_project_id": settings["GCP_PROJECT_ID"],
        "TF_VAR_region": settings["GCP_REGION"],
        "TF_VAR_images": json.dumps(images),
    }
    folder.mkdir(parents=True, exist_ok=True)
    _terraform(("init", "-input=false", f"-backend-config=bucket={settings['TERRAFORM_STATE_BUCKET']}"))
    status = _terraform(
        (
            "plan",
            "-input=false",
            "-detailed-exitcode",
            f"-lock={str(lock).lower()}",
            f"-var-file={variable_file}",
            f"-out={_plan_file(folder)}",
        ),
        variables,
        allowed=(NO_CHANGES, CHANGES),
    )
    shown = _command("show", "-json", str(_plan_file(folder)))
    with (folder / "plan.json").open("w") as file:
        subprocess.run(shown, check=True, stdout=file)  # noqa: S603 (no shell)
    return status == CHANGES


def apply(folder: Path) -> None:
    """Apply the plan that was kept, and nothing else. Raises `StackError`."""
    settings = _settings(os.environ)
    _terraform(("init", "-input=false", f"-backend-config=bucket={settings['TERRAFORM_STATE_BUCKET']}"))
    _terraform(("apply", "-input=false", str(_plan_file(folder))))


def main(argv: Sequence[str] | None = None) -> int:
    """Plan or apply; 1 if that failed."""
    parser = argparse.ArgumentParser(description="Plan and apply the stack of one environment.")
    commands = parser.add_subparsers(dest="command", required=True)
    planning = commands.add_parser("plan", help="plan and keep the plan")
    planning.add_argument("environment", help="name of a file in terraform/environments")
    planning.add_argument("--no-lock", action="store_true", help="for accounts that may only read the state")
    for command in (planning, commands.add_parser("apply", help="apply the plan that was kept")):
        command.add_argument("--folder", type=Path, required=True, help="where the plan is kept")
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "apply":
            apply(arguments.folder)
            return 0
        changes = plan(arguments.environment, arguments.folder, lock=not arguments.no_lock)
    except (StackError, GcloudError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    (arguments.folder / "changes").write_text(f"{str(changes).lower()}\n")
    if "GITHUB_OUTPUT" in os.environ:
        with Path(os.environ["GITHUB_OUTPUT"]).open("a") as file:
            file.write(f"changes={str(changes).lower()}\n")
    return 0


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    missing = [name for name in VARIABLES if not environment.get(name)]
    if missing:
        raise StackError(f"{', '.join(missing)} must be set; the GitHub environment has them after the bootstrap")
    return {name: environment[name] for name in VARIABLES}


def _terraform(
    arguments: tuple[str, ...], variables: Mapping[str, str] | None = None, allowed: tuple[int, ...] = (0,)
) -> int:
    done = subprocess.run(  # noqa: S603 (no shell; the arguments are ours)
        _command(*arguments), env={**os.environ, **(variables or {})}, check=False
    )
    if done.returncode not in allowed:
        raise StackError(f"terraform {arguments[0]} ended with status {done.returncode}")
    return done.returncode


def _command(*arguments: str) -> list[str]:
    return ["terraform", f"-chdir={STACK}", *arguments]


def _plan_file(folder: Path) -> Path:
    return folder.absolute() / "stack.tfplan"


if __name__ == "__main__":
    sys.exit(main())
