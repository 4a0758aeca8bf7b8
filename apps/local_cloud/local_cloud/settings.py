"""Settings of the emulator process, all from the environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class EmulatorSettings(BaseSettings):
    """Addresses, names and timeouts of the emulators.

    Names that the services also use keep their own names; all others begin with `EMULATORS_`.
    """

    model_config = SettingsConfigDict(env_prefix="EMULATORS_", frozen=True, populate_by_name=True, extra="ignore")

    data_dir: Path = Field(Path(".local/emulators"), description="Folder for objects, messages and keys.")
    bind_host: str = Field("127.0.0.1", description="Address to listen on.")
    http_port: int = Field(9023, description="Port for the object store, the issuer's keys and health checks.")
    pubsub_port: int = Field(8085, description="Port for Pub/Sub (gRPC).")
    advertised_host: str = Field(
        "127.0.0.1", description="Host name that others use for this process; part of links to objects."
    )
    hosts: list[str] = Field(
        default_factory=list,
        description="Additional host names that this process answers to; loopback names always work.",
    )
    direct_upload_origins: list[str] = Field(
        default_factory=list, description="Origins whose pages may use signed URLs of the originals' bucket."
    )

    emulate_storage: bool = Field(True, description="Whether the object store is emulated.")
    emulate_pubsub: bool = Field(True, description="Whether Pub/Sub is emulated.")
    outside_pubsub_host: str | None = Field(
        None, description="Address (host:port) of another Pub/Sub that receives notifications."
    )

    project_id: str = Field(
        "image-manager-local",
        validation_alias="GOOGLE_CLOUD_PROJECT",
        description="Project of the topics and buckets.",
    )
    originals_bucket: str = Field(
        "image-manager-local-originals",
        validation_alias="IMAGE_UPLOAD_BUCKET_NAME",
        description="Bucket for originals; new objects send notifications.",
    )
    derivatives_bucket: str = Field(
        "image-manager-local-derivatives",
        validation_alias="IMAGE_DERIVATIVES_BUCKET_NAME",
        description="Bucket for derivatives.",
    )
    scratch_bucket: str = Field(
        "image-manager-local-scratch",
        validation_alias="IMAGE_SCRATCH_BUCKET_NAME",
        description="Bucket for files that are analyzed without becoming images.",
    )
    soft_delete_seconds: int = Field(
        3600,
        ge=0,
        description="How long deleted originals can be restored, and stay on the disk; zero removes them at once.",
    )
    uploads_topic: str = Field(
        "image-uploads", validation_alias="PUBSUB_UPLOADS_TOPIC", description="Topic that requests processing."
    )
    events_topic: str = Field("image-events", validation_alias="PUBSUB_EVENTS_TOPIC", description="Topic for events.")
    analyses_topic: str = Field(
        "image-analyses", validation_alias="PUBSUB_ANALYSES_TOPIC", description="Topic that requests analyses."
    )
    renditions_topic: str = Field(
        "image-renditions",
        validation_alias="PUBSUB_RENDITIONS_TOPIC",
        description="Topic that requests renditions in the background.",
    )
    tasks_topic: str = Field(
        "image-tasks",
        validation_alias="PUBSUB_TASKS_TOPIC",
        description="Topic that requests a step of image-tasks at once.",
    )
    dead_letter_topic: str = Field("image-dead-letters", description="Topic for undeliverable messages.")

    processor_url: str = Field("http://127.0.0.1:8081", description="Service that receives pushed messages.")
    push_audience: str = Field(
        "http://127.0.0.1:8081",
        validation_alias="PUSH_AUDIENCE",
        description="Audience of push tokens: a full URL.",
    )
    push_email: str = Field(
        "pubsub-push@image-manager-local.iam.gserviceaccount.com",
        validation_alias="PUSH_SERVICE_ACCOUNT_EMAIL",
        description="Account of push tokens.",
    )
    push_ack_deadline_seconds: float = Field(30.0, description="Time after which a push without an answer fails.")
    push_min_backoff_seconds: float = Field(1.0, description="Shortest pause before a message is pushed again.")
    push_max_backoff_seconds: float = Field(10.0, description="Longest pause before a message is pushed again.")
    push_max_attempts: int = Field(10, description="Attempts before a message becomes a dead letter.")
    push_renditions_max_attempts: int = Field(
        100,
        description="As `EMULATORS_PUSH_MAX_ATTEMPTS`, for renditions, which are pushed again as long as no worker is"
        " idle.",
    )
    nudge_ack_deadline_seconds: float = Field(
        60.0, description="As `EMULATORS_PUSH_ACK_DEADLINE_SECONDS`, for pushes to image-tasks."
    )
    nudge_retention_seconds: float = Field(
        3600.0, description="How long events and nudges are pushed to image-tasks; they have no dead letters."
    )
    push_max_outstanding: int = Field(8, description="Maximum number of pushes at once.")

    tasks_url: str = Field(
        "http://127.0.0.1:8082",
        description="Service that the scheduler calls, and that receives pushed events and nudges.",
    )
    tasks_audience: str = Field(
        "http://127.0.0.1:8082",
        validation_alias="TASKS_AUDIENCE",
        description="Audience of tokens for that service: a full URL.",
    )
    scheduler_email: str = Field(
        "scheduler@image-manager-local.iam.gserviceaccount.com",
        validation_alias="SCHEDULER_SERVICE_ACCOUNT_EMAIL",
        description="Account of scheduler tokens.",
    )
    sweep_seconds: float = Field(10.0, description="Pause between two sweeps; zero disables the scheduler.")

    @property
    def base_url(self) -> str:
        """The URL at which other processes reach the HTTP server."""
        return f"http://{self.advertised_host}:{self.http_port}"

    def topic(self, name: str) -> str:
        """Return a topic's full name."""
        return f"projects/{self.project_id}/topics/{name}"

    def subscription(self, name: str) -> str:
        """Return a subscription's full name."""
        return f"projects/{self.project_id}/subscriptions/{name}"
