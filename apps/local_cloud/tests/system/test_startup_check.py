"""What `up` says of an upload of its own that does not come through. That it leaves nothing, tests/acceptance shows."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from local_cloud.errors import NotReadyInTime
from local_cloud.system import startup_check
from local_cloud.system.environment import Layout, Outside

LAYOUT = Layout(Path("/nowhere"), Outside(), 1, 2, 3, 4, 5, 6)
SWITCHES = {"paused": False, "delay_seconds": 0.0}


class Database:
    def __init__(self) -> None:
        self.statements: list[str] = []

    def execute(self, sql: str, _database: str) -> str:
        self.statements.append(sql)
        return "0"


class Cloud:
    """Answers as emulators and API do; an upload ends as `image` says."""

    def __init__(self, image: dict[str, Any], **pushes: Any) -> None:
        self.image, self.calls = image, list[str]()
        self.pushes = {"backlog": 0, "switches": SWITCHES, **pushes}

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.calls.append(f"{request.method} {request.url.path}")
        if request.url.path == "/_local/state":
            return httpx2.Response(200, json={"subscriptions": {"image-uploads-push": self.pushes}})
        if request.method == "GET" and request.url.path.startswith("/storage"):
            return httpx2.Response(200, json={"items": [{"name": "a/b", "generation": "7"}]})
        if request.url.path.endswith("/content"):
            return httpx2.Response(200, content=b"other bytes")
        return httpx2.Response(200, json=self.image)


def check(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> tuple[str | None, Database]:
    made, database = httpx2.Client, Database()
    monkeypatch.setattr(startup_check.httpx2, "Client", lambda **_: made(transport=httpx2.MockTransport(cloud.answer)))
    return startup_check.check_upload(LAYOUT, database, lambda: True), database  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ({"status": "failed", "failure": {"code": "processing-crashed"}}, "processing-crashed"),
        ({"status": "stored"}, "still stored after 0 s"),
        ({"status": "ready"}, "its content cannot be read back"),
    ],
)
def test_upload_that_does_not_come_through_is_a_sentence_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, image: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr(startup_check, "DEADLINE_SECONDS", 0.0)
    cloud = Cloud(image)
    with pytest.raises(NotReadyInTime, match=said):
        check(cloud, monkeypatch)
    assert "DELETE /_local/messages" in cloud.calls
    assert sum(call.startswith("DELETE /storage/v1/b/") for call in cloud.calls) == 2


@pytest.mark.parametrize(
    ("pushes", "said"),
    [
        ({"switches": {**SWITCHES, "paused": True}}, "held back"),
        ({"switches": {**SWITCHES, "delay_seconds": 9.0}}, "held back"),
        ({"backlog": 5000}, "5000 earlier uploads"),
    ],
)
def test_start_does_not_wait_for_what_waits_itself(
    monkeypatch: pytest.MonkeyPatch, pushes: dict[str, Any], said: str
) -> None:
    untried, database = check(Cloud({}, **pushes), monkeypatch)
    assert said in (untried or "")
    assert database.statements == []
