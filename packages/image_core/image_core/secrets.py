"""Secret Manager: stores new keys before they become valid, and provides the keys that services share."""

import google.auth.exceptions
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.cloud import secretmanager


class SecretNotRead(Exception):
    """The secret's version could not be read from Secret Manager."""


def connect() -> secretmanager.SecretManagerServiceClient:
    """Return a client with the platform's identity; the caller closes it."""
    return secretmanager.SecretManagerServiceClient()


def add_version(secret: str, value: str) -> None:
    """Add a version to `projects/…/secrets/…`.

    Raises:
        google.api_core.exceptions.GoogleAPIError: The version cannot be added.
    """
    with connect() as client:
        client.add_secret_version(parent=secret, payload=secretmanager.SecretPayload(data=value.encode()))


def latest_version(secret: str, timeout_seconds: float) -> str | None:
    """Return the newest version of `projects/…/secrets/…`; None if it has none. Makes one request, without retries.

    Raises:
        SecretNotRead: The secret cannot be read, or its newest version is disabled.
    """
    try:
        with connect() as client:
            answer = client.access_secret_version(name=f"{secret}/versions/latest", retry=None, timeout=timeout_seconds)
        return answer.payload.data.decode()
    except NotFound:
        return None
    except (GoogleAPIError, google.auth.exceptions.GoogleAuthError, OSError, UnicodeDecodeError) as error:
        raise SecretNotRead(type(error).__qualname__) from error
