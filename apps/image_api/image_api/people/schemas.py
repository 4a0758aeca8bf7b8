"""Bodies of signing in, registering, and of what admins do for that."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from image_api.actor import Role, Scope
from image_api.http.field_types import JsonInteger
from image_api.http.shown_once import ShownOnce
from image_api.proofs.passwords import MAX_LENGTH
from image_api.teams.schemas import Name
from image_api.users.schemas import Email


def _text(password: SecretStr) -> SecretStr:
    try:
        password.get_secret_value().encode()
    except UnicodeEncodeError:
        # JSON can contain half of a surrogate pair. The default error would repeat the password.
        raise ValueError("the password is not valid Unicode") from None
    return password


# Four times the maximum, because normalization may shorten a password; the rule checks the final length.
Password = Annotated[SecretStr, Field(min_length=1, max_length=4 * MAX_LENGTH), AfterValidator(_text)]
OneTimeToken = Annotated[str, StringConstraints(min_length=1, max_length=100)]
_DAY_SECONDS = 86_400


class Mode(StrEnum):
    """How a session is sent: in access tokens, or in a cookie for browsers."""

    TOKEN = "token"  # noqa: S105 (a word)
    COOKIE = "cookie"


class Login(BaseModel):
    """Credentials to sign in with."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"email": "ada@example.org", "password": "correct horse battery"}]},
    )

    email: Email
    password: Password
    mode: Mode = Mode.TOKEN


class AccessToken(BaseModel):
    """An access token. Refresh it before it expires."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 (the word of RFC 6750)
    expires_in: int = Field(description="Seconds until the token expires.")
    session_id: UUID
    session_expires_at: datetime


class CookieSession(BaseModel):
    """A session whose cookie has been set by this response."""

    csrf_token: str
    session_id: UUID
    session_expires_at: datetime


class CurrentSession(BaseModel):
    """The session of this request."""

    session_id: UUID
    session_expires_at: datetime
    csrf_token: str | None = Field(
        description="Token to send as `X-CSRF-Token`. Null for a session with access tokens."
    )
    user_id: UUID
    user_name: str
    team_id: UUID | None
    role: Role
    scopes: list[Scope]


class Session(BaseModel):
    """An active session, and the client that started it."""

    id: UUID
    current: bool
    address: str | None
    user_agent: str | None
    created_at: datetime
    expires_at: datetime


class SessionList(BaseModel):
    """Sessions of the caller, newest first."""

    items: list[Session]


class Registration(BaseModel):
    """Account to create."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"email": "ada@example.org", "name": "Ada", "password": "correct horse battery"}]
        },
    )

    email: Email
    name: Name
    password: Password
    invitation_token: OneTimeToken | None = None


class Registered(BaseModel):
    """Response to a registration. It is the same if the address already has an account."""

    status: str = "accepted"


class PasswordChange(BaseModel):
    """The current password and a new one."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"current_password": "correct horse battery", "password": "staple battery horse"}]
        },
    )

    current_password: Password
    password: Password


class PasswordReset(BaseModel):
    """A new password, with the token of a password reset."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"token": "<token of the reset>", "password": "staple battery horse"}]},
    )

    token: OneTimeToken
    password: Password


class NewPasswordReset(BaseModel):
    """Password reset to issue. Without a body, it is valid for one day."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"expires_in_seconds": 3600}]})

    expires_in_seconds: JsonInteger = Field(_DAY_SECONDS, ge=60, le=7 * _DAY_SECONDS)


class IssuedPasswordReset(BaseModel):
    """A password reset with its token."""

    id: UUID
    token: ShownOnce
    expires_at: datetime


class NewInvitation(BaseModel):
    """Invitation to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"email": "ada@example.org"}]})

    email: Email
    role: Role = Role.MEMBER
    expires_in_seconds: JsonInteger = Field(7 * _DAY_SECONDS, ge=60, le=30 * _DAY_SECONDS)


class Invitation(BaseModel):
    """An invitation into a team."""

    id: UUID
    team_id: UUID
    email: str
    role: Role
    invited_by: UUID | None
    created_at: datetime
    expires_at: datetime
    accepted_at: datetime | None
    revoked_at: datetime | None


class CreatedInvitation(Invitation):
    """A new invitation with its token."""

    token: ShownOnce


class InvitationPage(BaseModel):
    """A page of a team's invitations, newest first."""

    items: list[Invitation]
    next_cursor: str | None
