"""What the scripts know of an environment: its names, its local files, and the images that run."""

import argparse
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.infra.commands import CommandFailed, run

ROOT = Path(__file__).resolve().parents[2]
TERRAFORM = ROOT / "terraform"
ENVIRONMENTS = ("dev", "small", "prod")
IMAGES = {
    "api": "image-api",
    "processor": "image-processor",
    "tasks": "image-tasks",
    "delivery": "image-delivery",
}
"""The services, by their names in `var.images`."""
BUILT_AS = {"image-tasks": "image-api"}
"""Services that run from another one's image."""
_NOT_THERE = re.compile(r"cannot find|could not be found|not_found|does not exist", re.IGNORECASE)


@dataclass(frozen=True)
class Project:
    """A project and the environment that it is. `repository` is `owner/name` at GitHub."""

    project_id: str
    environment: str
    region: str = "europe-west1"
    repository: str = ""
    notification_email: str = ""
    folder: Path = TERRAFORM

    @property
    def state_bucket(self) -> str:
        """The bucket of the state; a bucket's name is unique in all of Cloud Storage, and so is a project's id."""
        return f"{self.project_id}-terraform"

    @property
    def image_repository(self) -> str:
        """First part of the images' names."""
        return f"{self.region}-docker.pkg.dev/{self.project_id}/images"

    @property
    def backend_file(self) -> Path:
        """Which bucket the stack's state is in; not committed."""
        return self.folder / "environments" / f"{self.environment}.gcs.tfbackend"

    @property
    def values_file(self) -> Path:
        """The values that only this project has; not committed, and CI gives the same as `TF_VAR_…`."""
        return self.folder / "environments" / f"{self.environment}.local.tfvars.json"

    @property
    def budget_billing_account(self) -> str | None:
        """The billing account of the budget that the environment's committed variables ask for, if any."""
        path = self.folder / "environments" / f"{self.environment}.tfvars"
        found = re.search(r'^ *billing_account += "([^"]+)"', path.read_text() if path.is_file() else "", re.MULTILINE)
        return found[1] if found else None

    def remember(self, images: dict[str, str]) -> None:
        """Writes both local files, for later plans and applies."""
        self.backend_file.write_text(f'bucket = "{self.state_bucket}"\n')
        values: dict[str, Any] = {
            "project_id": self.project_id,
            "region": self.region,
            "images": images,
            "notification_emails": [self.notification_email],
        }
        self.values_file.write_text(json.dumps(values, indent=2) + "\n")


def project_id_argument(text: str) -> str:
    """A project's id, or the error that the command line shows."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no project's id: say PROJECT=…")
    return text


def repository_argument(text: str) -> str:
    """A repository's owner and name, or the error that the command line shows."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no repository: say REPO=owner/name")
    return text


def logged_in_account() -> str:
    """The account that gcloud acts as. Raises `CommandFailed` where there is none."""
    accounts = gcloud_json("auth", "list", "--filter=status:ACTIVE")
    if not accounts:
        raise CommandFailed("nobody is logged in: run `gcloud auth login` and `gcloud auth application-default login`")
    return str(accounts[0]["account"])


def running_images(project_id: str, region: str) -> dict[str, str]:
    """Return the images of the services as they run now, of those that are there. Raises `CommandFailed`."""
    images: dict[str, str] = {}
    for key, service in IMAGES.items():
        described = run(
            ["gcloud", "run", "services", "describe", service, f"--project={project_id}", f"--region={region}",
             "--format=value(spec.template.spec.containers[0].image)"],
            check=False,
        )  # fmt: skip
        # Whatever else went wrong, a service taken for missing would be planned away.
        if described.code and not _NOT_THERE.search(described.stderr):
            raise CommandFailed(f"whether {service} runs cannot be told:\n{described.stderr.strip()}")
        if not described.code and "@sha256:" in described.stdout:
            images[key] = described.stdout.strip()
    return images


def built_image(project_id: str, region: str, service: str, commit: str) -> str | None:
    """Return the image of a service that was pushed for a commit, by digest; None where there is none."""
    name = f"{region}-docker.pkg.dev/{project_id}/images/{BUILT_AS.get(service, service)}"
    digest = run(
        ["gcloud", "artifacts", "docker", "images", "describe", f"{name}:{commit}", f"--project={project_id}",
         "--format=value(image_summary.digest)"],
        check=False,
    ).stdout.strip()  # fmt: skip
    return f"{name}@{digest}" if digest.startswith("sha256:") else None


def gcloud_json(*arguments: str) -> Any:
    """What `gcloud … --format=json` answers. Raises `CommandFailed`."""
    answer = run(["gcloud", *arguments, "--format=json"]).stdout
    try:
        return json.loads(answer or "null")
    except json.JSONDecodeError as error:
        raise CommandFailed(f"gcloud {' '.join(arguments)} did not answer in JSON") from error
