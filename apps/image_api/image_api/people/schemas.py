"""Bodies of signing in, registering, and of what admins do for that."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from image_api.actor import Role, Scope
from image_api.http.field_types import JsonInteger
from image_api.http.shown_once import ShownOnce
from image_api.proofs.passwords import MOST_LENGTH
from image_api.teams.schemas import Name
from image_api.users.schemas import Email


def _text(password: SecretStr) -> SecretStr:
    try:
        password.get_secret_value().encode()
    except UnicodeEncodeError:
        # JSON can name one half of a pair of surrogates. The error would hold the password.
        raise ValueError("the password is not valid Unicode") from None
    return password


# Four times as long as accepted: normalising may shorten a password, and how long it then is, the rule says.
Password = Annotated[SecretStr, Field(min_length=1, max_length=4 * MOST_LENGTH), AfterValidator(_text)]
OneTimeToken = Annotated[str, StringConstraints(min_length=1, max_length=100)]
_DAY_SECONDS = 86_400


class Mode(StrEnum):
    """How a session is carried: by access tokens, or by a cookie for browsers."""

    TOKEN = "token"  # noqa: S105 (a word)
    COOKIE = "cookie"


class Login(BaseModel):
    """Somebody who signs in."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"email": "ada@example.org", "password": "correct horse battery"}]},
    )

    email: Email
    password: Password
    mode: Mode = Mode.TOKEN


class AccessToken(BaseModel):
    """An access token; send it as `Authorization: Bearer …`, and refresh it before it ends."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 (the word of RFC 6750)
    expires_in: int = Field(description="Seconds that the token is valid.")
    session_id: UUID
    session_expires_at: datetime


class CookieSession(BaseModel):
    """A session whose cookie has been set; requests that change something carry the token as `X-CSRF-Token`."""

    csrf_token: str
    session_id: UUID
    session_expires_at: datetime


class CurrentSession(BaseModel):
    """The session of this request."""

    session_id: UUID
    session_expires_at: datetime
    csrf_token: str | None = Field(description="For a cookie's session; null for one of tokens.")
    user_id: UUID
    user_name: str
    team_id: UUID | None
    role: Role
    scopes: list[Scope]


class Session(BaseModel):
    """A session that lives, and where it was begun."""

    id: UUID
    current: bool
    address: str | None
    user_agent: str | None
    created_at: datetime
    expires_at: datetime


class SessionList(BaseModel):
    """A person's sessions, newest first."""

    items: list[Session]


class Registration(BaseModel):
    """Somebody who wants an account."""

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
    """The registration was taken; the same for an address that has an account already."""

    status: str = "accepted"


class PasswordChange(BaseModel):
    """A new password in the place of the present one."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"current_password": "correct horse battery", "password": "staple battery horse"}]
        },
    )

    current_password: Password
    password: Password


class PasswordReset(BaseModel):
    """A new password by a token from an admin."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"token": "<token of the reset>", "password": "staple battery horse"}]},
    )

    token: OneTimeToken
    password: Password


class NewPasswordReset(BaseModel):
    """A reset to be issued; an empty body is one of a day."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"expires_in_seconds": 3600}]})

    expires_in_seconds: JsonInteger = Field(_DAY_SECONDS, ge=60, le=7 * _DAY_SECONDS)


class IssuedPasswordReset(BaseModel):
    """A reset whose token is shown this once."""

    id: UUID
    token: ShownOnce
    expires_at: datetime


class NewInvitation(BaseModel):
    """Somebody to be invited into a team."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"email": "ada@example.org"}]})

    email: Email
    role: Role = Role.MEMBER
    expires_in_seconds: JsonInteger = Field(7 * _DAY_SECONDS, ge=60, le=30 * _DAY_SECONDS)


class Invitation(BaseModel):
    """An invitation."""

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
    """An invitation whose token is shown this once: hand it to whom it is for."""

    token: ShownOnce


class InvitationPage(BaseModel):
    """A page of a team's invitations, newest first."""

    items: list[Invitation]
    next_cursor: str | None
