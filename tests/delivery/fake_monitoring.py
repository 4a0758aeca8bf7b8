"""Stands in for Cloud Monitoring: counts the requests of a revision as the file of the fake gcloud says."""

import json
import re
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class FakeMonitoring:
    """A server for `projects.timeSeries.list`; `status` is what it answers with."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.status = 200
        self.queries: list[dict[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, query: dict[str, str]) -> dict[str, Any]:
        self.queries.append(query)
        labels = dict(re.findall(r'resource\.labels\.(\w+) = "([^"]+)"', query["filter"]))
        state = json.loads(self.state.read_text())
        name, revision = labels["service_name"], labels["revision_name"]
        percent = state["services"][name]["traffic"].get(revision, 0)
        broken = any(fault.get("errors") == name and percent >= fault["from"] for fault in state["faults"])
        unserved = any(fault.get("unserved") == name and percent >= fault["from"] for fault in state["faults"])
        good = _series("4xx", 5) if unserved else _series("2xx", 12, 8)
        return {"timeSeries": [good, *([_series("5xx", 5)] if broken else [])]}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, text = self.path.partition("?")
                known = path == "/v3/projects/project/timeSeries" and self.headers["Authorization"] == "Bearer token"
                status = fake.status if known else 404
                body = json.dumps(fake.answer(dict(urllib.parse.parse_qsl(text))) if status == 200 else {}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                return

        return Handler


def _series(kind: str, *counts: int) -> dict[str, Any]:
    return {
        "metric": {"labels": {"response_code_class": kind}},
        "points": [{"value": {"int64Value": str(count)}} for count in counts],
    }
