"""The processor's settings, read from the environment once. There is no default for a secret."""

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from image_core.db import DatabaseConfig
from image_processor.limits import PictureLimits

MEBIBYTE = 1024 * 1024


class ProcessorSettings(BaseSettings):
    """Everything that may differ between one deployment of the processor and another."""

    model_config = SettingsConfigDict(hide_input_in_errors=True, frozen=True, extra="ignore")

    google_cloud_project: str = Field(description="Project that holds topics and buckets.")
    image_upload_bucket_name: str = Field(description="Bucket of the originals.")
    image_derivatives_bucket_name: str = Field(description="Bucket of the derivatives.")
    pubsub_uploads_topic: str = Field("image-uploads", description="Topic that asks for processing.")
    pubsub_events_topic: str = Field("image-events", description="Topic that tells what happened.")
    gcloud_creds_path: str | None = Field(None, description="Service account file; the platform's identity without.")
    storage_emulator_host: str | None = Field(None, description="Object store to use in the place of Cloud Storage.")
    pubsub_emulator_host: str | None = Field(None, description="Broker to use in the place of Pub/Sub.")

    database_url: str | None = Field(None, description="PostgreSQL URL of the login of role image_processor.")
    cloud_sql_instance: str | None = Field(None, description="project:region:name, instead of a URL.")
    database_user: str | None = Field(None, description="IAM database user, with CLOUD_SQL_INSTANCE.")
    database_name: str = Field("image_manager", description="Database, with CLOUD_SQL_INSTANCE.")
    database_pool_size: int = Field(4, ge=1, le=100, description="Most connections of one instance.")

    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 (a container's own interface)
    port: int = Field(8081, ge=0, le=65535, description="Port to listen on.")
    service_version: str = Field("dev", description="Version shown by /version and in traces.")
    log_level: str = Field("INFO", description="Least severe log line that is written.")
    otel_exporter_otlp_endpoint: str | None = Field(None, description="Where traces go; nothing is traced without.")
    metrics_enabled: bool = Field(False, description="Whether /metrics answers.")

    push_audience: str = Field(description="Audience that push and scheduler tokens must name: a full URL.")
    push_service_account_email: str = Field(description="Account whose tokens the push endpoint takes.")
    scheduler_service_account_email: str = Field(description="Account whose tokens the sweep endpoint takes.")
    push_issuer: str = Field("https://accounts.google.com", description="Issuer of the tokens.")
    push_jwks_url: str = Field("https://www.googleapis.com/oauth2/v3/certs", description="The issuer's public keys.")
    push_max_delivery_attempts: int = Field(10, ge=1, description="The subscription's tries before the dead letter.")

    worker_count: int = Field(2, ge=1, le=32, description="Pictures in work at once.")
    worker_memory_limit_bytes: int = Field(512 * MEBIBYTE, description="Resident memory that no worker exceeds.")
    worker_rss_mark_bytes: int = Field(256 * MEBIBYTE, description="A worker that holds more afterwards is replaced.")
    worker_max_pictures: int = Field(500, ge=1, description="Pictures after which a worker is replaced.")
    job_deadline_seconds: float = Field(60, gt=0, description="When a picture in work is given up for good.")
    lease_seconds: float = Field(300, gt=0, description="How long a claim holds; longer than the job's deadline.")
    max_attempts: int = Field(5, ge=1, description="Claims of an image before it fails for good.")
    original_max_bytes: int = Field(200 * MEBIBYTE, ge=1, description="Largest original, uploads straight to storage.")
    image_max_pixels: int = Field(50_000_000, ge=1, description="Most pixels of one image.")
    image_max_decoded_bytes: int = Field(256 * MEBIBYTE, ge=1, description="Most bytes decoded, all frames together.")
    image_formats: list[str] = Field(
        default_factory=lambda: ["jpeg", "png", "webp", "gif", "avif", "heic", "tiff"],
        description="Formats that are accepted.",
    )
    trash_retention_days: int = Field(7, ge=0, description="How long a deleted image can be restored.")
    event_retention_days: int = Field(30, ge=1, description="How long published events are kept.")

    @model_validator(mode="after")
    def _consistent(self) -> "ProcessorSettings":
        if bool(self.database_url) == bool(self.cloud_sql_instance):
            raise ValueError("set either DATABASE_URL or CLOUD_SQL_INSTANCE (with DATABASE_USER)")
        if self.lease_seconds <= self.job_deadline_seconds:
            raise ValueError("LEASE_SECONDS must be longer than JOB_DEADLINE_SECONDS")
        return self

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

    @property
    def limits(self) -> PictureLimits:
        """What a picture may be."""
        return PictureLimits(
            max_pixels=self.image_max_pixels,
            max_decoded_bytes=self.image_max_decoded_bytes,
            allowed_formats=tuple(self.image_formats),  # type: ignore[arg-type]
        )
