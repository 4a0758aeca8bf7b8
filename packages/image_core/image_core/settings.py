"""Settings common to all services: dependencies, listening address, and telemetry."""

from ipaddress import IPv4Network, IPv6Network
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from image_core.billing.storage_quota import StorageQuota
from image_core.db import DatabaseConfig
from image_core.events import Topic
from image_core.keys import master_secrets
from image_core.keys.master_secrets import MasterSecret

MEBIBYTE = 1024 * 1024


class ServiceSettings(BaseSettings):
    """Settings read once from the environment, and frozen. Secrets have no defaults."""

    # A rejected value may be a secret, so errors do not repeat it.
    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, env_parse_none_str="null")

    google_cloud_project: str = Field(description="Project of the topics and buckets.")
    image_upload_bucket_name: str = Field(description="Bucket for originals.")
    image_derivatives_bucket_name: str = Field(description="Bucket for derivatives.")
    image_scratch_bucket_name: str = Field(description="Bucket for files that are analyzed without becoming images.")
    pubsub_uploads_topic: str = Field("image-uploads", description="Topic that requests processing.")
    pubsub_events_topic: str = Field("image-events", description="Topic for events.")
    pubsub_analyses_topic: str = Field("image-analyses", description="Topic that requests analyses.")
    pubsub_renditions_topic: str = Field(
        "image-renditions", description="Topic that requests renditions in the background."
    )
    pubsub_tasks_topic: str = Field("image-tasks", description="Topic that requests a step of image-tasks at once.")
    gcloud_creds_path: str | None = Field(
        None, description="Service account file; if unset, the platform's identity is used."
    )
    storage_emulator_host: str | None = Field(None, description="Object store that replaces Cloud Storage.")
    pubsub_emulator_host: str | None = Field(None, description="Broker that replaces Pub/Sub.")

    database_url: str | None = Field(None, description="PostgreSQL URL with the login of the service's role.")
    cloud_sql_instance: str | None = Field(None, description="Instance (project:region:name), instead of a URL.")
    database_user: str | None = Field(None, description="IAM database user, with CLOUD_SQL_INSTANCE.")
    database_name: str = Field("image_manager", description="Database, with CLOUD_SQL_INSTANCE.")
    database_pool_size: int = Field(
        8, ge=1, le=100, description="Maximum number of database connections of one instance."
    )

    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 (a container's own interface)
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on.")
    service_version: str = Field("dev", description="Version shown by /version and in traces.")
    log_level: str = Field("INFO", description="Minimum severity of log lines.")
    otel_exporter_otlp_endpoint: str | None = Field(
        None, description="Collector for traces; if unset, nothing is traced."
    )
    metrics_enabled: bool = Field(False, description="Enable /metrics.")

    default_quota_bytes: int | None = Field(
        None, ge=0, description="Maximum bytes stored by a team; unlimited if unset."
    )
    default_quota_images: int | None = Field(
        None, ge=0, description="Maximum number of images of a team; unlimited if unset."
    )

    image_max_pixels: int = Field(50_000_000, ge=1, description="Maximum number of pixels of an image.")
    image_formats: list[str] = Field(
        default_factory=lambda: ["jpeg", "png", "webp", "gif", "avif", "heic", "tiff"],
        description="Accepted formats.",
    )

    @model_validator(mode="after")
    def _one_database(self) -> Self:
        if bool(self.database_url) == bool(self.cloud_sql_instance):
            raise ValueError("set either DATABASE_URL or CLOUD_SQL_INSTANCE (with DATABASE_USER)")
        return self

    @property
    def topics(self) -> dict[Topic, str]:
        """The topics' names by role."""
        return {
            Topic.UPLOADS: self.pubsub_uploads_topic,
            Topic.EVENTS: self.pubsub_events_topic,
            Topic.ANALYSES: self.pubsub_analyses_topic,
            Topic.RENDITIONS: self.pubsub_renditions_topic,
            Topic.TASKS: self.pubsub_tasks_topic,
        }

    @property
    def default_quota(self) -> StorageQuota:
        """The quota of teams that have none of their own."""
        return StorageQuota(self.default_quota_bytes, self.default_quota_images)

    @property
    def database(self) -> DatabaseConfig:
        """The database settings, as `image_core.db` takes them."""
        return DatabaseConfig(
            url=self.database_url,
            cloud_sql_instance=self.cloud_sql_instance,
            user=self.database_user,
            name=self.database_name,
            pool_size=self.database_pool_size,
        )


def open_master(master: SecretStr | None, secret: str | None) -> MasterSecret | None:
    """Return a master secret of either setting, to be read at its first use; None if there is none."""
    if secret is not None:
        return master_secrets.from_secret(secret)
    return None if master is None else MasterSecret(master.get_secret_value)


class PurgedHashSettings(ServiceSettings):
    """Settings of the services that remember purged files, or look them up."""

    purged_hash_master: SecretStr | None = Field(
        None,
        description="Master secret under which purged files are remembered: 32 bytes in base64url. If neither this nor"
        " its secret is set, they are not.",
    )
    purged_hash_master_secret: str | None = Field(
        None,
        pattern=r"^projects/[^/]+/secrets/[^/]+$",
        description="Secret (projects/…/secrets/…) whose latest version contains the master secret of purged files.",
    )

    @field_validator("purged_hash_master")
    @classmethod
    def _is_master_of_hashes(cls, master: SecretStr | None) -> SecretStr | None:
        if master is not None:
            master_secrets.from_text(master.get_secret_value())
        return master

    @model_validator(mode="after")
    def _one_master_of_hashes(self) -> Self:
        if self.purged_hash_master and self.purged_hash_master_secret:
            raise ValueError("set PURGED_HASH_MASTER or PURGED_HASH_MASTER_SECRET, not both")
        return self

    def open_purged_hash_master(self) -> MasterSecret | None:
        """Return the master secret, to be read at its first use; None if there is none."""
        return open_master(self.purged_hash_master, self.purged_hash_master_secret)


class UploadLimitSettings(PurgedHashSettings):
    """Settings of the services that take files in: by upload, or from where a caller says."""

    upload_max_bytes: int = Field(20 * MEBIBYTE, ge=1, description="Maximum size of a file uploaded through the API.")
    upload_deadline_seconds: int = Field(300, ge=15, description="Time after which a pending upload expires.")
    direct_upload_max_bytes: int = Field(
        200 * MEBIBYTE,
        ge=1,
        description="Maximum size of a file sent directly to storage; the processor's ORIGINAL_MAX_BYTES applies too.",
    )
    fetch_deadline_seconds: int = Field(25, ge=1, description="Maximum time that an import waits for its source.")
    fetch_allow_addresses: list[IPv4Network | IPv6Network] = Field(
        default_factory=list,
        description="Private networks that imports may fetch from, for example for an internal picture server.",
    )


class WebhookSettings(PurgedHashSettings):
    """Settings of the services that show the secrets of webhooks, or sign with them."""

    webhook_master: SecretStr | None = Field(
        None,
        description="Master secret from which the secrets of webhooks are derived: 32 bytes in base64url. The one"
        " before it may follow on a second line. Without it and its secret, webhooks are off.",
    )
    webhook_master_secret: str | None = Field(
        None,
        pattern=r"^projects/[^/]+/secrets/[^/]+$",
        description="Secret (projects/…/secrets/…) whose latest version contains that master secret, instead.",
    )
    webhook_allow_addresses: list[IPv4Network | IPv6Network] = Field(
        default_factory=list,
        description="Private networks that webhooks may be sent to, on any port, for a receiver on one's own machine."
        " Whoever manages webhooks reads its answers.",
    )
    webhook_allow_http: bool = Field(False, description="Let webhooks be sent by plain HTTP; for tests.")

    @field_validator("webhook_master")
    @classmethod
    def _is_master_of_webhooks(cls, master: SecretStr | None) -> SecretStr | None:
        if master is not None:
            master_secrets.masters_from_text(master.get_secret_value())
        return master

    @model_validator(mode="after")
    def _one_master_of_webhooks(self) -> Self:
        if self.webhook_master and self.webhook_master_secret:
            raise ValueError("set WEBHOOK_MASTER or WEBHOOK_MASTER_SECRET, not both")
        return self

    def open_webhook_master(self) -> MasterSecret | None:
        """Return the master secret of webhooks, to be read at its first use; None if there is none."""
        return open_master(self.webhook_master, self.webhook_master_secret)
