"""Secret Manager as it answers over the wire, and as it does not."""

from typing import Any

import pytest

from image_core import secrets

SECRET = "projects/p/secrets/s"


def test_the_latest_of_the_versions_that_were_added_is_read(secret_manager: Any) -> None:
    secret_manager.versions[SECRET] = []
    secrets.add_version(SECRET, "first")
    assert secrets.latest_version(SECRET, 5) == "first"
    secrets.add_version(SECRET, "zweite ü")
    assert secrets.latest_version(SECRET, 5) == "zweite ü"


def test_a_secret_without_a_version_has_none(secret_manager: Any) -> None:
    secret_manager.versions[SECRET] = []
    assert secrets.latest_version(SECRET, 5) is None


@pytest.mark.parametrize("code", ["PERMISSION_DENIED", "FAILED_PRECONDITION", "UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_a_refusal_is_said_after_one_attempt(secret_manager: Any, code: str) -> None:
    secret_manager.refuses_with = code
    with pytest.raises(secrets.SecretNotRead):
        secrets.latest_version(SECRET, 5)
    assert secret_manager.reads == 1


def test_a_call_without_an_answer_ends(secret_manager: Any) -> None:
    secret_manager.hangs = True
    with pytest.raises(secrets.SecretNotRead, match="DeadlineExceeded"):
        secrets.latest_version(SECRET, 0.2)


def test_a_process_without_an_identity_is_told_so(secret_manager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_identity() -> Any:
        import google.auth.exceptions

        raise google.auth.exceptions.DefaultCredentialsError("none")

    monkeypatch.setattr(secrets, "connect", without_identity)
    with pytest.raises(secrets.SecretNotRead, match="DefaultCredentialsError"):
        secrets.latest_version(SECRET, 5)
