"""Cloud Run as a rollout sees it: services, revisions, their traffic, and the migration job."""

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

INGRESS_ANNOTATION = "run.googleapis.com/ingress"
JOB_SECONDS = 2400
COMMAND_SECONDS = 600
# The deploying account's rights are on each service: it is refused, not told, that there is none.
_UNKNOWN = re.compile(r"cannot find|could not be found|not_found|does not exist|permission.denied", re.IGNORECASE)


class GcloudError(Exception):
    """A gcloud command failed; the message is its command line and the end of its output."""


@dataclass(frozen=True)
class Candidate:
    """A new revision, reachable under its tag's URL before it has any traffic."""

    revision: str
    url: str


class CloudRun:
    """Services and jobs of one project and region, accessed through gcloud."""

    def __init__(self, project: str, region: str) -> None:
        """Set project and region; nothing is called yet."""
        self.project = project
        self._place = (f"--project={project}", f"--region={region}", "--quiet")

    def url(self, service: str) -> str:
        """Return the URL of the service: its own, or that of the load balancer in front of it."""
        described = self._described(service)
        host = self._load_balanced_host(service, described)
        return f"https://{host}" if host else str(described["status"]["url"])

    def is_there(self, service: str) -> bool:
        """Return whether the service exists. Raises `GcloudError` if that cannot be determined."""
        try:
            self._described(service)
        except GcloudError as error:
            if _UNKNOWN.search(str(error)):
                return False
            raise
        return True

    def serving_revision(self, service: str) -> str:
        """Return the revision with most of the traffic."""
        targets = self._described(service)["status"].get("traffic", [])
        serving = [target for target in targets if target.get("percent")]
        if not serving:
            raise GcloudError(f"{service} has no revision with traffic, so that there would be no way back")
        return str(max(serving, key=lambda target: int(target["percent"]))["revisionName"])

    def create_revision(self, service: str, image: str, tag: str) -> Candidate:
        """Create a revision of this image without traffic, wait until it is ready, and tag it."""
        before = self._described(service)["status"].get("latestCreatedRevisionName")
        # Cloud Run names the revision. A name of ours, which a tag in the same command brings too, stays in the
        # service's template, and every later apply that changes a setting would ask for the same name again.
        self._gcloud(("run", "services", "update", service), (f"--image={image}", "--no-traffic"))
        revision = str(self._described(service)["status"]["latestCreatedRevisionName"])
        if revision == before:
            raise GcloudError(f"{service}: no new revision was made, {revision} is still the latest")
        self._gcloud(("run", "services", "update-traffic", service), (f"--update-tags={tag}={revision}",))
        described = self._described(service)
        host = self._load_balanced_host(service, described)
        for target in described["status"].get("traffic", []):
            if target.get("tag") == tag and target["revisionName"] == revision:
                # The load balancer has a host for the tag (terraform/modules/edge): the tag's own URL lets nobody in.
                return Candidate(revision, f"https://{tag}.{host}" if host else str(target["url"]))
        raise GcloudError(f"{service}: the tag {tag} is not on the new revision {revision}")

    def set_traffic(self, service: str, shares: Mapping[str, int]) -> None:
        """Give these revisions their percentages of the traffic, and no other revision any."""
        shown = ",".join(f"{revision}={percent}" for revision, percent in shares.items())
        self._gcloud(("run", "services", "update-traffic", service), (f"--to-revisions={shown}",))

    def remove_tag(self, service: str, tag: str) -> None:
        """Remove the tag, so that a revision without traffic costs nothing."""
        self._gcloud(("run", "services", "update-traffic", service), (f"--remove-tags={tag}",))

    def run_job(self, job: str, image: str) -> None:
        """Run the job with this image and wait until it succeeds."""
        self._gcloud(("run", "jobs", "update", job), (f"--image={image}",))
        self._gcloud(("run", "jobs", "execute", job), ("--wait",), seconds=JOB_SECONDS)

    def _described(self, service: str) -> dict[str, Any]:
        output = self._gcloud(("run", "services", "describe", service), ("--format=json",))
        described: dict[str, Any] = json.loads(output)
        return described

    def _load_balanced_host(self, service: str, described: Mapping[str, Any]) -> str | None:
        """Return the host of a service that is reachable only through a load balancer, from its environment.

        image-delivery does not know its own host; the API does, because it signs addresses for it.
        """
        ingress = described.get("metadata", {}).get("annotations", {}).get(INGRESS_ANNOTATION)
        if ingress != "internal-and-cloud-load-balancing":
            return None
        is_delivery = service == "image-delivery"
        name = "DELIVERY_URL" if is_delivery else "PUBLIC_BASE_URL"
        url = _environment(self._described("image-api") if is_delivery else described).get(name)
        if not url:
            raise GcloudError(f"{service} is called through a load balancer alone, and {name} does not say which")
        return url.removeprefix("https://").rstrip("/")

    def _gcloud(self, what: tuple[str, ...], flags: tuple[str, ...], *, seconds: float = COMMAND_SECONDS) -> str:
        return run_gcloud(*what, *flags, *self._place, seconds=seconds)


def _environment(described: Mapping[str, Any]) -> dict[str, str]:
    containers = described.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
    return {each["name"]: each.get("value", "") for container in containers for each in container.get("env", [])}


def run_gcloud(*arguments: str, seconds: float = COMMAND_SECONDS) -> str:
    """Run a command and return its output. Raises `GcloudError`."""
    command = ["gcloud", *arguments]
    try:
        # A session of its own: a signal to the rollout must not end the command that brings the traffic back.
        done = subprocess.run(  # noqa: S603 (no shell; the arguments come from the workflow)
            command, capture_output=True, text=True, check=False, timeout=seconds, start_new_session=True
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GcloudError(f"{' '.join(command)}: {error}") from None
    if done.returncode != 0:
        raise GcloudError(f"{' '.join(command)}: status {done.returncode}\n{done.stderr.strip()[-2000:]}")
    return done.stdout
