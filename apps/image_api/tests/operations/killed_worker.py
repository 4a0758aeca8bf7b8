"""A worker of operations that is killed by SIGKILL between two statements, in a process that forks one for each line.

`KilledWorker` starts it; the process reads the number of the statement before which the next worker dies.
"""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import asyncpg

from image_api.imports import service as imports
from image_api.imports.tasks import CopyBucket
from image_api.operations import tasks as operations
from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import Budget
from image_api.tasks.settings import TasksSettings
from image_core.db import Database
from image_core.storage.gcs import GcsClient

from .counting import Counting

_ROOT = Path(__file__).parents[4]


class KilledWorker:
    """Workers with these settings, one after the other, each of which dies at a statement of its own."""

    def __init__(self, settings: TasksSettings) -> None:
        told = settings.model_dump_json(exclude={"purged_hash_master", "webhook_master"})
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, told],
            cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, until_statement: int) -> bool:
        """Run a worker that is killed before its statement of this number; return whether it got that far."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{until_statement}\n")
        self._process.stdin.flush()
        how = self._process.stdout.readline().strip()
        assert how in ("killed", "ended"), how
        return how == "killed"

    def close(self) -> None:
        self._process.communicate()


class _Publisher:
    """Messages go nowhere."""

    async def publish(self, topic: Any, messages: Any, timeout_seconds: float) -> None:
        """Do nothing."""


async def _work(settings: TasksSettings) -> None:
    operations._IDLE_SECONDS = operations._PAUSE_SECONDS = 0.0
    gcs, database = GcsClient(settings.storage_emulator_host, settings.gcloud_creds_path), Database(settings.database)
    await database.open()
    absent = cast("Any", None)
    parts = TaskParts(
        settings=settings, database=database, originals=gcs.bucket(settings.image_upload_bucket_name),
        derivatives=absent, publisher=_Publisher(), issuer_keys=absent, locks=absent, open_bucket=gcs.bucket,
        fetcher=absent,
    )  # fmt: skip
    kinds = {"counting": Counting(over=set(range(1, 5))), imports.FROM_BUCKET: CopyBucket()}
    await operations.step(kinds)(parts, Budget("operations", 30))
    await gcs.close()
    await database.close()


def _die_before(number: int) -> None:
    """Have this process killed before its statement of this number, those that begin and end transactions included."""
    sent = 0

    def dying(really: Any) -> Any:
        async def send(*arguments: Any, **options: Any) -> Any:
            nonlocal sent
            sent += 1
            if sent == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return await really(*arguments, **options)

        return send

    for method in ("execute", "fetch", "fetchrow", "fetchval"):
        setattr(asyncpg.Connection, method, dying(getattr(asyncpg.Connection, method)))


def _main() -> None:
    settings = TasksSettings.model_validate_json(sys.argv[1])
    for line in sys.stdin:
        if not (worker := os.fork()):
            sys.stdout = sys.stderr
            _die_before(int(line))
            asyncio.run(_work(settings))
            os._exit(0)
        _, status = os.waitpid(worker, 0)
        how = "killed" if os.WIFSIGNALED(status) else "ended" if status == 0 else str(status)
        sys.stdout.write(f"{how}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
