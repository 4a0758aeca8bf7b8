"""The parts that we run, their ports, and the environment of each process."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from image_core.keys import master_secrets, signing_keys
from local_cloud.errors import PortInUse
from local_cloud.ports import HOST, free_port, is_free, take_port
from local_cloud.postgres.database import DatabaseUrls
from local_cloud.system.children import ChildSpec
from local_cloud.system.system_file import SystemFile

PROJECT_ID = "image-manager-local"
DEFAULT_PORT = 8080
MASTER_FILE_NAME = "delivery-master"
HASH_MASTER_FILE_NAME = "purged-hash-master"
SESSION_MASTER_FILE_NAME = "upload-session-master"
WEBHOOK_MASTER_FILE_NAME = "webhook-master"
JOB_DEADLINE_SECONDS = 10
LEASE_SECONDS = 20
UPLOAD_DEADLINE_SECONDS = 40


@dataclass(frozen=True)
class Outside:
    """Addresses of external parts, which replace our own."""

    database_url: str | None = None
    storage_host: str | None = None
    pubsub_host: str | None = None
    jwks_url: str | None = None
    credentials_path: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Outside":
        """Read the variables that the services also use; an empty one counts as absent."""
        return cls(
            environment.get("DATABASE_URL") or None,
            environment.get("STORAGE_EMULATOR_HOST") or None,
            environment.get("PUBSUB_EMULATOR_HOST") or None,
            environment.get("PUSH_JWKS_URL") or None,
            environment.get("GCLOUD_CREDS_PATH") or None,
        )


@dataclass(frozen=True)
class Layout:
    """The addresses and paths of all parts."""

    data_dir: Path
    outside: Outside
    api_port: int
    processor_port: int
    tasks_port: int
    http_port: int
    pubsub_port: int
    delivery_port: int

    @property
    def url(self) -> str:
        """The URL of the API."""
        return f"http://{HOST}:{self.api_port}"

    @property
    def processor_url(self) -> str:
        """The URL of the processor."""
        return f"http://{HOST}:{self.processor_port}"

    @property
    def tasks_url(self) -> str:
        """The URL of housekeeping."""
        return f"http://{HOST}:{self.tasks_port}"

    @property
    def delivery_url(self) -> str:
        """Where delivery addresses are answered."""
        return f"http://{HOST}:{self.delivery_port}"

    @property
    def emulators_url(self) -> str:
        """The URL of the emulator process."""
        return f"http://{HOST}:{self.http_port}"

    @property
    def storage_host(self) -> str:
        """The object store, ours or not."""
        return self.outside.storage_host or self.emulators_url

    @property
    def pubsub_host(self) -> str:
        """Pub/Sub, ours or not."""
        return self.outside.pubsub_host or f"{HOST}:{self.pubsub_port}"

    @property
    def credentials_path(self) -> str:
        """The key file that signs URLs."""
        return self.outside.credentials_path or str(self.data_dir / "emulators" / "service-account.json")


def choose_layout(data_dir: Path, port: int, outside: Outside, former: SystemFile | None) -> Layout:
    """Choose the ports of the last run if they are free, else any free ones.

    Raises:
        PortInUse: The requested port is taken.
    """
    if port and not (take_port(port) or is_free(port)):
        raise PortInUse(
            f"Port {port} is in use: stop what uses it, or choose another with --port (0 selects a free one)."
        )
    former_processor = _port_of(former.processor_url) if former else 0
    former_tasks = _port_of(former.tasks_url) if former else 0
    former_http = _port_of(former.emulators_url or "") if former else 0
    former_pubsub = _port_of(f"//{former.pubsub_emulator_host}") if former else 0
    former_api = _port_of(former.url) if former else 0
    former_delivery = _port_of(former.delivery_url) if former else 0
    return Layout(
        data_dir,
        outside,
        port or _former_or_free_port(former_api),
        _former_or_free_port(former_processor),
        _former_or_free_port(former_tasks),
        _former_or_free_port(former_http),
        _former_or_free_port(former_pubsub),
        _former_or_free_port(former_delivery),
    )


def service_environment(layout: Layout, database_url: str) -> dict[str, str]:
    """Return the environment of the services; only endpoints differ from the cloud."""
    return {
        **os.environ,
        "GOOGLE_CLOUD_PROJECT": PROJECT_ID,
        "IMAGE_UPLOAD_BUCKET_NAME": f"{PROJECT_ID}-originals",
        "IMAGE_DERIVATIVES_BUCKET_NAME": f"{PROJECT_ID}-derivatives",
        "IMAGE_SCRATCH_BUCKET_NAME": f"{PROJECT_ID}-scratch",
        "DATABASE_URL": database_url,
        "STORAGE_EMULATOR_HOST": layout.storage_host,
        "PUBSUB_EMULATOR_HOST": layout.pubsub_host,
        "GCLOUD_CREDS_PATH": layout.credentials_path,
        "PUBSUB_UPLOADS_TOPIC": "image-uploads",
        "PUBSUB_EVENTS_TOPIC": "image-events",
        "PUBSUB_ANALYSES_TOPIC": "image-analyses",
        "PUBSUB_RENDITIONS_TOPIC": "image-renditions",
        "PUBSUB_TASKS_TOPIC": "image-tasks",
        "PUBLIC_BASE_URL": layout.url,
        "UPLOAD_DEADLINE_SECONDS": str(UPLOAD_DEADLINE_SECONDS),
        "PUSH_AUDIENCE": os.environ.get("PUSH_AUDIENCE", layout.processor_url),
        "TASKS_AUDIENCE": os.environ.get("TASKS_AUDIENCE", layout.tasks_url),
        "PUSH_SERVICE_ACCOUNT_EMAIL": f"pubsub-push@{PROJECT_ID}.iam.gserviceaccount.com",
        "SCHEDULER_SERVICE_ACCOUNT_EMAIL": f"scheduler@{PROJECT_ID}.iam.gserviceaccount.com",
        "PUSH_ISSUER": "https://accounts.google.com",
        "PUSH_JWKS_URL": layout.outside.jwks_url or f"{layout.emulators_url}/certs",
        "LEASE_SECONDS": str(LEASE_SECONDS),
        "JOB_DEADLINE_SECONDS": str(JOB_DEADLINE_SECONDS),
        # The sweep runs every few seconds, for two workers.
        "REMAKES_PER_SWEEP": "10",
        "PYTHONUNBUFFERED": "1",
    }


def emulators_spec(layout: Layout) -> ChildSpec:
    """Return the spec of the emulator process."""
    outside = layout.outside
    environment = {
        **service_environment(layout, ""),
        "EMULATORS_DATA_DIR": str(layout.data_dir / "emulators"),
        "EMULATORS_HTTP_PORT": str(layout.http_port),
        "EMULATORS_PUBSUB_PORT": str(layout.pubsub_port),
        "EMULATORS_PROCESSOR_URL": layout.processor_url,
        "EMULATORS_TASKS_URL": layout.tasks_url,
        "EMULATORS_EMULATE_STORAGE": str(outside.storage_host is None),
        "EMULATORS_EMULATE_PUBSUB": str(outside.pubsub_host is None),
    }
    if outside.pubsub_host is not None:
        environment["EMULATORS_OUTSIDE_PUBSUB_HOST"] = outside.pubsub_host
    if outside.jwks_url is not None:
        # The services trust the external issuer's keys, so the external scheduler must call them.
        environment["EMULATORS_SWEEP_SECONDS"] = "0"
    command = [sys.executable, "-m", "local_cloud.emulators"]
    return ChildSpec("emulators", command, environment, f"{layout.emulators_url}/health/ready", stop_seconds=4.0)


def migration_spec(layout: Layout, urls: DatabaseUrls) -> ChildSpec:
    """Return the spec of the migration, which brings the schema up to date and exits."""
    command = [sys.executable, "-m", "image_core.admin", "migrate"]
    return ChildSpec("migrations", command, service_environment(layout, urls.owner))


def service_specs(layout: Layout, urls: DatabaseUrls) -> list[ChildSpec]:
    """Return the specs of the services, in the order of their start."""
    parts = [
        ("image_processor", "image_processor", layout.processor_port, urls.processor),
        ("image_tasks", "image_api.tasks_app", layout.tasks_port, urls.tasks),
        ("image_delivery", "image_delivery", layout.delivery_port, urls.delivery),
        ("image_api", "image_api", layout.api_port, urls.api),
    ]
    specs = []
    for name, module, port, database_url in parts:
        command = [sys.executable, "-m", module]
        environment = {**service_environment(layout, database_url), "PORT": str(port), "HOST": HOST}
        if name == "image_api" and "TOKEN_SIGNING_SECRET" not in environment:
            environment.setdefault("TOKEN_SIGNING_KEYS", _signing_keys(layout.data_dir / "signing-keys.json"))
        if name in ("image_api", "image_delivery"):
            environment |= delivery_environment(layout)
        if name in ("image_api", "image_tasks"):
            environment |= master_environment("PURGED_HASH_MASTER", layout.data_dir / HASH_MASTER_FILE_NAME)
            environment |= master_environment("WEBHOOK_MASTER", layout.data_dir / WEBHOOK_MASTER_FILE_NAME)
        if name == "image_api":
            environment |= master_environment("UPLOAD_SESSION_MASTER", layout.data_dir / SESSION_MASTER_FILE_NAME)
        if name == "image_delivery":
            environment["WORKER_COUNT"] = "1"
        specs.append(ChildSpec(name, command, environment, f"http://{HOST}:{port}/health/ready"))
    return specs


def delivery_environment(layout: Layout) -> dict[str, str]:
    """Return what the services that sign and verify delivery addresses are told; the environment comes first."""
    made = {"DELIVERY_URL": os.environ.get("DELIVERY_URL", layout.delivery_url)}
    return made | master_environment("DELIVERY_MASTER", layout.data_dir / MASTER_FILE_NAME)


def master_environment(name: str, file: Path) -> dict[str, str]:
    """Return a master secret of this machine for the services that use it; the environment comes first."""
    if f"{name}_SECRET" in os.environ:
        return {}
    return {name: os.environ.get(name) or _stored_secret(file, master_secrets.generate)}


def _signing_keys(file: Path) -> str:
    """Return the keys that sign access tokens, generated at the first start."""
    return _stored_secret(file, lambda: signing_keys.to_text([signing_keys.generate()]))


def _stored_secret(file: Path, make: Callable[[], str]) -> str:
    """Return the secret in a file that only its owner can read; generate it at the first start."""
    if not file.exists():
        made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(made, "w") as opened:
            opened.write(make())
    return file.read_text()


def _port_of(url: str) -> int:
    try:
        return urlsplit(url).port or 0
    except ValueError:
        return 0


def _former_or_free_port(port: int) -> int:
    return port if port and take_port(port) else free_port()
