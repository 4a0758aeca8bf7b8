"""Every error that a caller may meet, as leaves of the tree that `error_kinds.py` draws.

A leaf has a stable `code` (also a heading in docs/errors.md); its docstring's first line is the title for people.
"""

from image_core.analysis_errors import (
    AnalysisNotFound as AnalysisNotFound,
    AnalyzerFailed as AnalyzerFailed,
    AnalyzerUnknown as AnalyzerUnknown,
    ImageNotDecodable as ImageNotDecodable,
    ImageNotReady as ImageNotReady,
)
from image_core.error_kinds import (
    AppError as AppError,
    Conflict as Conflict,
    Forbidden as Forbidden,
    Invalid as Invalid,
    LimitExceeded as LimitExceeded,
    NotFound as NotFound,
    Precondition as Precondition,
    Unauthorized as Unauthorized,
    Unavailable as Unavailable,
    leaves as leaves,
)

# --- Who is calling -------------------------------------------------------------------------------------------


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


class RoleMissing(Forbidden):
    """The caller's role does not allow this."""

    code = "role-missing"


class TooManyRequests(LimitExceeded):
    """Too many requests."""

    code = "rate-limited"


class TooManyBadKeys(LimitExceeded):
    """Too many attempts with keys that are not valid."""

    code = "too-many-bad-keys"


# --- Teams, users, credentials --------------------------------------------------------------------------------


class TeamNotFound(NotFound):
    """There is no such team."""

    code = "team-not-found"


class TeamNameTaken(Conflict):
    """Another team has this name."""

    code = "team-name-taken"


class TeamNotEmpty(Conflict):
    """The team still has images or users."""

    code = "team-not-empty"


class TeamRequired(Invalid):
    """The team must be named."""

    code = "team-required"


class UserNotFound(NotFound):
    """There is no such user."""

    code = "user-not-found"


class EmailTaken(Conflict):
    """Another user has this e-mail address."""

    code = "email-taken"


class LastAdmin(Conflict):
    """The last admin cannot be removed, disabled or demoted."""

    code = "last-admin"


class CredentialNotFound(NotFound):
    """There is no such credential."""

    code = "credential-not-found"


class TooManyCredentials(Conflict):
    """The user has as many live credentials as one may have."""

    code = "too-many-credentials"


class LastAdminKey(Conflict):
    """The last admin key cannot be revoked or restricted."""

    code = "last-admin-key"


class RotationInProgress(Conflict):
    """Another rotation of this credential is under way."""

    code = "rotation-in-progress"


class RotationInGrace(Conflict):
    """The previous key is still in its grace period."""

    code = "rotation-in-grace"


# --- Credits and quotas ---------------------------------------------------------------------------------------


class CreditsExhausted(LimitExceeded):
    """The team has not enough credits left."""

    code = "credits-exhausted"


class BalanceTooLow(Conflict):
    """The balance cannot go below zero."""

    code = "balance-too-low"


# --- Images ---------------------------------------------------------------------------------------------------


class ImageNotFound(NotFound):
    """There is no such image."""

    code = "image-not-found"


class DerivativeNotFound(NotFound):
    """There is no such derivative."""

    code = "derivative-not-found"


class ImageNotStored(Conflict):
    """The bytes of this image have not arrived."""

    code = "image-not-stored"


class ImagePurged(Conflict):
    """The image is being purged and cannot come back."""

    code = "image-purged"


class DuplicateExists(Conflict):
    """The team already has an image with these bytes."""

    code = "duplicate-exists"


class ETagMismatch(Precondition):
    """The resource has changed since it was read."""

    code = "etag-mismatch"


class UploadEmpty(Invalid):
    """The body is empty."""

    code = "upload-empty"


class UploadTooLarge(Invalid):
    """The file is larger than allowed."""

    code = "upload-too-large"
    status = 413


class NotAnImage(Invalid):
    """The bytes are not an image."""

    code = "not-an-image"
    status = 415


class FormatNotAllowed(Invalid):
    """Images of this kind are not allowed."""

    code = "image-format-not-allowed"
    status = 415


class DimensionsInvalid(Invalid):
    """The image's dimensions make no sense."""

    code = "image-dimensions-invalid"


class TooManyPixels(Invalid):
    """The image has more pixels than allowed."""

    code = "image-too-many-pixels"


class MultipartInvalid(Invalid):
    """The multipart body is broken."""

    code = "multipart-invalid"
    status = 400


class UploadIncomplete(Invalid):
    """The body ended before it was complete."""

    code = "upload-incomplete"
    status = 400


class UploadTooSlow(Invalid):
    """The body took too long to arrive."""

    code = "upload-too-slow"
    status = 408


class UploadExpired(Unavailable):
    """The upload took longer than its deadline."""

    code = "upload-expired"


class SourceRefused(Invalid):
    """The source's URL may not be fetched."""

    code = "source-refused"


class SourceUnreachable(Invalid):
    """The source cannot be reached."""

    code = "source-unreachable"


class SourceTimeout(Invalid):
    """The source took too long."""

    code = "source-timeout"


class SourceAnswerUnusable(Invalid):
    """The source's answer cannot be used."""

    code = "source-answer-unusable"


class SourceTooLarge(Invalid):
    """The source's file is larger than allowed."""

    code = "source-too-large"


class SourceNotAnImage(Invalid):
    """The source's bytes are not an image that can be taken."""

    code = "source-not-an-image"


class RangeNotSatisfiable(Invalid):
    """No part of the requested range exists."""

    code = "range-not-satisfiable"
    status = 416


# --- Requests in general --------------------------------------------------------------------------------------


class RequestInvalid(Invalid):
    """A field of the request is not valid."""

    code = "request-invalid"


class BodyTooLarge(Invalid):
    """The request's body is larger than allowed."""

    code = "body-too-large"
    status = 413


class MediaTypeNotSupported(Invalid):
    """The request's media type is not supported."""

    code = "media-type-not-supported"
    status = 415


class CursorInvalid(Invalid):
    """The cursor is not one of ours."""

    code = "cursor-invalid"


class FilterUnknown(Invalid):
    """There is no such filter."""

    code = "filter-unknown"
    status = 400


# --- Our own parts --------------------------------------------------------------------------------------------


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""

    code = "database-unavailable"


class StorageUnavailable(Unavailable):
    """Object storage does not answer."""

    code = "storage-unavailable"


class MessagingUnavailable(Unavailable):
    """Pub/Sub does not answer."""

    code = "messaging-unavailable"


class ShuttingDown(Unavailable):
    """This instance is stopping."""

    code = "shutting-down"


def invalid_fields(fields: list[dict[str, str]]) -> RequestInvalid:
    """A validation error that names every field; each has `field`, `code` and `message`."""
    names = ", ".join(dict.fromkeys(field["field"] for field in fields))
    return RequestInvalid(f"Not valid: {names}.", errors=fields)
