"""Access tokens for Cloud Storage from google-auth, which supports the metadata server, key files and federation."""

import asyncio
from typing import Any

import anyio.to_thread

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"


class CredentialsUnavailable(OSError):
    """There are no credentials, or no token can be obtained for them."""


class GcsToken:
    """The access token of this service's account, or of a key file's account."""

    def __init__(self, credentials_path: str | None) -> None:
        self._path = credentials_path
        self._credentials: Any = None
        self._refused: str | None = None
        self._lock = asyncio.Lock()

    def warm(self) -> None:
        """Load google-auth; blocks."""
        import google.auth.transport.requests  # noqa: F401

    def forget(self) -> None:
        """Discard the current token because storage rejected it."""
        if self._credentials is not None:
            self._refused = self._credentials.token

    async def get(self) -> str:
        """Return a token that is valid for some minutes.

        Raises:
            CredentialsUnavailable: There are no credentials, or no token can be obtained for them.
        """
        if self._needs_refresh():
            async with self._lock:
                if self._needs_refresh():
                    await anyio.to_thread.run_sync(self._refresh)
        token: str = self._credentials.token
        return token

    def _needs_refresh(self) -> bool:
        from google.auth.credentials import TokenState

        if self._credentials is None or self._credentials.token == self._refused:
            return True
        return bool(self._credentials.token_state is not TokenState.FRESH)

    def _refresh(self) -> None:
        from google.auth.credentials import TokenState
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request

        try:
            if self._credentials is None:
                self._credentials = self._load()
            self._credentials.refresh(Request())
        except (GoogleAuthError, OSError, ValueError) as error:
            # A token that is about to expire is better than none while the issuer is unavailable.
            refused = self._credentials is None or self._credentials.token == self._refused
            if refused or self._credentials.token_state is TokenState.INVALID:
                raise CredentialsUnavailable("no access token for Cloud Storage") from error

    def _load(self) -> Any:
        import google.auth
        from google.oauth2 import service_account

        if self._path:
            return service_account.Credentials.from_service_account_file(self._path, scopes=[_SCOPE])  # type: ignore[no-untyped-call]
        credentials, _ = google.auth.default(scopes=[_SCOPE])
        return credentials
