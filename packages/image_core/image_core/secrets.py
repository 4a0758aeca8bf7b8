"""Secret Manager: where keys go before they are valid, and where the services read those that they share."""

import google.auth.exceptions
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.cloud import secretmanager


class SecretNotRead(Exception):
    """Secret Manager did not hand over the version that it may have."""


def connect() -> secretmanager.SecretManagerServiceClient:
    """A client with the platform's identity; closed by whoever asked for it."""
    return secretmanager.SecretManagerServiceClient()


def add_version(secret: str, value: str) -> None:
    """Adds a version to `projects/…/secrets/…`; raises `google.api_core.exceptions.GoogleAPIError` if it cannot."""
    with connect() as client:
        client.add_secret_version(parent=secret, payload=secretmanager.SecretPayload(data=value.encode()))


def latest_version(secret: str, timeout_seconds: float) -> str | None:
    """The newest version of `projects/…/secrets/…`; None while it has none. It is asked once, without a retry.

    Raises `SecretNotRead`, also where the newest version was disabled.
    """
    try:
        with connect() as client:
            answer = client.access_secret_version(name=f"{secret}/versions/latest", retry=None, timeout=timeout_seconds)
        return answer.payload.data.decode()
    except NotFound:
        return None
    except (GoogleAPIError, google.auth.exceptions.GoogleAuthError, OSError, UnicodeDecodeError) as error:
        raise SecretNotRead(type(error).__qualname__) from error
