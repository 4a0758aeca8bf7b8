"""Settings of the emulator process, all from the environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class EmulatorSettings(BaseSettings):
    """What is emulated, where, and how impatient it is.

    Names that the services know too keep their own names; all others begin with `EMULATORS_`.
    """

    model_config = SettingsConfigDict(env_prefix="EMULATORS_", frozen=True, populate_by_name=True, extra="ignore")

    data_dir: Path = Path(".local/emulators")
    bind_host: str = "127.0.0.1"
    http_port: int = 9023
    pubsub_port: int = 8085
    # What other containers call this process; it stands in the links of notifications.
    advertised_host: str = "127.0.0.1"

    emulate_storage: bool = True
    emulate_pubsub: bool = True
    # Where notifications go when Pub/Sub is somebody else's.
    outside_pubsub_host: str | None = None

    project_id: str = Field("image-manager-local", validation_alias="GOOGLE_CLOUD_PROJECT")
    originals_bucket: str = Field("image-manager-local-originals", validation_alias="IMAGE_UPLOAD_BUCKET_NAME")
    derivatives_bucket: str = Field("image-manager-local-derivatives", validation_alias="IMAGE_DERIVATIVES_BUCKET_NAME")
    uploads_topic: str = Field("image-uploads", validation_alias="PUBSUB_UPLOADS_TOPIC")
    events_topic: str = Field("image-events", validation_alias="PUBSUB_EVENTS_TOPIC")
    dead_letter_topic: str = "image-dead-letters"

    processor_url: str = "http://127.0.0.1:8081"
    push_audience: str = Field("http://127.0.0.1:8081", validation_alias="PUSH_AUDIENCE")
    push_email: str = Field(
        "pubsub-push@image-manager-local.iam.gserviceaccount.com", validation_alias="PUSH_SERVICE_ACCOUNT_EMAIL"
    )
    push_ack_deadline_seconds: float = 30.0
    push_min_backoff_seconds: float = 1.0
    push_max_backoff_seconds: float = 10.0
    push_max_attempts: int = 10
    push_max_outstanding: int = 8

    scheduler_email: str = Field(
        "scheduler@image-manager-local.iam.gserviceaccount.com", validation_alias="SCHEDULER_SERVICE_ACCOUNT_EMAIL"
    )
    # Zero switches the scheduler off.
    sweep_seconds: float = 10.0

    @property
    def base_url(self) -> str:
        """Where other processes reach the HTTP server."""
        return f"http://{self.advertised_host}:{self.http_port}"

    def topic(self, name: str) -> str:
        """Return a topic's full name."""
        return f"projects/{self.project_id}/topics/{name}"

    def subscription(self, name: str) -> str:
        """Return a subscription's full name."""
        return f"projects/{self.project_id}/subscriptions/{name}"
