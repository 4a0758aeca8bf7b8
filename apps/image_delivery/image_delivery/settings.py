"""The settings of image-delivery."""

import os
from typing import Self

from pydantic import Field, HttpUrl, SecretStr, model_validator

from image_core.settings import MEBIBYTE, ServiceSettings
from image_engine.contract.limits import PictureLimits


class DeliverySettings(ServiceSettings):
    """Everything that may differ between one deployment of image-delivery and another."""

    database_pool_size: int = Field(
        3, ge=1, le=100, description="Maximum number of database connections of one instance."
    )
    port: int = Field(8083, ge=0, le=65535, description="Port to listen on.")
    public_base_url: HttpUrl | None = Field(None, description="URL of the API as callers reach it; used in links.")

    delivery_master: SecretStr | None = Field(
        None,
        description="Master secret from which delivery keys are derived: 32 bytes in base64url. The one before it may"
        " follow on a second line; its addresses are only renewed.",
    )
    delivery_master_secret: str | None = Field(
        None,
        pattern=r"^projects/[^/]+/secrets/[^/]+$",
        description="Secret (projects/…/secrets/…) whose latest version contains that master secret, instead.",
    )
    delivery_cache_seconds: int = Field(
        86_400, ge=0, description="Longest time for which browsers may keep a picture, in seconds."
    )
    delivery_outage_seconds: int = Field(
        600, ge=5, description="How long what was read counts as fresh while the database does not respond, in seconds."
    )
    delivery_memory_bytes: int = Field(
        64 * MEBIBYTE, ge=0, description="Memory for pictures of up to 256 KiB that are served without storage."
    )
    delivery_queue_seconds: float = Field(
        10, gt=0, description="Longest time that a picture waits for a worker before it is refused, in seconds."
    )
    delivery_max_transforms: int | None = Field(
        64, ge=1, description="Stored transforms of an image; the least recently used go first. Unlimited if unset."
    )
    delivery_exact_makes_per_day: int | None = Field(
        20_000, ge=1, description="Pictures made a day for a team's addresses that are signed one by one (scope `e`)."
    )
    delivery_open_makes_per_day: int | None = Field(
        20_000, ge=1, description="Pictures made a day for a team's other addresses: scope `p` and public images."
    )
    delivery_bytes_per_month: int | None = Field(
        None, ge=1, description="Bytes delivered a month for a team, CDN hits not included; unlimited if unset."
    )

    worker_count: int = Field(1, ge=1, le=32, description="Number of worker processes: pictures processed at once.")
    worker_memory_limit_bytes: int = Field(512 * MEBIBYTE, description="Maximum resident memory of a worker.")
    worker_rss_mark_bytes: int = Field(
        256 * MEBIBYTE, description="A worker with more resident memory after a picture is replaced."
    )
    worker_max_pictures: int = Field(500, ge=1, description="Number of pictures after which a worker is replaced.")
    worker_confinement_required: bool = Field(
        default_factory=lambda: "K_SERVICE" in os.environ,
        description="Refuse to start workers that could open sockets or start programs. Always true on Cloud Run.",
    )
    image_max_decoded_bytes: int = Field(
        256 * MEBIBYTE, ge=1, description="Maximum decoded size of all frames together."
    )

    @model_validator(mode="after")
    def _one_master(self) -> Self:
        if bool(self.delivery_master) == bool(self.delivery_master_secret):
            raise ValueError("set either DELIVERY_MASTER or DELIVERY_MASTER_SECRET")
        return self

    @property
    def base_url(self) -> str:
        """Where the API answers, without a slash at the end; empty if that is not known."""
        return str(self.public_base_url or "").rstrip("/")

    @property
    def limits(self) -> PictureLimits:
        """Return what a picture may be."""
        return PictureLimits(
            max_pixels=self.image_max_pixels,
            max_decoded_bytes=self.image_max_decoded_bytes,
            allowed_formats=tuple(self.image_formats),  # type: ignore[arg-type]
        )
