"""Response bodies of usage and limits."""

from datetime import date
from uuid import UUID

from pydantic import BaseModel, Field

_DAY = Field(description="Day in UTC.")


class CountedRequests(BaseModel):
    """Requests of one day, by operation or by key."""

    day: date = _DAY
    operation: str | None = Field(
        description="Method and path of the operation, for example `GET /api/v1/images`. Null if grouped by key."
    )
    credential_id: UUID | None = Field(
        description="ID of the credential (API key). Null for requests of sessions, and if grouped by operation."
    )
    requests: int = Field(description="Number of requests.")
    failed: int = Field(description="Number of those requests whose status was 400 or greater.")


class SpentCredits(BaseModel):
    """Credits spent on one day, by operation."""

    day: date = _DAY
    operation: str = Field(description="Operation that the credits were spent on, for example `analyze:quality`.")
    credits: int = Field(description="Credits spent, less those that were returned on this day.")


class DeliveredPictures(BaseModel):
    """What was delivered to browsers on one day."""

    day: date = _DAY
    requests: int = Field(
        description="Number of requests that image-delivery answered; those of a CDN are not counted."
    )
    bytes: int = Field(description="Bytes that it sent.")
    pictures_made: int = Field(description="Number of pictures made on demand.")


class Usage(BaseModel):
    """What a team used in a period: the newest day first, and only what is not zero."""

    team_id: UUID
    first_day: date = Field(description="First day of the period, in UTC.")
    last_day: date = Field(description="Last day of the period, in UTC.")
    requests: list[CountedRequests] = Field(
        description="Requests of members of the team, up to about a minute ago. Those that were refused for lack of a"
        " valid key are not counted."
    )
    credits: list[SpentCredits] = Field(description="Credits spent on analyses.")
    delivery: list[DeliveredPictures] = Field(description="Delivery, up to about a minute ago.")


class RateLimit(BaseModel):
    """A rate limit of a caller."""

    policy: str = Field(description="Name of the limit, as in the header `RateLimit-Policy`.")
    requests: int = Field(description="Maximum number of requests in a window.")
    window_seconds: int = Field(description="Length of the window in seconds.")


class UploadLimits(BaseModel):
    """Limits of an upload."""

    max_bytes: int = Field(description="Maximum size of a file in bytes.")
    deadline_seconds: int = Field(description="Seconds after which an upload expires that has not arrived.")


class Quota(BaseModel):
    """How much a team may have of something, and has."""

    used: int = Field(description="Amount that the team has.")
    limit: int | None = Field(description="Maximum amount. Null if unlimited.")


class TeamQuotas(BaseModel):
    """Quotas of a team."""

    storage_bytes: Quota = Field(description="Bytes stored, including the trash and uploads in progress.")
    images: Quota = Field(description="Images stored, including the trash and uploads in progress.")
    presets: Quota = Field(description="Presets besides the built-in ones.")
    collections: Quota = Field(description="Collections.")
    saved_searches: Quota = Field(description="Saved searches.")
    share_links: Quota = Field(description="Share links, including expired ones.")


class Limits(BaseModel):
    """Limits of this deployment, and the quotas of a team."""

    team_id: UUID
    rate_limits: list[RateLimit] = Field(
        description="How often each key may send requests; without a shared count, each instance grants a part."
    )
    upload: UploadLimits = Field(description="Limits of an upload through the API.")
    images_per_request: int = Field(description="Maximum number of images that one request may name.")
    images_per_collection: int = Field(description="Maximum number of images in a collection.")
    quotas: TeamQuotas = Field(description="Quotas of the team, and what it uses of them.")
