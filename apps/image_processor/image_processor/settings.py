"""The processor's settings."""

import os

from pydantic import Field, model_validator

from image_core.settings import MEBIBYTE, ServiceSettings
from image_engine.contract.limits import PictureLimits


class ProcessorSettings(ServiceSettings):
    """All settings that may differ between deployments of the processor."""

    database_pool_size: int = Field(
        4, ge=1, le=100, description="Maximum number of database connections of one instance."
    )
    port: int = Field(8081, ge=0, le=65535, description="Port to listen on.")

    push_audience: str = Field(description="Audience that push tokens must name: a full URL.")
    push_service_account_email: str = Field(description="Account whose tokens the push endpoint accepts.")
    push_issuer: str = Field("https://accounts.google.com", description="Issuer of the tokens.")
    push_jwks_url: str = Field("https://www.googleapis.com/oauth2/v3/certs", description="The issuer's public keys.")
    push_max_delivery_attempts: int = Field(
        10, ge=1, description="Delivery attempts of the subscription before a message becomes a dead letter."
    )
    push_renditions_max_delivery_attempts: int = Field(
        100,
        ge=1,
        description="As `PUSH_MAX_DELIVERY_ATTEMPTS`, of the subscription for renditions, whose messages are delivered"
        " again as long as uploads need all workers.",
    )

    worker_count: int = Field(2, ge=1, le=32, description="Number of worker processes: pictures processed at once.")
    worker_memory_limit_bytes: int = Field(512 * MEBIBYTE, description="Maximum resident memory of a worker.")
    worker_rss_mark_bytes: int = Field(
        256 * MEBIBYTE, description="A worker with more resident memory after a picture is replaced."
    )
    worker_max_pictures: int = Field(500, ge=1, description="Number of pictures after which a worker is replaced.")
    worker_confinement_required: bool = Field(
        default_factory=lambda: "K_SERVICE" in os.environ,
        description="Refuse to start workers that could open sockets or start programs. Always true on Cloud Run.",
    )
    model_path: str | None = Field(
        None, description="Model for `labels`: a folder, an .onnx file, or gs://bucket/prefix of either."
    )
    embedding_model_path: str | None = Field(
        None,
        description="Model for the vectors of similar images, in the same form; used besides the built-in descriptor.",
    )
    vision_endpoint: str = Field(
        "vision.googleapis.com", description="Endpoint of Cloud Vision; eu-vision.googleapis.com stays in the EU."
    )
    vision_emulator_host: str | None = Field(None, description="Address (host:port) of an emulator of Cloud Vision.")
    job_deadline_seconds: float = Field(
        60,
        gt=0,
        description="Maximum time for a picture; the failure is permanent if its worker ran for at least half of it.",
    )
    lease_seconds: float = Field(
        300, gt=0, description="How long a claim is valid; must be longer than JOB_DEADLINE_SECONDS."
    )
    max_attempts: int = Field(
        5, ge=1, description="Attempts before an image fails; failures of the service itself do not count."
    )
    original_max_bytes: int = Field(
        200 * MEBIBYTE, ge=1, description="Maximum size of an original that was uploaded directly to storage."
    )
    image_max_decoded_bytes: int = Field(
        256 * MEBIBYTE, ge=1, description="Maximum decoded size of all frames together."
    )

    @model_validator(mode="after")
    def _lease_outlasts_job(self) -> "ProcessorSettings":
        if self.lease_seconds <= self.job_deadline_seconds:
            raise ValueError("LEASE_SECONDS must be longer than JOB_DEADLINE_SECONDS")
        return self

    @property
    def model_paths(self) -> dict[str, str | None]:
        """The path of each role's model."""
        return {"labels": self.model_path, "embedding": self.embedding_model_path}

    @property
    def limits(self) -> PictureLimits:
        """The limits of a picture."""
        return PictureLimits(
            max_pixels=self.image_max_pixels,
            max_decoded_bytes=self.image_max_decoded_bytes,
            allowed_formats=tuple(self.image_formats),  # type: ignore[arg-type]
        )
