"""Bodies of the credential operations."""

from datetime import datetime
from ipaddress import ip_network
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from image_api.actor import Scope
from image_api.http.field_types import TEXT, JsonBoolean, JsonInteger, KnownScopes
from image_api.http.shown_once import ShownOnce
from image_api.http.timestamps import UtcTime
from image_api.proofs.key_cache import key_ends_at
from image_api.teams.schemas import Name
from image_core.db import Record
from image_core.keys.api_keys import PREFIX

MAX_GRACE_SECONDS = 7 * 24 * 3600
MAX_ADDRESS_RANGES = 20

Scopes = Annotated[list[Scope], Field(max_length=len(Scope))]


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        message = "send a network such as 192.0.2.0/24 or 2001:db8::/32, zeros behind its prefix, or a single address"
        raise ValueError(message) from None


AddressRanges = Annotated[
    list[Annotated[str, StringConstraints(max_length=50), AfterValidator(_network)]],
    Field(min_length=1, max_length=MAX_ADDRESS_RANGES),
]
"""Networks in CIDR notation, IPv4 or IPv6; a single address is a network of one."""


class NewCredential(BaseModel):
    """An API key to create."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "nightly import",
                    "scopes": ["images:write"],
                    "expires_at": "2030-01-01T00:00:00Z",
                    "address_ranges": ["192.0.2.0/24"],
                }
            ]
        },
    )

    name: Name
    scopes: Scopes | None = Field(
        None,
        description="Scopes. Null or absent: all of the calling key or, if an admin creates it, of the user.",
    )
    expires_at: UtcTime | None = Field(
        None,
        description="Time of expiry. Absent: as the calling key, or never if an admin creates it. Null: never.",
    )
    address_ranges: AddressRanges | None = Field(
        None,
        description="Networks that the key can be used from, in CIDR notation, 1 to 20. Absent: as the calling key, or"
        " any network if an admin creates it. Null: any network.",
    )


class CredentialPatch(BaseModel):
    """JSON merge patch: absent fields stay as they are."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "hourly import", "expires_at": None}]}
    )

    name: Name = Field(default_factory=str)
    scopes: Scopes | None = None
    expires_at: UtcTime | None = None
    address_ranges: AddressRanges | None = None


class LastUse(BaseModel):
    """Most recent use of a key, delayed by up to a minute."""

    used_at: datetime
    address: str | None
    user_agent: str | None


class FormerKey(BaseModel):
    """The key that the last rotation replaced, during its grace period."""

    key_prefix: str
    expires_at: datetime
    last_use: LastUse | None


class Credential(BaseModel):
    """A credential (API key), without its secret."""

    id: UUID
    user_id: UUID
    name: str
    key_prefix: str
    scopes: KnownScopes | None
    expires_at: datetime | None
    address_ranges: list[str] | None
    last_use: LastUse | None
    previous: FormerKey | None
    created_at: datetime
    rotated_at: datetime | None
    revoked_at: datetime | None
    revoked_reason: str | None


class CreatedCredential(Credential):
    """A new credential with its API key."""

    api_key: ShownOnce


class CredentialPage(BaseModel):
    """A page of credentials, newest first."""

    items: list[Credential]
    next_cursor: str | None


class Rotation(BaseModel):
    """How to rotate an API key. Without a body, the old key works for one more day."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"grace_period_seconds": 3600, "reason": "yearly"}]}
    )

    grace_period_seconds: JsonInteger = Field(
        86_400,
        ge=0,
        le=MAX_GRACE_SECONDS,
        description="Seconds for which the old key keeps working: 0 to 604800 (7 days).",
    )
    force: JsonBoolean = Field(
        False, description="Rotate even if an earlier key is still in its grace period; that key stops working."
    )
    credential_id: UUID | None = Field(
        None,
        description="Credential to rotate. Null or absent: the calling key, or the user's first active one.",
    )
    expires_at: UtcTime | None = Field(None, description="New time of expiry. Null or absent to leave it unchanged.")
    reason: Annotated[str, StringConstraints(max_length=500, pattern=TEXT)] | None = None


class PreviousKey(BaseModel):
    """The key that was replaced."""

    credential_id: UUID
    expires_at: datetime
    last_used_at: datetime | None


class RotatedKey(BaseModel):
    """The new API key, and the key that it replaces."""

    credential_id: UUID
    api_key: str
    key_prefix: str
    previous: PreviousKey | None


class KeyReport(BaseModel):
    """A leaked API key."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"key": "im_3kTz9QwX_<the whole key>"}]})

    key: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ReceivedReport(BaseModel):
    """Response to a report. It is the same for every key, so it does not reveal which keys are valid."""

    status: Literal["received"]


def shown(row: Record) -> dict[str, Any]:
    """Return a row as a `Credential`."""
    previous = None
    if row["previous_public_id"] is not None:
        previous = {
            "key_prefix": PREFIX + row["previous_public_id"],
            "expires_at": key_ends_at(row, previous=True),
            "last_use": _last_use(row, "previous_"),
        }
    key_prefix = PREFIX + row["public_id"]
    return dict(row) | {"key_prefix": key_prefix, "last_use": _last_use(row, ""), "previous": previous}


def _last_use(row: Record, of: str) -> dict[str, Any] | None:
    used_at = row[f"{of}last_used_at"]
    if used_at is None:
        return None
    return {
        "used_at": used_at,
        "address": row[f"{of}last_used_address"],
        "user_agent": row[f"{of}last_used_agent"],
    }
