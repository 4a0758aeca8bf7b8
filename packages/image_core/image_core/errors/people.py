"""People who sign in, register, and prove who they are otherwise than by a key."""

from image_core.errors.kinds import Forbidden, Invalid, LimitExceeded, NotFound, Unauthorized, Unavailable


class TokenInvalid(Unauthorized):
    """The access token is not valid."""

    code = "token-invalid"


class TokenExpired(Unauthorized):
    """The access token has expired."""

    code = "token-expired"


class SessionEnded(Unauthorized):
    """The session has ended."""

    code = "session-ended"


class UploadTokenInvalid(Unauthorized):
    """The upload token is not valid."""

    code = "upload-token-invalid"


class UploadTokenUsedUp(LimitExceeded):
    """The upload token is used up."""

    code = "upload-token-used-up"


class UploadQuotaFull(LimitExceeded):
    """There is no room for the upload."""

    code = "upload-quota-full"


class SignInFailed(Unauthorized):
    """The e-mail address and the password do not match."""

    code = "sign-in-failed"


class SignInLinkSpent(Unauthorized):
    """The link has been used or has expired."""

    code = "sign-in-link-spent"


class CredentialsAmbiguous(Invalid):
    """The request contains more than one kind of credentials."""

    code = "credentials-ambiguous"
    status = 400


class CrossSiteRequest(Forbidden):
    """A session cookie is not accepted from another site."""

    code = "cross-site-request"


class CsrfTokenInvalid(Forbidden):
    """The CSRF token is missing or belongs to another session."""

    code = "csrf-token-invalid"


class SessionRequired(Forbidden):
    """Only a signed-in user may do this."""

    code = "session-required"


class RegistrationClosed(Forbidden):
    """Registration needs an invitation."""

    code = "registration-closed"


class TooManySignIns(LimitExceeded):
    """Too many attempts to sign in."""

    code = "too-many-sign-ins"


class InvitationNotFound(NotFound):
    """The invitation does not exist or is no longer valid."""

    code = "invitation-not-found"


class PasswordResetNotFound(NotFound):
    """The password reset does not exist or is no longer valid."""

    code = "password-reset-not-found"


class SessionNotFound(NotFound):
    """The session does not exist."""

    code = "session-not-found"


class TokensNotConfigured(NotFound):
    """This deployment issues no access tokens."""

    code = "tokens-not-configured"


class SigningKeysUnavailable(Unavailable):
    """The keys that sign access tokens cannot be read."""

    code = "signing-keys-unavailable"


class PasswordsBusy(Unavailable):
    """Too many passwords are being checked at the moment."""

    code = "passwords-busy"
