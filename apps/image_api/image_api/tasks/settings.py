"""The settings of `image-tasks`."""

from datetime import timedelta

from pydantic import Field

from image_core.settings import UploadLimitSettings, WebhookSettings


class TasksSettings(UploadLimitSettings, WebhookSettings):
    """All settings that may differ between deployments of `image-tasks`."""

    database_pool_size: int = Field(
        4, ge=1, le=100, description="Maximum number of database connections of one instance."
    )
    port: int = Field(8082, ge=0, le=65535, description="Port to listen on.")

    tasks_audience: str = Field(description="Audience that tokens of scheduler and pushes must name: a full URL.")
    scheduler_service_account_email: str = Field(description="Account whose tokens the sweep endpoint accepts.")
    push_service_account_email: str = Field(description="Account whose tokens the push endpoints accept.")
    push_issuer: str = Field("https://accounts.google.com", description="Issuer of the tokens.")
    push_jwks_url: str = Field("https://www.googleapis.com/oauth2/v3/certs", description="The issuer's public keys.")

    lease_seconds: float = Field(300, gt=0, description="How long a claim of the processor is valid.")
    max_attempts: int = Field(
        5, ge=1, description="Attempts before an image fails; failures of the service itself do not count."
    )
    trash_retention_days: int = Field(7, ge=0, description="How long a deleted image can be restored.")
    event_retention_days: int = Field(30, ge=1, description="How long published events are kept.")

    rendition_retention_days: int = Field(
        30, ge=1, description="How long pictures that were made on demand are kept after their last use, in days."
    )

    delivery_bytes_per_month: int | None = Field(
        None, ge=1, description="Bytes delivered a month for a team, CDN hits not included; unlimited if unset."
    )

    remakes_per_sweep: int = Field(
        60,
        ge=1,
        description="Images for which a sweep requests the pictures of changed eager presets.",
    )

    @property
    def lease(self) -> timedelta:
        """How long a claim is valid."""
        return timedelta(seconds=self.lease_seconds)

    @property
    def trash_retention(self) -> timedelta:
        """How long a deleted image can be restored."""
        return timedelta(days=self.trash_retention_days)

    @property
    def rendition_retention(self) -> timedelta:
        """How long pictures that were made on demand are kept after their last use."""
        return timedelta(days=self.rendition_retention_days)

    @property
    def event_retention(self) -> timedelta:
        """How long published events are kept."""
        return timedelta(days=self.event_retention_days)
