"""Starts the emulators as the process they are, and receives what they push."""

import base64
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2

from local_cloud.ports import free_port
from local_cloud.testing import GuardedProcess


class Receiver:
    """An endpoint that keeps what it gets and answers with what `status` returns."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.under_way = 0
        self.most_under_way = 0
        self.status: Any = lambda _envelope: 204
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def reset(self) -> None:
        self.status = lambda _envelope: 204
        self.requests.clear()
        self.most_under_way = 0

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def pushed(self) -> list[dict[str, Any]]:
        return [request for request in self.requests if request["path"] == "/push/uploads"]

    def data(self) -> list[str]:
        return [base64.b64decode(item["body"]["message"].get("data", "")).decode() for item in self.pushed()]

    def _handler(outer) -> type[BaseHTTPRequestHandler]:  # noqa: N805 (the inner class needs its own self)
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers.get("content-length") or 0))
                body = json.loads(text) if text else {}
                with outer.lock:
                    outer.requests.append(
                        {"path": self.path, "body": body, "headers": dict(self.headers), "at": time.monotonic()}
                    )
                    outer.under_way += 1
                    outer.most_under_way = max(outer.most_under_way, outer.under_way)
                status = outer.status(body)
                with outer.lock:
                    outer.under_way -= 1
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                pass

        return Handler


class Emulators:
    def __init__(self, data_dir: Path, processor_url: str, **settings: str) -> None:
        self.http_port, self.pubsub_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.pubsub_host = f"127.0.0.1:{self.pubsub_port}"
        self.data_dir = data_dir
        self._environment = {
            **os.environ,
            "EMULATORS_DATA_DIR": str(data_dir),
            "EMULATORS_HTTP_PORT": str(self.http_port),
            "EMULATORS_PUBSUB_PORT": str(self.pubsub_port),
            "EMULATORS_PROCESSOR_URL": processor_url,
            "EMULATORS_TASKS_URL": processor_url,
            "EMULATORS_PUSH_MIN_BACKOFF_SECONDS": "0.1",
            "EMULATORS_PUSH_MAX_BACKOFF_SECONDS": "0.4",
            "EMULATORS_SWEEP_SECONDS": "0",
            **settings,
        }
        self.start()

    def start(self) -> None:
        self.process = GuardedProcess([sys.executable, "-m", "local_cloud.emulators"], env=self._environment)
        deadline = time.monotonic() + 20
        while True:
            try:
                if httpx2.get(f"{self.url}/health/ready", trust_env=False).status_code == 200:
                    return
            except httpx2.HTTPError:
                assert self.process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(10)

    def switches(self, **values: Any) -> None:
        url = f"{self.url}/_local/subscriptions/image-uploads-push/switches"
        httpx2.put(url, json=values).raise_for_status()

    def backlog(self, subscription: str = "image-uploads-push") -> int:
        state = httpx2.get(f"{self.url}/_local/state").json()
        return int(state["subscriptions"][subscription]["backlog"])


@contextmanager
def running_emulators(data_dir: Path, processor_url: str, **settings: str) -> Iterator[Emulators]:
    emulators = Emulators(data_dir, processor_url, **settings)
    try:
        yield emulators
    finally:
        emulators.process.kill()
        emulators.process.wait()


def eventually(check: Any, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)
