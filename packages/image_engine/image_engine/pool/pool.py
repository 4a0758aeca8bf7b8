"""The pool of worker processes, as the service sees it: a picture goes in, what was asked about it comes out.

Nothing here decodes a picture, and no codec is ever loaded into this process. A worker that crashes, hangs or takes
too much memory costs the one picture that it had, for good; the pool replaces the worker.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from image_core.images.picture_header import PictureFormat
from image_engine.contract.answers import AnalyzedPicture, ProcessedPicture, failed
from image_engine.contract.framing import MAX_BATCH, Request, decode_analyzed, decode_batch, decode_processed
from image_engine.contract.limits import ALL_FORMATS
from image_engine.contract.picture_file import PictureFile
from image_engine.contract.rejections import PictureRejected, WorkerInterrupted, WorkerUnavailable
from image_engine.contract.requests import AnalysisBatch, AnalysisRequest, ProcessingRequest
from image_engine.contract.worker_models import WorkerModels
from image_engine.pool.process import AnswerType, Decode, WorkerDied, WorkerProcess
from image_engine.worker.confinement import Confinement, deny_inspection

logger = logging.getLogger(__name__)

MIB = 1024 * 1024
# Safe path (-P): what lies where the service was started can neither be imported by a worker nor read.
WORKER_COMMAND = (sys.executable, "-P", "-m", "image_engine.worker.main")

# A worker that used less of its time than this share was paused or starved of CPU: the picture did not need that long.
_LEAST_CPU_SHARE = 0.5
# How a picture ends that took its worker with it.
_DEATHS = frozenset({"processing-crashed", "processing-timeout", "picture-too-much-memory"})

_PASSED_VARIABLES = ("PATH", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_PASSED_PREFIXES = ("LC_", "PYTHON")
# A worker uses one core, so that the pool's size decides how many are used. Arenas for every thread, and temporary
# files (which are memory in the cloud), would only make its use of memory harder to foresee.
_OWN_VARIABLES = {
    "VIPS_CONCURRENCY": "1",
    "VIPS_DISC_THRESHOLD": "1000g",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}


class _Waiting(NamedTuple):
    """A picture that waits; its answer is None where it has to be run by itself."""

    picture: PictureFile
    request: AnalysisRequest
    answer: asyncio.Future[AnalyzedPicture | PictureRejected | None]


class WorkerPool:
    """A few warm worker processes.

    Create and start it on the main thread's event loop: workers die with the thread that started them.
    """

    def __init__(
        self,
        *,
        size: int = 2,
        deadline_seconds: float = 10.0,
        memory_limit_bytes: int = 512 * MIB,
        rss_mark_bytes: int = 256 * MIB,
        max_pictures_per_worker: int = 500,
        start_timeout_seconds: float = 20.0,
        formats: Sequence[PictureFormat] = ALL_FORMATS,
        command: Sequence[str] = WORKER_COMMAND,
        labels_model: str | None = None,
        labels_failure: str | None = None,
        embedding_model: str | None = None,
        require_confinement: bool = False,
    ) -> None:
        """Describe the pool; `start` brings it up.

        Args:
            size: how many pictures are in work at once.
            deadline_seconds: from the hand-over to a worker; waiting for a free worker does not count.
            memory_limit_bytes: resident memory that a worker never exceeds.
            rss_mark_bytes: a worker that still holds more than this after a picture is replaced.
            max_pictures_per_worker: after so many a worker is replaced.
            start_timeout_seconds: how long a worker may take to load its codecs.
            formats: all other loaders are blocked in the workers.
            command: starts a worker; options are appended.
            labels_model: model that answers `labels`, on this machine.
            labels_failure: the code with which `labels` fails where a model is wanted and there is none.
            embedding_model: model that makes vectors, on this machine.
            require_confinement: no worker starts where the system cannot keep it from sockets and programs.
        """
        self._size = size
        self._deadline_seconds = deadline_seconds
        self._rss_mark_bytes = rss_mark_bytes
        self._max_pictures = max_pictures_per_worker
        self._start_timeout_seconds = start_timeout_seconds
        required = ("--require-confinement",) if require_confinement else ()
        self._command = (*command, *required, "--memory-limit-bytes", str(memory_limit_bytes), "--formats", *formats)
        self.models = WorkerModels(labels_model, labels_failure, embedding_model)
        # Who waits for analyses that take less time together, and is handed over with whoever waits at the same time.
        self._waiting: list[_Waiting] = []
        self._turns = asyncio.Semaphore(size)
        # An entry of None stands for a worker that is still to be started.
        self._idle: asyncio.Queue[WorkerProcess | None] = asyncio.Queue()
        self._workers: set[WorkerProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def process_ids(self) -> list[int]:
        """The workers that live now."""
        return [worker.process_id for worker in self._workers]

    @property
    def confinement(self) -> Confinement:
        """What every worker that lives gave up before it met a picture."""
        found = [worker.confinement for worker in self._workers]
        return Confinement(
            system_calls=bool(found) and all(each.system_calls for each in found),
            landlock=min((each.landlock for each in found), default=0),
        )

    async def start(self) -> None:
        """Keep this process's memory from workers, start all of them and wait until they are warm.

        Raises:
            WorkerUnavailable: one of them cannot be started; none is left running.
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
            logger.warning("workers_not_confined", extra={"landlock": self.confinement.landlock})

    async def stop(self) -> None:
        """End every worker; pictures in work fail with `WorkerUnavailable`. May be called twice."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self._end(worker) for worker in list(self._workers)))
        # Whoever waits for a free worker is woken, and wakes the next.
        self._idle.put_nowait(None)

    async def process(self, picture: PictureFile, request: ProcessingRequest) -> ProcessedPicture:
        """Run one picture through a worker. Cancelling it ends the worker, and nothing else.

        Raises:
            PictureRejected: for good; also for the worker's crash, deadline or memory limit.
            WorkerInterrupted: the worker was killed from outside, or hardly ran; try again a few times.
            WorkerUnavailable: no worker could be started, or the pool is being stopped; try again later.
        """
        try:
            return await self._work([picture], request, partial(decode_processed, request))
        except PictureRejected as rejection:
            may_be_to_blame = request.analyses or (request.embed and self.models.embedding is not None)
            if not may_be_to_blame or rejection.code not in _DEATHS:
                raise
            # An analyzer or a model may have been what took the worker down; the picture gets a chance without any.
            plain = replace(request, analyses=(), embed=False)
            processed = await self._work([picture], plain, partial(decode_processed, plain))
            return replace(processed, analyses=failed(request.analyses, rejection.code))

    async def analyze(self, picture: PictureFile, request: AnalysisRequest) -> AnalyzedPicture:
        """Run analyzers on one picture in a worker. Cancelling it ends the worker, unless others share it.

        Raises:
            PictureRejected: for good; also for the worker's crash, deadline or memory limit.
            WorkerInterrupted: the worker was killed from outside, or hardly ran; try again a few times.
            WorkerUnavailable: no worker could be started, or the pool is being stopped; try again later.
        """
        if self.models.labels is None or all(order.analyzer != "labels" for order in request.analyses):
            return await self._work([picture], request, partial(decode_analyzed, request))
        waiting = _Waiting(picture, request, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._keep(self._work_on_waiting())
        try:
            answer = await waiting.answer
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
        if isinstance(answer, PictureRejected):
            raise answer
        return answer or await self._work([picture], request, partial(decode_analyzed, request))

    # --- Pictures that wait together ----------------------------------------------------------------------------

    async def _work_on_waiting(self) -> None:
        """Hand over whoever waits, together: the busier the workers are, the more they are."""
        async with self._turns:
            # Every worker gets its share.
            share = min(MAX_BATCH, -(-len(self._waiting) // self._size))
            batch, self._waiting = self._waiting[:share], self._waiting[share:]
            if not batch:
                return
            answers: Sequence[AnalyzedPicture | PictureRejected | None] = (None,) * len(batch)
            try:
                answers = await self._work_on_batch(batch)
            except PictureRejected as rejection:
                # One of them took the worker down; each gets a chance by itself.
                answers = (rejection,) if len(batch) == 1 else answers
            except (WorkerInterrupted, WorkerUnavailable) as error:
                logger.warning("batch_not_done", extra={"reason": str(error)})
            finally:
                for each, answer in zip(batch, answers, strict=True):
                    if not each.answer.done():
                        each.answer.set_result(answer)

    async def _work_on_batch(self, batch: Sequence["_Waiting"]) -> Sequence[AnalyzedPicture | PictureRejected]:
        with ExitStack() as stack:
            # Whoever gives up closes their own file; the worker gets another descriptor of it.
            copies = [stack.enter_context(PictureFile(os.dup(each.picture.fileno()))) for each in batch]
            request = AnalysisBatch(tuple(each.request for each in batch))
            return (await self._work(copies, request, partial(decode_batch, request))).answers

    # --- One picture --------------------------------------------------------------------------------------------

    async def _work(self, pictures: Sequence[PictureFile], request: Request, decode: Decode[AnswerType]) -> AnswerType:
        for _ in range(self._size + 1):
            worker = await self._take()
            try:
                return await self._run(worker, pictures, request, decode)
            except WorkerDied as death:
                self._check_running()
                if death.accepted:
                    logger.warning(
                        "worker_crashed", extra={"process_id": worker.process_id, "exit_status": death.exit_status}
                    )
                    if death.from_outside:
                        raise WorkerInterrupted("the worker was killed") from None
                    raise PictureRejected(death.code) from None
                # It was dead before it met the picture, which therefore goes to the next one.
        raise WorkerUnavailable("workers die before they accept a picture")

    async def _run(
        self, worker: WorkerProcess, pictures: Sequence[PictureFile], request: Request, decode: Decode[AnswerType]
    ) -> AnswerType:
        reusable = False
        used_before = worker.cpu_seconds()
        try:
            async with asyncio.timeout(self._deadline_seconds):
                answer = await worker.work(pictures, request, decode, self._deadline_seconds)
        except PictureRejected as rejection:
            reusable = not self._is_worn(worker)
            if rejection.code == "processing-timeout":
                self._check_ran(worker, used_before)
            raise
        except TimeoutError:
            logger.warning("worker_deadline_exceeded", extra={"process_id": worker.process_id})
            self._check_ran(worker, used_before)
            raise PictureRejected("processing-timeout") from None
        else:
            reusable = not self._is_worn(worker)
            return answer
        finally:
            if reusable and not self._stopping:
                self._idle.put_nowait(worker)
            else:
                worker.kill()
                self._replace_later(worker)

    def _check_ran(self, worker: WorkerProcess, used_before: float | None) -> None:
        """Raise `WorkerInterrupted` where a worker at its deadline has had little of the CPU."""
        used = worker.cpu_seconds()
        if used is None or used_before is None:
            return
        if used - used_before < self._deadline_seconds * _LEAST_CPU_SHARE:
            raise WorkerInterrupted(f"the worker ran for {used - used_before:.1f} s of {self._deadline_seconds:g} s")

    def _is_worn(self, worker: WorkerProcess) -> bool:
        return worker.pictures >= self._max_pictures or worker.rss_bytes > self._rss_mark_bytes

    async def _take(self) -> WorkerProcess:
        self._check_running()
        worker = await self._idle.get()
        try:
            self._check_running()
            if worker is not None and worker.is_alive():
                return worker
            if worker is not None:
                await self._end(worker)
            return await self._start_worker()
        except BaseException:
            # The place in the pool stays, whatever prevented a worker from taking it.
            self._idle.put_nowait(None)
            raise

    def _check_running(self) -> None:
        if self._stopping:
            raise WorkerUnavailable("the service is stopping")

    # --- Workers come and go ------------------------------------------------------------------------------------

    async def _start_worker(self) -> WorkerProcess:
        try:
            return await self._start_ready()
        except WorkerUnavailable as error:
            if not self.models.may_be_to_blame():
                raise
            # Whatever a model that never loaded does to a worker, images go on without it.
            self.models.give_up(str(error))
            return await self._start_ready()

    async def _start_ready(self) -> WorkerProcess:
        worker = WorkerProcess.spawn([*self._command, *self.models.options()], worker_environment(os.environ))
        self._workers.add(worker)
        try:
            await worker.wait_until_ready(self._start_timeout_seconds)
        except BaseException:
            await asyncio.shield(self._end(worker))
            raise
        self.models.started(worker.model_failure)
        return worker

    def _replace_later(self, worker: WorkerProcess) -> None:
        self._keep(self._replace(worker))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _replace(self, worker: WorkerProcess) -> None:
        fresh = None
        try:
            await self._end(worker)
            if not self._stopping:
                fresh = await self._start_worker()
        except WorkerUnavailable as error:
            logger.warning("worker_not_replaced", extra={"reason": str(error)})
        finally:
            self._idle.put_nowait(fresh)

    async def _end(self, worker: WorkerProcess) -> None:
        await worker.end()
        self._workers.discard(worker)


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Pick what a worker may know: no credential, no address of anything."""
    passed = {
        name: value
        for name, value in environment.items()
        if name in _PASSED_VARIABLES or name.startswith(_PASSED_PREFIXES)
    }
    return {**passed, **_OWN_VARIABLES}
