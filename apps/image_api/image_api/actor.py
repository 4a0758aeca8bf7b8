"""The caller of a request: plain types that all layers above may use."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from image_core import errors


class Scope(StrEnum):
    """Permission of a key or user."""

    IMAGES_READ = "images:read"
    IMAGES_WRITE = "images:write"
    IMAGES_DELETE = "images:delete"
    ANALYSES_RUN = "analyses:run"
    DELIVERY_MANAGE = "delivery:manage"
    DELIVERY_KEYS = "delivery:keys"
    WEBHOOKS_MANAGE = "webhooks:manage"
    USAGE_READ = "usage:read"
    KEYS_SELF = "keys:self"
    ADMIN = "admin"


class Role(StrEnum):
    """Role of a user: admin of the platform, or member or viewer of a team."""

    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


DEFAULT_SCOPES: dict[Role, tuple[Scope, ...]] = {
    Role.ADMIN: tuple(Scope),
    Role.MEMBER: (
        Scope.IMAGES_READ,
        Scope.IMAGES_WRITE,
        Scope.ANALYSES_RUN,
        Scope.DELIVERY_MANAGE,
        Scope.USAGE_READ,
        Scope.KEYS_SELF,
    ),
    Role.VIEWER: (Scope.IMAGES_READ, Scope.KEYS_SELF),
}


@dataclass(frozen=True, slots=True)
class Actor:
    """The caller of one request. `team_id` is null only for an admin of the platform who belongs to no team."""

    user_id: UUID
    user_name: str
    team_id: UUID | None
    role: Role
    scopes: frozenset[str]
    credential_id: UUID | None
    key_prefix: str | None
    key_expires_at: datetime | None
    is_default_key: bool
    address_ranges: list[str] | None = None
    """The networks from which the key may be used; null if it is not restricted."""
    session_id: UUID | None = None
    """A caller has a key or a session; a session that began with a key has both."""

    @property
    def caller_name(self) -> str:
        """The name under which rate limits count this caller."""
        return self.key_prefix or f"session {self.session_id}"

    @property
    def began_with_key(self) -> bool:
        """Whether the caller's session began with a key, to which it is bound."""
        return self.session_id is not None and self.credential_id is not None

    @property
    def is_admin(self) -> bool:
        """Whether the caller may see every team."""
        return self.role is Role.ADMIN

    @property
    def visible_team_id(self) -> UUID | None:
        """The team to which every query is restricted; null means all teams, for an admin."""
        return None if self.is_admin else self.team_id

    def visible_team(self, named_id: UUID | None) -> UUID | None:
        """Return the team of a list that may name one; null means all teams, for an admin.

        Raises:
            errors.TeamNotFound: It is another team.
        """
        visible_id = self.visible_team_id
        if visible_id is not None and named_id not in (None, visible_id):
            raise errors.TeamNotFound
        return visible_id or named_id


def require_admin(actor: Actor) -> None:
    """Require an admin of the platform with the scope `admin`.

    Raises:
        errors.RoleMissing: The caller's role does not allow this.
    """
    if not actor.is_admin or Scope.ADMIN not in actor.scopes:
        raise errors.RoleMissing(
            "Role not sufficient: only a platform admin with the scope `admin` can do this.", required_role=Role.ADMIN
        )
