"""Bodies of the user operations."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from image_api.actor import Role, Scope
from image_api.http.field_types import JsonBoolean, KnownScopes, describe_pattern
from image_api.http.shown_once import ShownOnce
from image_api.teams.schemas import Name

# Enough to catch a typo; only a delivered message proves an address.
_ADDRESS = describe_pattern(r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$", "Send an address such as ada@example.org.")
Email = Annotated[str, StringConstraints(strip_whitespace=True, max_length=254, pattern=_ADDRESS)]


class NewUser(BaseModel):
    """User to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Ada", "role": "member"}]})

    name: Name
    email: Email | None = None
    role: Role = Role.MEMBER
    scopes: list[Scope] | None = Field(None, max_length=len(Scope))


class UserPatch(BaseModel):
    """JSON merge patch: absent fields stay as they are."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"disabled": True}]})

    name: Name = Field(default_factory=str)
    email: Email | None = None
    role: Role = Field(default_factory=lambda: Role.MEMBER)
    scopes: list[Scope] = Field(default_factory=list, max_length=len(Scope))
    disabled: JsonBoolean = Field(default_factory=bool)


class User(BaseModel):
    """A user."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    team_id: UUID | None
    name: str
    email: str | None
    role: Role
    scopes: KnownScopes
    disabled_at: datetime | None
    created_at: datetime
    updated_at: datetime


class CreatedUser(BaseModel):
    """A new user with its first API key."""

    user: User
    api_key: ShownOnce
    key_prefix: str
    credential_id: UUID


class UserPage(BaseModel):
    """A page of users, newest first."""

    items: list[User]
    next_cursor: str | None


class WhoAmI(BaseModel):
    """The caller."""

    user_id: UUID
    user_name: str
    team_id: UUID | None
    role: Role
    scopes: KnownScopes
    credential_id: UUID | None
    key_prefix: str | None
    key_expires_at: datetime | None
    is_default_key: bool
    session_id: UUID | None
    credits_left: int | None = Field(description="Available credits of the team. Null for a caller without a team.")
