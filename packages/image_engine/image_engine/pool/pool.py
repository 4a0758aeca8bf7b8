"""The pool of worker processes as a service sees it: pictures and requests go in, answers come out.

No picture is decoded here, and no codec is ever loaded into this process. A worker that crashes, hangs or takes too
much memory fails only its current picture, permanently; the pool replaces the worker.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from image_core.telemetry import log
from image_engine.contract.answers import AnalyzedBatch, AnalyzedPicture, ProcessedPicture, failed
from image_engine.contract.framing import Request, decode_analyzed, decode_batch, decode_processed, decode_rendition
from image_engine.contract.picture_file import PictureFile
from image_engine.contract.rejections import PictureRejected, WorkerInterrupted, WorkerUnavailable
from image_engine.contract.renditions import Rendition, RenditionRequest
from image_engine.contract.requests import AnalysisBatch, AnalysisRequest, ProcessingRequest
from image_engine.models.model import EMBEDDING
from image_engine.pool.batches import AnalysisBatches
from image_engine.pool.fleet import WORKER_COMMAND, WorkerFleet
from image_engine.pool.process import AnswerType, Decode, WorkerDied, WorkerProcess
from image_engine.pool.worker_limits import WorkerLimits
from image_engine.pool.worker_models import WorkerModels
from image_engine.worker.confinement import Confinement

# A worker that used a smaller share of its time was paused or starved of CPU, so the picture is not to blame.
_LEAST_CPU_SHARE = 0.5
# The rejections of pictures that took their worker down.
_DEATHS = frozenset({"processing-crashed", "processing-timeout", "picture-too-much-memory"})


class WorkerPool:
    """A few warm worker processes.

    Create and start it on the main thread's event loop: workers die with the thread that started them.

    Attributes:
        models: the current models of the workers.
    """

    def __init__(
        self,
        size: int = 2,
        limits: WorkerLimits | None = None,
        models: WorkerModels | None = None,
        command: Sequence[str] = WORKER_COMMAND,
    ) -> None:
        """Configure the pool; `start` starts it.

        Args:
            size: how many pictures are processed concurrently.
            limits: those of each worker.
            models: those that each worker loads.
            command: starts a worker; options are appended.
        """
        self._size, self._limits = size, limits or WorkerLimits()
        self.models = models or WorkerModels()
        self._fleet = WorkerFleet(size, self._limits, self.models, command)
        self._batches = AnalysisBatches(size, self._run_batch)

    @property
    def process_ids(self) -> list[int]:
        """The ids of the running workers."""
        return self._fleet.process_ids

    @property
    def confinement(self) -> Confinement:
        """The confinement of every running worker."""
        return self._fleet.confinement

    async def start(self) -> None:
        """Start all workers and wait until they are warm.

        Raises:
            WorkerUnavailable: A worker cannot be started; none is left running.
        """
        await self._fleet.start()

    async def stop(self) -> None:
        """End every worker; pictures in progress fail with `WorkerUnavailable`. May be called twice."""
        await self._fleet.stop()

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
            has_model = request.embed and self.models.are_usable([EMBEDDING.name])
            may_be_to_blame = request.analyses or request.optional_presets or has_model
            if not may_be_to_blame or rejection.code not in _DEATHS:
                raise
            # An analyzer, a model or a preset may have taken the worker down, so the picture is retried without.
            plain = replace(request, analyses=(), embed=False, optional_presets=())
            processed = await self._work([picture], plain, partial(decode_processed, plain))
            return replace(processed, analyses=failed(request.analyses, rejection.code))

    async def analyze(self, picture: PictureFile, request: AnalysisRequest) -> AnalyzedPicture:
        """Run analyzers on one picture in a worker. Cancelling it ends the worker, unless others share it.

        Raises:
            PictureRejected: for good; also for the worker's crash, deadline or memory limit.
            WorkerInterrupted: the worker was killed from outside, or hardly ran; try again a few times.
            WorkerUnavailable: no worker could be started, or the pool is being stopped; try again later.
        """
        # Only models are faster for several pictures together.
        if self.models.are_usable(order.analyzer for order in request.analyses):
            waiting = self._batches.add(picture, request)
            self._fleet.start_task(self._batches.hand_over())
            try:
                answer = await waiting.answer
            finally:
                self._batches.remove(waiting)
            if isinstance(answer, PictureRejected):
                raise answer
            if answer is not None:
                return answer
        return await self._work([picture], request, partial(decode_analyzed, request))

    async def render(self, picture: PictureFile, request: RenditionRequest) -> Rendition:
        """Make one picture for delivery in a worker. Cancelling it ends the worker, and nothing else.

        Raises:
            PictureRejected: for good; also for the worker's crash, deadline or memory limit.
            WorkerInterrupted: the worker was killed from outside, or hardly ran; try again a few times.
            WorkerUnavailable: no worker could be started, or the pool is being stopped; try again later.
        """
        return await self._work([picture], request, partial(decode_rendition, request))

    async def _run_batch(self, pictures: Sequence[PictureFile], batch: AnalysisBatch) -> AnalyzedBatch:
        return await self._work(pictures, batch, partial(decode_batch, batch))

    async def _work(self, pictures: Sequence[PictureFile], request: Request, decode: Decode[AnswerType]) -> AnswerType:
        for _ in range(self._size + 1):
            worker = await self._fleet.take()
            try:
                return await self._run(worker, pictures, request, decode)
            except WorkerDied as death:
                self._fleet.check_running()
                if death.accepted:
                    log(
                        "worker_crashed",
                        severity="WARNING",
                        process_id=worker.process_id,
                        exit_status=death.exit_status,
                    )
                    if death.from_outside:
                        raise WorkerInterrupted("the worker was killed") from None
                    raise PictureRejected(death.code) from None
                # The worker died before it received the picture, so the next one gets it.
        raise WorkerUnavailable("workers die before they accept a picture")

    async def _run(
        self, worker: WorkerProcess, pictures: Sequence[PictureFile], request: Request, decode: Decode[AnswerType]
    ) -> AnswerType:
        has_answered = False
        used_before = worker.cpu_seconds()
        try:
            async with asyncio.timeout(self._limits.deadline_seconds):
                answer = await worker.work(pictures, request, decode, self._limits.deadline_seconds)
        except PictureRejected as rejection:
            has_answered = True
            if rejection.code == "processing-timeout":
                self._check_ran(worker, used_before)
            raise
        except TimeoutError:
            log("worker_deadline_exceeded", severity="WARNING", process_id=worker.process_id)
            self._check_ran(worker, used_before)
            raise PictureRejected("processing-timeout") from None
        else:
            has_answered = True
            return answer
        finally:
            if has_answered:
                self._fleet.return_worker(worker)
            else:
                self._fleet.replace(worker)

    def _check_ran(self, worker: WorkerProcess, used_before: float | None) -> None:
        """Check that a worker has had its share of the CPU at its deadline.

        Raises:
            WorkerInterrupted: It hardly ran.
        """
        used = worker.cpu_seconds()
        if used is None or used_before is None:
            return
        deadline_seconds = self._limits.deadline_seconds
        if used - used_before < deadline_seconds * _LEAST_CPU_SHARE:
            raise WorkerInterrupted(f"the worker ran for {used - used_before:.1f} s of {deadline_seconds:g} s")
