"""Bodies of the credential operations."""

from datetime import datetime
from ipaddress import ip_network
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from image_api.actor import Scope
from image_api.http.field_types import TEXT, JsonBoolean, JsonInteger
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
        wanted = "send a network such as 192.0.2.0/24 or 2001:db8::/32, zeros behind its prefix, or a single address"
        raise ValueError(wanted) from None


AddressRanges = Annotated[
    list[Annotated[str, StringConstraints(max_length=50), AfterValidator(_network)]],
    Field(min_length=1, max_length=MAX_ADDRESS_RANGES),
]
"""Networks in CIDR notation, IPv4 or IPv6; a single address is a network of one."""


class NewCredential(BaseModel):
    """A further key of a user."""

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
        None, description="Null or absent: whatever the caller may do; by an admin, the user."
    )
    expires_at: UtcTime | None = Field(
        None, description="When the key ends. Absent: with the calling key, if that ends; by an admin for others never."
    )
    address_ranges: AddressRanges | None = Field(
        None,
        description="Where the key may be used. Absent: where the calling key may; by an admin for others anywhere.",
    )


class CredentialPatch(BaseModel):
    """A merge patch: what is absent stays; null removes an expiry, the ranges, or a restriction of scopes."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "hourly import", "expires_at": None}]}
    )

    name: Name = Field(default_factory=str)
    scopes: Scopes | None = None
    expires_at: UtcTime | None = None
    address_ranges: AddressRanges | None = None


class LastUse(BaseModel):
    """The last use of a key that is known; it lags by up to a minute."""

    used_at: datetime
    address: str | None
    user_agent: str | None


class FormerKey(BaseModel):
    """The key that the last rotation replaced; dead once its grace period is over."""

    key_prefix: str
    expires_at: datetime
    last_use: LastUse | None


class Credential(BaseModel):
    """A credential, without what proves it. `scopes: null` is whatever the user may do."""

    id: UUID
    user_id: UUID
    name: str
    key_prefix: str
    scopes: list[Scope] | None
    expires_at: datetime | None
    address_ranges: list[str] | None
    last_use: LastUse | None
    previous: FormerKey | None
    created_at: datetime
    rotated_at: datetime | None
    revoked_at: datetime | None
    revoked_reason: str | None


class CreatedCredential(Credential):
    """A new credential with its key, which is shown this once."""

    api_key: ShownOnce


class CredentialPage(BaseModel):
    """A page of credentials, newest first."""

    items: list[Credential]
    next_cursor: str | None


class Rotation(BaseModel):
    """How to rotate a credential; an empty body is a rotation with a day of grace."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"grace_period_seconds": 3600, "reason": "yearly"}]}
    )

    grace_period_seconds: JsonInteger = Field(
        86_400, ge=0, le=MAX_GRACE_SECONDS, description="How long the old key lives on."
    )
    force: JsonBoolean = Field(False, description="Rotate although the previous key is still in its grace period.")
    credential_id: UUID | None = Field(
        None, description="By default the calling key's own, or the user's first that lives."
    )
    expires_at: UtcTime | None = Field(None, description="When the new key ends; as before where it is absent.")
    reason: Annotated[str, StringConstraints(max_length=500, pattern=TEXT)] | None = None


class PreviousKey(BaseModel):
    """The key that the new one replaces."""

    credential_id: UUID
    expires_at: datetime
    last_used_at: datetime | None


class RotatedKey(BaseModel):
    """The new key, shown this once; `previous` is null where no earlier key lives on."""

    credential_id: UUID
    api_key: str
    key_prefix: str
    previous: PreviousKey | None


class KeyReport(BaseModel):
    """A key that was found where it should not be."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"key": "im_3kTz9QwX_<the whole key>"}]})

    key: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ReceivedReport(BaseModel):
    """The same answer for every key, so that nobody learns which are valid."""

    status: Literal["received"]


def shown(row: Record) -> dict[str, Any]:
    """A row as a `Credential` shows it."""
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
