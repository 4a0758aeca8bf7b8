"""Dead letters at a terminal: shown, published again one by one, and what fails stays open."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from scripts.infra import redrive

LETTERS = [
    {
        "id": f"id-{number}",
        "work_key": f"originals/a/{number}#7",
        "attempts": 10,
        "subscription": "image-uploads-push",
        "is_redrivable": number != 1,
    }
    for number in range(3)
]


class FakeApi(BaseHTTPRequestHandler):
    """Pages of two, and a letter that cannot be published now."""

    redriven: list[str]
    fails: str | None

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        assert query["status"] == ["open"]
        first = int(query.get("cursor", ["0"])[0])
        next_cursor = str(first + 2) if first + 2 < len(LETTERS) else None
        self._answer(200, {"items": LETTERS[first : first + 2], "next_cursor": next_cursor})

    def do_POST(self) -> None:
        letter_id = self.path.split("/")[-2]
        if letter_id == self.fails:
            self._answer(503, {"code": "messaging-unavailable"})
        else:
            self.redriven.append(letter_id)
            self._answer(200, {})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        assert self.headers["x-api-key"] == "secret"
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeApi]]:
    FakeApi.redriven, FakeApi.fails = [], None
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeApi) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("IMAGE_MANAGER_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("IMAGE_MANAGER_KEY", "secret")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield FakeApi
        server.shutdown()


def test_a_look_changes_nothing(api: type[FakeApi], capsys: pytest.CaptureFixture[str]) -> None:
    assert redrive.main([]) == 0
    shown = capsys.readouterr().out
    assert "originals/a/0#7  tried 10 times  from image-uploads-push" in shown
    assert "originals/a/1#7  tried 10 times  from image-uploads-push  cannot be published again" in shown
    assert "2 open." in shown
    assert api.redriven == []


def test_all_that_can_be_are_published_again(api: type[FakeApi], capsys: pytest.CaptureFixture[str]) -> None:
    assert redrive.main(["--send"]) == 0
    assert api.redriven == ["id-0", "id-2"]
    assert "2 published again." in capsys.readouterr().out


def test_no_more_than_asked_for(api: type[FakeApi]) -> None:
    assert redrive.main(["--send", "--most", "1"]) == 0
    assert api.redriven == ["id-0"]


def test_the_first_failure_stops_it(api: type[FakeApi], capsys: pytest.CaptureFixture[str]) -> None:
    api.fails = "id-2"
    assert redrive.main(["--send"]) == 1
    assert api.redriven == ["id-0"]
    assert "still open" in capsys.readouterr().out


def test_without_a_key_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("IMAGE_MANAGER_KEY", raising=False)
    assert redrive.main([]) == 2
    assert "IMAGE_MANAGER_KEY" in capsys.readouterr().out
