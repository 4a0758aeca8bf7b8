"""A service that is ready at once, for tests of what starts and stops services: `stand_in_service.py PORT`."""

import json
import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import FrameType
from typing import Any


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/crash":
            os._exit(3)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"warnings": [f"served by {os.getpid()}"]}).encode())

    def log_message(self, *_arguments: Any) -> None:
        pass


def end(_number: int, _frame: FrameType | None) -> None:
    sys.stdout.write("ended in order" + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    if len(sys.argv) > 2:
        sys.stdout.write("the disk is made of cheese\n")
        sys.exit(int(sys.argv[2]))
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    sys.stdout.write(f"serving with {os.environ['DATABASE_URL'].split(':')[1]}" + "\n")
    sys.stdout.flush()
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
