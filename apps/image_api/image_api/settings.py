"""The API's settings, read from the environment once. There is no default for a secret."""

from functools import cached_property

from pydantic import Field, HttpUrl, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from image_core.db import DatabaseConfig

MEBIBYTE = 1024 * 1024


class ApiSettings(BaseSettings):
    """Everything that may differ between one deployment of the API and another."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    google_cloud_project: str = Field(description="Project that holds topics and buckets.")
    image_upload_bucket_name: str = Field(description="Bucket of the originals.")
    image_derivatives_bucket_name: str = Field(description="Bucket of the derivatives.")
    pubsub_uploads_topic: str = Field("image-uploads", description="Topic that asks for processing.")
    pubsub_events_topic: str = Field("image-events", description="Topic that tells what happened.")
    gcloud_creds_path: str | None = Field(None, description="Service account file; the platform's identity without.")
    storage_emulator_host: str | None = Field(None, description="Object store to use in the place of Cloud Storage.")
    pubsub_emulator_host: str | None = Field(None, description="Broker to use in the place of Pub/Sub.")

    database_url: str | None = Field(None, description="PostgreSQL URL of the login of role image_api.")
    cloud_sql_instance: str | None = Field(None, description="project:region:name, instead of a URL.")
    database_user: str | None = Field(None, description="IAM database user, with CLOUD_SQL_INSTANCE.")
    database_name: str = Field("image_manager", description="Database, with CLOUD_SQL_INSTANCE.")
    database_pool_size: int = Field(8, ge=1, le=100, description="Most connections of one instance.")

    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 (a container's own interface)
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on.")
    public_base_url: HttpUrl | None = Field(None, description="URL under which callers reach the API; used in links.")
    service_version: str = Field("dev", description="Version shown by /version and in traces.")
    log_level: str = Field("INFO", description="Least severe log line that is written.")
    otel_exporter_otlp_endpoint: str | None = Field(None, description="Where traces go; nothing is traced without.")
    metrics_enabled: bool = Field(False, description="Whether /metrics answers.")
    cors_allow_origins: list[str] = Field(default_factory=list, description="Origins of browsers that may call.")
    trusted_proxy_depth: int = Field(
        0, ge=0, le=5, description="How many proxies in front append to X-Forwarded-For; 0 ignores the header."
    )
    max_instances: int = Field(1, ge=1, description="Most instances; each takes its share of a rate limit.")

    rate_limit_per_second: int = Field(50, ge=1, description="Requests a second and key; bursts of twice as many.")
    upload_rate_limit_per_second: int = Field(20, ge=1, description="Uploads a second and key.")
    bad_key_limit_per_minute: int = Field(30, ge=1, description="Attempts with bad keys a minute and address.")

    upload_max_bytes: int = Field(20 * MEBIBYTE, ge=1, description="Largest file through the API.")
    image_max_pixels: int = Field(50_000_000, ge=1, description="Most pixels of one image.")
    image_formats: list[str] = Field(
        default_factory=lambda: ["jpeg", "png", "webp", "gif", "avif", "heic", "tiff"],
        description="Formats that are accepted.",
    )
    upload_deadline_seconds: int = Field(300, ge=15, description="When a pending upload expires.")
    trash_retention_days: int = Field(7, ge=0, description="How long a deleted image can be restored.")

    @model_validator(mode="after")
    def _one_database(self) -> "ApiSettings":
        if bool(self.database_url) == bool(self.cloud_sql_instance):
            raise ValueError("set either DATABASE_URL or CLOUD_SQL_INSTANCE (with DATABASE_USER)")
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

    @cached_property
    def base_url(self) -> str:
        """The public base URL without a slash at its end; empty where none is set, for relative links."""
        return str(self.public_base_url).rstrip("/") if self.public_base_url else ""
