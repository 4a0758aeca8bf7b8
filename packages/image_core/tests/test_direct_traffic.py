"""An environment that names a proxy, as companies' machines have one, with or without exceptions."""

import os
import subprocess
import sys

import pytest

from image_core.direct_traffic import keep_local_traffic_direct


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "localhost,127.0.0.1,::1"),
        ({"no_proxy": "a.example, b.example"}, "a.example,b.example,localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "a.example 127.0.0.1"}, "a.example,127.0.0.1,localhost,::1"),
        ({"no_proxy": "*", "NO_PROXY": ""}, "*,localhost,127.0.0.1,::1"),
        (
            {"STORAGE_EMULATOR_HOST": "http://emulators:9023", "PUBSUB_EMULATOR_HOST": "emulators:8085"},
            "localhost,127.0.0.1,::1,emulators",
        ),
    ],
)
def test_this_machine_and_the_emulators_are_reached_directly(given: dict[str, str], expected: str) -> None:
    environment = dict(given)
    keep_local_traffic_direct(environment)
    assert (environment["no_proxy"], environment["NO_PROXY"]) == (expected, expected)


CLIENTS = """
import os, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from image_core.direct_traffic import keep_local_traffic_direct
keep_local_traffic_direct(os.environ)

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_):
        pass

server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"

import requests, httpx2, urllib.request, grpc
from google.pubsub_v1 import types
assert requests.get(url, timeout=5).status_code == 204
assert httpx2.get(url, timeout=5).status_code == 204
assert urllib.request.urlopen(url, timeout=5).status == 204

class Publisher(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda request, _context: request)

from concurrent.futures import ThreadPoolExecutor
rpc = grpc.server(ThreadPoolExecutor(1), handlers=[Publisher()])
port = rpc.add_insecure_port("127.0.0.1:0")
rpc.start()
with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
    assert channel.unary_unary("/any/Call")(b"x", timeout=5) == b"x"
rpc.stop(0)
"""


def test_every_client_reaches_this_machine_beside_a_proxy_that_is_dead() -> None:
    kept = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    dead = "http://127.0.0.1:9"
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"), dead)
    done = subprocess.run(
        [sys.executable, "-c", CLIENTS],
        env={**kept, **proxies},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
