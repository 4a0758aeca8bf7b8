"""A real Redis server of our own, that can be killed, stopped and started anew."""

import signal
import subprocess
import time
from pathlib import Path

import redis

from local_cloud.ports import free_port
from local_cloud.testing import GuardedProcess


class RedisServer:
    """Keeps nothing on disk; listens on the same port each time it is started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        command = ["redis-server", "--port", str(self.port), "--save", "", "--dir", str(self._folder), *options]
        self._process = GuardedProcess(command, stdout=subprocess.DEVNULL)
        with redis.Redis(port=self.port) as client:
            for _ in range(200):
                try:
                    client.ping()
                except redis.AuthenticationError:
                    return
                except redis.ConnectionError:
                    time.sleep(0.02)
                else:
                    return
        raise AssertionError("redis-server does not answer")

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None
