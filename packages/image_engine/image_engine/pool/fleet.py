"""The workers of a pool: started, taken for one request, returned, and replaced when worn or dead."""

import asyncio
import os
import sys
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from image_core.telemetry import log
from image_engine.contract.rejections import WorkerUnavailable
from image_engine.pool.process import WorkerProcess
from image_engine.pool.worker_limits import WorkerLimits
from image_engine.pool.worker_models import WorkerModels
from image_engine.worker.confinement import Confinement, deny_inspection

# Safe path (-P): a worker cannot import or read files of the directory in which the service was started.
WORKER_COMMAND = (sys.executable, "-P", "-m", "image_engine.worker.main")

_PASSED_VARIABLES = ("PATH", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_PASSED_PREFIXES = ("LC_", "PYTHON")
# A worker uses one core, so the pool's size determines how many are used. An arena per thread, and temporary files
# (which are memory in the cloud), would make memory use harder to predict.
_OWN_VARIABLES = {
    "VIPS_CONCURRENCY": "1",
    "VIPS_DISC_THRESHOLD": "1000g",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    # Large blocks go back to the system: else what one picture took counts against the limit of all that follow.
    "MALLOC_MMAP_THRESHOLD_": "1048576",
}


class WorkerFleet:
    """A fixed number of slots, each with a worker that runs, is being replaced, or is yet to be started."""

    def __init__(self, size: int, limits: WorkerLimits, models: WorkerModels, command: Sequence[str]) -> None:
        self._size, self._limits, self._models = size, limits, models
        # Models stay in memory; the mark is for what pictures leave behind.
        self._rss_mark_bytes = limits.rss_mark_bytes + models.worker_bytes
        self._command = (*command, *limits.options())
        # None stands for a worker that is yet to be started.
        self._idle: asyncio.Queue[WorkerProcess | None] = asyncio.Queue()
        self._workers: set[WorkerProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def process_ids(self) -> list[int]:
        """The ids of the running workers."""
        return [worker.process_id for worker in self._workers]

    @property
    def confinement(self) -> Confinement:
        """The confinement of every running worker."""
        confinements = [worker.confinement for worker in self._workers]
        return Confinement(
            system_calls=bool(confinements) and all(confinement.system_calls for confinement in confinements),
            landlock=min((confinement.landlock for confinement in confinements), default=0),
        )

    async def start(self) -> None:
        """Protect this process's memory from workers, start all of them and wait until they are warm.

        Raises:
            WorkerUnavailable: A worker cannot be started; none is left running.
        """
        deny_inspection()
        started = await asyncio.gather(*(self._start_worker() for _ in range(self._size)), return_exceptions=True)
        failures = [outcome for outcome in started if isinstance(outcome, BaseException)]
        if failures:
            await self.stop()
            raise failures[0]
        for worker in started:
            if isinstance(worker, WorkerProcess):
                self._idle.put_nowait(worker)
        if not self.confinement.system_calls:
            log("workers_not_confined", severity="WARNING", landlock=self.confinement.landlock)

    async def stop(self) -> None:
        """Cancel background tasks and end every worker. May be called twice."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self._end(worker) for worker in list(self._workers)))
        # Callers that wait for a free worker are woken, and each wakes the next.
        self._idle.put_nowait(None)

    def start_task(self, work: Coroutine[Any, Any, None]) -> None:
        """Run background work until the fleet stops."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def check_running(self) -> None:
        """Check that the fleet is not stopping.

        Raises:
            WorkerUnavailable: It is being stopped.
        """
        if self._stopping:
            raise WorkerUnavailable("the service is stopping")

    async def take(self) -> WorkerProcess:
        """Wait for an idle worker and take it; a dead one is replaced first.

        Raises:
            WorkerUnavailable: No worker can be started, or the fleet is being stopped.
        """
        self.check_running()
        worker = await self._idle.get()
        try:
            self.check_running()
            if worker is not None and worker.is_alive():
                return worker
            if worker is not None:
                await self._end(worker)
            return await self._start_worker()
        except BaseException:
            # The slot stays, whatever prevented a worker from starting.
            self._idle.put_nowait(None)
            raise

    def return_worker(self, worker: WorkerProcess) -> None:
        """Return a worker that answered; replace a worn one."""
        is_worn = worker.pictures >= self._limits.max_pictures or worker.rss_bytes > self._rss_mark_bytes
        if is_worn or self._stopping:
            self.replace(worker)
        else:
            self._idle.put_nowait(worker)

    def replace(self, worker: WorkerProcess) -> None:
        """Kill a worker, and start another in its place."""
        worker.kill()
        self.start_task(self._replace(worker))

    async def _replace(self, worker: WorkerProcess) -> None:
        fresh = None
        try:
            await self._end(worker)
            if not self._stopping:
                fresh = await self._start_worker()
        except WorkerUnavailable as error:
            log("worker_not_replaced", severity="WARNING", reason=str(error))
        finally:
            self._idle.put_nowait(fresh)

    async def _start_worker(self) -> WorkerProcess:
        try:
            return await self._start_ready()
        except WorkerUnavailable as error:
            if not self._models.may_be_to_blame():
                raise
            # If a model that never loaded breaks a worker, images are processed without it.
            self._models.give_up(str(error))
            return await self._start_ready()

    async def _start_ready(self) -> WorkerProcess:
        worker = WorkerProcess.spawn([*self._command, *self._models.options()], worker_environment(os.environ))
        self._workers.add(worker)
        try:
            await worker.wait_until_ready(self._limits.start_timeout_seconds)
        except BaseException:
            await asyncio.shield(self._end(worker))
            raise
        self._models.record_start(worker.model_failure)
        return worker

    async def _end(self, worker: WorkerProcess) -> None:
        await worker.end()
        self._workers.discard(worker)


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a worker: without credentials or addresses."""
    passed = {
        name: value
        for name, value in environment.items()
        if name in _PASSED_VARIABLES or name.startswith(_PASSED_PREFIXES)
    }
    return {**passed, **_OWN_VARIABLES}
