"""Batches of pictures for analyses that are faster together."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from image_core.telemetry import log
from image_engine.contract.answers import AnalyzedBatch, AnalyzedPicture
from image_engine.contract.framing import MAX_BATCH
from image_engine.contract.picture_file import PictureFile
from image_engine.contract.rejections import PictureRejected, WorkerInterrupted, WorkerUnavailable
from image_engine.contract.requests import AnalysisBatch, AnalysisRequest

RunBatch = Callable[[Sequence[PictureFile], AnalysisBatch], Awaitable[AnalyzedBatch]]
BatchAnswer = AnalyzedPicture | PictureRejected | None


class WaitingPicture(NamedTuple):
    """A waiting picture; its answer is None if it has to be run separately."""

    picture: PictureFile
    request: AnalysisRequest
    answer: asyncio.Future[BatchAnswer]


class AnalysisBatches:
    """The waiting pictures, for workers that take a share of them at a time."""

    def __init__(self, workers: int, run: RunBatch) -> None:
        self._workers, self._run = workers, run
        self._waiting: list[WaitingPicture] = []
        self._turns = asyncio.Semaphore(workers)

    def add(self, picture: PictureFile, request: AnalysisRequest) -> WaitingPicture:
        """Queue a picture; `hand_over` must be called once for each."""
        waiting = WaitingPicture(picture, request, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        return waiting

    def remove(self, waiting: WaitingPicture) -> None:
        """Remove a picture, whether it has an answer or its caller gave up."""
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    async def hand_over(self) -> None:
        """Run the waiting pictures as a batch: the busier the workers are, the larger it is."""
        async with self._turns:
            # Every worker gets an equal share.
            share = min(MAX_BATCH, -(-len(self._waiting) // self._workers))
            batch, self._waiting = self._waiting[:share], self._waiting[share:]
            if not batch:
                return
            answers: Sequence[BatchAnswer] = (None,) * len(batch)
            try:
                answers = await self._run_copies(batch)
            except PictureRejected as rejection:
                # One of the pictures crashed the worker, so each is run separately.
                answers = (rejection,) if len(batch) == 1 else answers
            except (WorkerInterrupted, WorkerUnavailable) as error:
                log("batch_not_done", severity="WARNING", reason=str(error))
            finally:
                for waiting, answer in zip(batch, answers, strict=True):
                    if not waiting.answer.done():
                        waiting.answer.set_result(answer)

    async def _run_copies(self, batch: Sequence[WaitingPicture]) -> Sequence[BatchAnswer]:
        with ExitStack() as stack:
            # A caller that gives up closes its own file, so the worker gets a duplicate descriptor.
            copies = [stack.enter_context(PictureFile(os.dup(waiting.picture.fileno()))) for waiting in batch]
            request = AnalysisBatch(tuple(waiting.request for waiting in batch))
            return (await self._run(copies, request)).answers
