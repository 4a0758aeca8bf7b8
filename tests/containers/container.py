"""Runs an image as a container platform would: read-only, without root, capabilities or new privileges."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx2

from .image_store import Image, ImageStore

START_SECONDS = 30.0
STOP_SECONDS = 10.0
# crun refuses machines that have both versions of cgroups, even when it is to leave them alone. It sees none here.
_WITHOUT_CGROUPS = """
umount -R /sys/fs/cgroup && mount -t tmpfs none /sys/fs/cgroup && exec crun --cgroup-manager=disabled "$@"
"""


class Container:
    """One container under crun. It has the machine's network and everything else of its own."""

    def __init__(
        self,
        image: Image,
        root: Path,
        environment: Mapping[str, str] | None = None,
        *,
        command: Sequence[str] | None = None,
        volumes: Mapping[Path, str] | None = None,
    ) -> None:
        """Describe a container; nothing runs before `start` or `run`.

        Args:
            image: what to run.
            root: its root file system, mounted.
            environment: added to what the image sets.
            command: in the place of the image's own.
            volumes: folders of this machine, with the place where the container sees them.
        """
        self._name = f"image-manager-{uuid.uuid4().hex[:12]}"
        self._bundle = Path(tempfile.mkdtemp(prefix="bundle-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.log_path = self._bundle / "log"
        document = _specification(
            image, root, {**image.environment, **(environment or {})}, command or image.config["Cmd"], volumes or {}
        )
        (self._bundle / "config.json").write_text(json.dumps(document))

    def start(self) -> None:
        """Start the command and return at once."""
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._crun("run"), "--bundle", str(self._bundle), self._name], stdout=log, stderr=log
            )

    def run(self) -> str:
        """Run the command to its end and return what it printed.

        Raises:
            RuntimeError: it failed.
        """
        self.start()
        status = self._running.wait(120)
        if status != 0:
            raise RuntimeError(f"status {status}: {self.log}")
        return self.log

    def wait_for(self, url: str, status: int = 200) -> float:
        """Wait for an answer with this status and return how many seconds it took."""
        began_at = time.monotonic()
        while time.monotonic() - began_at < START_SECONDS:
            if self._running.poll() is not None:
                raise RuntimeError(f"the container has ended: {self.log}")
            try:
                if httpx2.get(url, trust_env=False, timeout=2).status_code == status:
                    return time.monotonic() - began_at
            except httpx2.HTTPError:
                pass
            time.sleep(0.01)
        raise RuntimeError(f"no {status} from {url}: {self.log}")

    def execute(self, command: Sequence[str]) -> int:
        """Run one more command inside, with the container's environment, and return its status."""
        return subprocess.run([*self._crun("exec"), self._name, *command], check=False).returncode

    @property
    def process_id(self) -> int:
        """The machine's number of the container's first process."""
        state = subprocess.run([*self._crun("state"), self._name], capture_output=True, text=True, check=True)
        number: int = json.loads(state.stdout)["pid"]
        return number

    @property
    def log(self) -> str:
        """What was written to standard output and standard error."""
        return self.log_path.read_text(errors="replace")

    def stop(self) -> int:
        """Send SIGTERM, wait as Cloud Run does, and return the exit status."""
        if self._running.poll() is None:
            os.kill(self.process_id, signal.SIGTERM)
        return self._running.wait(STOP_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._process is not None and self._process.poll() is None:
                self.stop()
        finally:
            self.remove()

    def remove(self) -> None:
        """End whatever still runs and forget the container."""
        subprocess.run([*self._crun("delete"), "--force", self._name], capture_output=True, check=False)
        if self._process is not None:
            self._process.wait()
        shutil.rmtree(self._bundle, ignore_errors=True)

    @property
    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError("the container has not been started")
        return self._process

    def _crun(self, command: str) -> list[str]:
        return ["unshare", "--mount", "sh", "-c", _WITHOUT_CGROUPS, "crun", command]


@contextmanager
def folder_of_the_service(image: Image) -> Iterator[Path]:
    """A folder that belongs to the image's user and that this user can reach, until the block ends."""
    uid, gid = map(int, image.config["User"].split(":"))
    with tempfile.TemporaryDirectory(prefix="volume-") as name:
        os.chown(name, uid, gid)
        yield Path(name)


@contextmanager
def running(
    store: ImageStore,
    image: Image,
    environment: Mapping[str, str],
    volumes: Mapping[Path, str] | None = None,
    *,
    command: Sequence[str] | None = None,
) -> Iterator[Container]:
    """A started container of the image, with a command in the place of its own, stopped when the block ends."""
    with (
        store.mounted(image) as root,
        Container(image, root, environment, command=command, volumes=volumes) as container,
    ):
        yield container


def run_once(
    store: ImageStore, image: Image, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> str:
    """Run one command in a container of its own and return what it prints."""
    with store.mounted(image) as root:
        container = Container(image, root, environment, command=command)
        try:
            return container.run()
        finally:
            container.remove()


def _specification(
    image: Image, root: Path, environment: Mapping[str, str], command: Sequence[str], volumes: Mapping[Path, str]
) -> dict[str, Any]:
    """What an OCI runtime is told. Source: https://github.com/opencontainers/runtime-spec/blob/main/config.md"""
    uid, _, gid = image.config["User"].partition(":")
    bound = [{"destination": place, "source": str(path), "options": ["rbind"]} for path, place in volumes.items()]
    names = [
        {"destination": path, "source": path, "options": ["rbind", "ro"]} for path in ("/etc/hosts", "/etc/resolv.conf")
    ]
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(root), "readonly": True},
        "process": {
            "args": list(command),
            "env": [f"{name}={value}" for name, value in environment.items()],
            "cwd": image.config["WorkingDir"] or "/",
            "user": {"uid": int(uid), "gid": int(gid)},
            "noNewPrivileges": True,
            "capabilities": {},
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "mode=1777"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},
            *names,
            *bound,
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]},
    }
