"""Start of each service to its first `/health/ready`, and the import time of each heavy library.

    uv run --frozen python -m benchmarks.starts [--rounds 5]

Bytecode is compiled beforehand, as images have it; without it everything takes two to four times as long.
"""

import argparse
import compileall
import resource
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.parts import running_system
from local_cloud.ports import free_port

_LIBRARIES = (
    "fastapi", "sqlalchemy", "asyncpg", "uvicorn", "pydantic_settings", "aiohttp", "google.pubsub_v1",
    "google.cloud.sql.connector", "google.cloud.logging", "pyvips", "numpy", "image_api.app",
    "image_delivery.app", "image_processor.app",
)  # fmt: skip


def _ready_after(module: str, environment: dict[str, str]) -> tuple[float, float]:
    """Wall seconds to the first ready answer, and CPU seconds used until the process was stopped right after it."""
    port = free_port()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    environment = {**environment, "PORT": str(port), "HOST": "127.0.0.1"}
    process = subprocess.Popen([sys.executable, "-m", module], env=environment, stdout=subprocess.DEVNULL)
    try:
        while not _is_ready(port):
            if process.poll() is not None:
                raise SystemExit(f"{module} ended.")
            time.sleep(0.005)
        took = time.perf_counter() - started
    finally:
        process.kill()
        process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _import_seconds(library: str, environment: dict[str, str]) -> float:
    code = "import resource, sys; b = resource.getrusage(0); __import__(sys.argv[1]); a = resource.getrusage(0);"
    code += "print(a.ru_utime + a.ru_stime - b.ru_utime - b.ru_stime)"
    command = [sys.executable, "-c", code, library]
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(describe("fastapi", "aiohttp", "google-cloud-pubsub", "cloud-sql-python-connector"))
    for folder in ("packages", "apps", *[path for path in sys.path if path.endswith("site-packages")]):
        compileall.compile_dir(folder, quiet=2, workers=2)
    with running_system() as system:
        environment: dict[str, str] = {}
        for module in ("image_api", "image_delivery", "image_processor"):
            variables = Path(f"/proc/{system['pids'][module]}/environ").read_bytes().split(b"\0")
            environment = dict(variable.decode().split("=", 1) for variable in variables if b"=" in variable)
            runs = [_ready_after(module, environment) for _ in range(options.rounds)]
            wall, cpu = (min(run[which] for run in runs) for which in (0, 1))
            print(f"{module:16} ready after {wall:.2f} s, {cpu:.2f} s of CPU by then")
        for library in _LIBRARIES:
            seconds = min(_import_seconds(library, environment) for _ in range(3))
            print(f"import {library:28} {seconds * 1000:6.0f} ms of CPU")


if __name__ == "__main__":
    main()
