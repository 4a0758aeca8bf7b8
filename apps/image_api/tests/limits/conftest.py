import pytest

from image_api.limits import redis_buckets


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is not to look like a Redis that is away; those about waiting set their own."""
    monkeypatch.setattr(redis_buckets, "ANSWER_SECONDS", 5.0)
    monkeypatch.setattr(redis_buckets, "CONNECT_SECONDS", 5.0)
