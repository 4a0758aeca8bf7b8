"""The settings that every service has: where its parts are, and how it listens and tells of itself."""

from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from image_core.billing.storage_quota import StorageQuota
from image_core.db import DatabaseConfig
from image_core.events import Topic

MEBIBYTE = 1024 * 1024


class ServiceSettings(BaseSettings):
    """Read from the environment once, and frozen. There is no default for a secret."""

    # A value that is refused may be a secret: it is not repeated.
    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    google_cloud_project: str = Field(description="Project that holds topics and buckets.")
    image_upload_bucket_name: str = Field(description="Bucket of the originals.")
    image_derivatives_bucket_name: str = Field(description="Bucket of the derivatives.")
    image_scratch_bucket_name: str = Field(description="Bucket of files that are analysed without being kept.")
    pubsub_uploads_topic: str = Field("image-uploads", description="Topic that asks for processing.")
    pubsub_events_topic: str = Field("image-events", description="Topic that tells what happened.")
    pubsub_analyses_topic: str = Field("image-analyses", description="Topic that asks for analyses.")
    gcloud_creds_path: str | None = Field(None, description="Service account file; the platform's identity without.")
    storage_emulator_host: str | None = Field(None, description="Object store to use in the place of Cloud Storage.")
    pubsub_emulator_host: str | None = Field(None, description="Broker to use in the place of Pub/Sub.")

    database_url: str | None = Field(None, description="PostgreSQL URL of the login of the service's own role.")
    cloud_sql_instance: str | None = Field(None, description="project:region:name, instead of a URL.")
    database_user: str | None = Field(None, description="IAM database user, with CLOUD_SQL_INSTANCE.")
    database_name: str = Field("image_manager", description="Database, with CLOUD_SQL_INSTANCE.")
    database_pool_size: int = Field(8, ge=1, le=100, description="Most connections of one instance.")

    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 (a container's own interface)
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on.")
    service_version: str = Field("dev", description="Version shown by /version and in traces.")
    log_level: str = Field("INFO", description="Least severe log line that is written.")
    otel_exporter_otlp_endpoint: str | None = Field(None, description="Where traces go; nothing is traced without.")
    metrics_enabled: bool = Field(False, description="Whether /metrics answers.")

    default_quota_bytes: int | None = Field(None, ge=0, description="Bytes a team may hold; no limit without.")
    default_quota_images: int | None = Field(None, ge=0, description="Images a team may hold; no limit without.")

    image_max_pixels: int = Field(50_000_000, ge=1, description="Most pixels of one image.")
    image_formats: list[str] = Field(
        default_factory=lambda: ["jpeg", "png", "webp", "gif", "avif", "heic", "tiff"],
        description="Formats that are accepted.",
    )

    @model_validator(mode="after")
    def _one_database(self) -> Self:
        if bool(self.database_url) == bool(self.cloud_sql_instance):
            raise ValueError("set either DATABASE_URL or CLOUD_SQL_INSTANCE (with DATABASE_USER)")
        return self

    @property
    def topics(self) -> dict[Topic, str]:
        """The topics' names, by their role."""
        return {
            Topic.UPLOADS: self.pubsub_uploads_topic,
            Topic.EVENTS: self.pubsub_events_topic,
            Topic.ANALYSES: self.pubsub_analyses_topic,
        }

    @property
    def default_quota(self) -> StorageQuota:
        """What a team may hold that has no quota of its own."""
        return StorageQuota(self.default_quota_bytes, self.default_quota_images)

    @property
    def database(self) -> DatabaseConfig:
        """The database part, as `image_core.db` takes it."""
        return DatabaseConfig(
            url=self.database_url,
            cloud_sql_instance=self.cloud_sql_instance,
            user=self.database_user,
            name=self.database_name,
            pool_size=self.database_pool_size,
        )
