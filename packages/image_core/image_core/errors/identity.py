"""Who is calling, and teams, users and credentials."""

from image_core.errors.kinds import Conflict, Forbidden, Invalid, LimitExceeded, NotFound, Unauthorized


class KeyMissing(Unauthorized):
    """An API key is needed."""

    code = "api-key-missing"


class KeyInvalid(Unauthorized):
    """The API key is not valid."""

    code = "api-key-invalid"


class KeyExpired(Unauthorized):
    """The API key has expired."""

    code = "api-key-expired"


class UserDisabled(Unauthorized):
    """The user of this key is disabled."""

    code = "user-disabled"


class DefaultKeyMustBeRotated(Forbidden):
    """The default key can only rotate itself."""

    code = "default-key-must-be-rotated"


class AddressNotAllowed(Forbidden):
    """The key may not be used from this address."""

    code = "address-not-allowed"


class ScopeMissing(Forbidden):
    """The key lacks a scope."""

    code = "scope-missing"


class KeyLimitExceeded(Forbidden):
    """The key cannot give more than it has."""

    code = "key-limit-exceeded"


class RoleMissing(Forbidden):
    """The caller's role does not allow this."""

    code = "role-missing"


class TooManyRequests(LimitExceeded):
    """Too many requests."""

    code = "rate-limited"


class TooManyBadKeys(LimitExceeded):
    """Too many attempts with invalid keys."""

    code = "too-many-bad-keys"


class TeamNotFound(NotFound):
    """The team does not exist."""

    code = "team-not-found"


class TeamNameTaken(Conflict):
    """Another team has this name."""

    code = "team-name-taken"


class TeamNotEmpty(Conflict):
    """The team still has images or users."""

    code = "team-not-empty"


class TeamBeingRemoved(Conflict):
    """The team is being removed."""

    code = "team-being-removed"


class TeamRequired(Invalid):
    """The team must be named."""

    code = "team-required"


class UserNotFound(NotFound):
    """The user does not exist."""

    code = "user-not-found"


class EmailTaken(Conflict):
    """Another user has this e-mail address."""

    code = "email-taken"


class LastAdmin(Conflict):
    """The last admin cannot be removed, disabled or demoted."""

    code = "last-admin"


class CredentialNotFound(NotFound):
    """The credential does not exist."""

    code = "credential-not-found"


class TooManyCredentials(Conflict):
    """The user has too many active credentials."""

    code = "too-many-credentials"


class LastAdminKey(Conflict):
    """The last admin key cannot be revoked or restricted."""

    code = "last-admin-key"


class RotationInProgress(Conflict):
    """Another rotation of this credential is in progress."""

    code = "rotation-in-progress"


class RotationInGrace(Conflict):
    """The previous key is still in its grace period."""

    code = "rotation-in-grace"
