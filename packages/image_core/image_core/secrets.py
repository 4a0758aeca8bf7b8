"""Secret Manager: where a new admin key goes before the rotation that makes it valid commits."""

from google.cloud import secretmanager


def add_version(secret: str, value: str) -> None:
    """Adds a version to `projects/…/secrets/…`; raises `google.api_core.exceptions.GoogleAPIError` if it cannot."""
    client = secretmanager.SecretManagerServiceClient()
    client.add_secret_version(parent=secret, payload=secretmanager.SecretPayload(data=value.encode()))
