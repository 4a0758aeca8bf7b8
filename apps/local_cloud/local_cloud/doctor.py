"""Finds out what is running, what is not, and why."""

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from local_cloud.system.admin_key import is_accepted
from local_cloud.system.children import tail_of
from local_cloud.system.system_file import SystemFile, read_system_file

PROBE_SECONDS = 3.0


@dataclass(frozen=True)
class Finding:
    """The state of one part of the system; `detail` is its address, or why it is not running and what to do."""

    part: str
    is_up: bool
    detail: str


def examine(data_dir: Path) -> list[Finding]:
    """Examine every part that `system.json` names."""
    system = read_system_file(data_dir)
    if system is None:
        return [Finding("system", False, f"no system has been started from {data_dir}: run `image-manager up`")]
    findings = [_supervisor(system), _database(system, data_dir)]
    findings += [
        _address("object store", system.storage_emulator_host, data_dir / "logs" / "emulators.log"),
        _address("pub/sub", f"//{system.pubsub_emulator_host}", data_dir / "logs" / "emulators.log"),
        _service("image_processor", system.processor_url, data_dir),
        _service("image_tasks", system.tasks_url, data_dir),
        _service("image_delivery", system.delivery_url, data_dir),
        _service("image_api", system.url, data_dir),
    ]
    if findings[-1].is_up:
        findings.append(_admin_key(system))
    return findings


def _supervisor(system: SystemFile) -> Finding:
    pid = system.pids.get("supervisor")
    if pid is None:
        return Finding("supervisor", False, "stopped: run `image-manager up`")
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, 0)
        return Finding("supervisor", True, f"process {pid}")
    return Finding("supervisor", False, f"process {pid} no longer exists: run `image-manager up`")


def _database(system: SystemFile, data_dir: Path) -> Finding:
    parts = urlsplit(system.database_url)
    without_password = f"//{parts.hostname}:{parts.port or 5432}"
    return _address("postgres", without_password, data_dir / "postgres" / "server.log")


def _address(part: str, url: str, log_path: Path) -> Finding:
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    try:
        with socket.create_connection((host, port), PROBE_SECONDS):
            return Finding(part, True, f"{host}:{port}")
    except OSError as error:
        return Finding(part, False, f"{host}:{port} does not respond ({error}); end of its log:\n{tail_of(log_path)}")


def _service(name: str, url: str, data_dir: Path) -> Finding:
    log = tail_of(data_dir / "logs" / f"{name}.log")
    try:
        answer = httpx2.get(f"{url}/health/ready", trust_env=False, timeout=PROBE_SECONDS)
    except httpx2.HTTPError as error:
        return Finding(name, False, f"{url} does not respond ({error}); end of its log:\n{log}")
    if answer.status_code == 200:
        return Finding(name, True, url)
    return Finding(name, False, f"{url} is not ready ({answer.status_code}): {answer.text[:500]}\n{log}")


def _admin_key(system: SystemFile) -> Finding:
    if system.admin_api_key and is_accepted(system.url, system.admin_api_key):
        return Finding("admin key", True, "the key in system.json is accepted")
    return Finding("admin key", False, "the key in system.json is not accepted: it was rotated or never written")
