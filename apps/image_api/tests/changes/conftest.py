import pytest

from image_api.changes import service, streams
from image_api.limits.long_requests import LongRequests

from ..conftest import Api


@pytest.fixture(autouse=True)
def quick(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if seconds were hundredths, so that no test waits for them."""
    monkeypatch.setattr(service, "NAP_SECONDS", 0.02)
    monkeypatch.setattr(service, "CHECK_SECONDS", 0.1)
    monkeypatch.setattr(streams, "TIMES", streams.Times(life=20, idle=1.5, heartbeat=5))
    monkeypatch.setattr(api.services.feed_watch, "interval_seconds", 0.02)
    object.__setattr__(api.services, "long_requests", LongRequests(api.services.settings.request_concurrency))
