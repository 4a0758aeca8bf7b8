"""Making pictures that are not stored yet: once for all who ask at the same time, within limits."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from image_core import errors, telemetry
from image_core.delivery.rendition_requests import (
    FULL,
    FULL_HASH,
    MOST_SOURCE_BYTES,
    PROCESSED_FORMAT,
    SOURCE,
    SOURCE_HASH,
    needs_source,
)
from image_core.delivery.spec import Format, Recipe
from image_core.storage.protocol import ObjectMissing, ObjectTooLarge
from image_delivery.derivatives import storing
from image_delivery.derivatives.finding import spec_hash_of
from image_delivery.derivatives.full_size import copy_without_metadata
from image_delivery.derivatives.memory import PictureMemory, name_of
from image_delivery.derivatives.places import Places
from image_delivery.derivatives.requesting import BackgroundRequests
from image_delivery.derivatives.storing import Order, order_of
from image_delivery.derivatives.usage import TeamUsage
from image_delivery.grants.images import DeliveredImage, DeliveredImages, StoredPicture
from image_delivery.parts import Parts
from image_engine.contract.picture_file import PictureFile, open_picture_file
from image_engine.contract.rejections import (
    PictureRejected,
    RejectionCode,
    WorkerInterrupted,
    WorkerUnavailable,
    parse_rejection_code,
)
from image_engine.contract.renditions import Rendition, RenditionRequest

SOURCE_SECONDS = 5
"""When to come again for a picture whose source is being made."""
FAILURE_SECONDS = 3600.0
"""How long it is remembered that a picture cannot be made."""
_MOST_FAILURES = 10_000
_PATIENCE_SECONDS = 25.0
"""Longer than a place, a source and a worker may take; what hangs all the same holds nobody for longer."""


class Made(NamedTuple):
    """A picture, and its bytes."""

    picture: StoredPicture
    body: bytes


class LeftToProcessor(Exception):
    """The picture is made in the background."""

    code = "left-to-processor"


class _Failure(NamedTuple):
    failed_at: float
    code: RejectionCode
    message: str


class Makers:
    """Makes pictures."""

    def __init__(
        self,
        parts: Parts,
        images: DeliveredImages,
        memory: PictureMemory,
        usage: TeamUsage,
        requests: BackgroundRequests,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts, self._images, self._memory, self._usage, self.clock = parts, images, memory, usage, clock
        self._requests = requests
        # One more than there are workers, which fetches its source meanwhile.
        self.places = Places(parts.settings.worker_count + 1, parts.settings.delivery_queue_seconds)
        parts.metrics.waiting.set_function(lambda: self.places.waiting)
        self._under_way: dict[Order, asyncio.Task[Made]] = {}
        self._failed: dict[Order, _Failure] = {}

    async def make(
        self, image: DeliveredImage, recipe: Recipe | None, extension: Format, preset: str | None, *, is_exact: bool
    ) -> tuple[Made, bool]:
        """Return a picture of an image, and whether this call was what had it made.

        Without a recipe it is the whole picture without metadata. It is made for as long as it takes, even if all who
        wait for it leave.

        Raises:
            PictureRejected: it cannot be made.
            LeftToProcessor: it is the whole picture, and its data cannot be copied.
            errors.DeliveryQuotaExceeded: the team has had as many made today as it may.
            errors.Unavailable: too many others wait, or a part is away.
        """
        spec_hash = FULL_HASH if recipe is None else spec_hash_of(recipe)
        order = order_of(image, spec_hash, extension)
        self._check_failed(order)
        if order not in self._under_way:
            await self._usage.check_make(image.team_id, is_exact=is_exact)
        work = self._under_way.get(order)
        is_first = work is None
        if work is None:
            work = asyncio.create_task(self._make(order, image, recipe, preset, is_exact))
            self._under_way[order] = work
            work.add_done_callback(lambda done: self._forget(order, done))
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await asyncio.shield(work), is_first
        except TimeoutError:
            raise errors.DeliveryBusy("Making the picture takes long. Try again.") from None

    def _check_failed(self, order: Order) -> None:
        failed = self._failed.get(order)
        if failed is not None:
            if self.clock() - failed.failed_at < FAILURE_SECONDS:
                raise PictureRejected(failed.code, failed.message)
            del self._failed[order]

    def _forget(self, order: Order, done: asyncio.Task[Made]) -> None:
        del self._under_way[order]
        # All who waited may have left: nobody has to see the error.
        error = None if done.cancelled() else done.exception()
        self._parts.metrics.made.labels(_outcome_of(error)).inc()
        if isinstance(error, PictureRejected):
            self._failed[order] = _Failure(self.clock(), error.code, error.message)
            if len(self._failed) > _MOST_FAILURES:
                del self._failed[next(iter(self._failed))]

    async def _make(
        self, order: Order, image: DeliveredImage, recipe: Recipe | None, preset: str | None, is_exact: bool
    ) -> Made:
        async with self.places.place(image.team_id, image.id):
            self._usage.count_make(image.team_id, is_exact=is_exact)
            made = await self._make_now(order, image, recipe, is_exact=is_exact)
        picture = storing.describe(image, order, made)
        # What has a name is not evicted as transforms are.
        if await self._store(order, FULL if recipe is None else preset, picture, made):
            self._memory.put(name_of(self._parts.derivatives.bucket, picture.object_name), made.content)
            self._note(order, picture)
        return Made(picture, made.content)

    async def _make_now(
        self, order: Order, image: DeliveredImage, recipe: Recipe | None, *, is_exact: bool
    ) -> Rendition:
        began_at = time.perf_counter()
        with open_picture_file() as file:
            if recipe is None:
                made = await self._copy(image, order.format, file)
            else:
                await self._fetch(image, await self._source_of(image, is_exact=is_exact), file)
                made = await self._render(recipe, order.format, file)
        seconds = time.perf_counter() - began_at
        self._parts.metrics.make_seconds.observe(seconds)
        telemetry.log(
            "rendition_made",
            image_id=image.id,
            team_id=image.team_id,
            format=order.format,
            size_bytes=len(made.content),
            seconds=round(seconds, 3),
        )
        return made

    async def _copy(self, image: DeliveredImage, extension: Format, file: PictureFile) -> Rendition:
        """Return the whole picture without metadata, by copying its compressed data."""
        await self._fetch(image, None, file)
        content = await asyncio.to_thread(copy_without_metadata, file)
        if content is None:
            raise LeftToProcessor
        return Rendition(extension, image.width_px or 1, image.height_px or 1, image.frames, content)

    async def _render(self, recipe: Recipe, extension: Format, file: PictureFile) -> Rendition:
        try:
            request = RenditionRequest(recipe, extension, limits=self._parts.settings.limits)
            return await self._parts.pool.render(file, request)
        except (WorkerUnavailable, WorkerInterrupted) as error:
            raise errors.DeliveryBusy("No worker could make the picture. Try again.") from error

    async def _source_of(self, image: DeliveredImage, *, is_exact: bool) -> StoredPicture | None:
        """Return the derivative that pictures are made of; None for the original.

        Raises:
            PictureRejected: there can be none, and the original is too large.
            errors.DeliveryBusy: it is being made.
        """
        is_too_large = (image.size_bytes or 0) > MOST_SOURCE_BYTES
        if image.source is not None or not (is_too_large or _has_many_pixels(image)):
            return image.source
        order = order_of(image, SOURCE_HASH, PROCESSED_FORMAT)
        failure = image.failures.get((SOURCE_HASH, PROCESSED_FORMAT))
        if not is_too_large:
            if failure is None:
                self._requests.ask_meanwhile(image, order, SOURCE, is_exact=is_exact)
            return None
        if failure is not None:
            raise PictureRejected(parse_rejection_code(failure.code), failure.message)
        await self._requests.ask(image, order, SOURCE, is_exact=is_exact)
        raise errors.DeliveryBusy(
            "The original is large, and what its pictures are made of is not there yet. Try again.",
            retry_after_seconds=SOURCE_SECONDS,
        )

    async def _fetch(self, image: DeliveredImage, source: StoredPicture | None, file: PictureFile) -> None:
        """Write what the picture is made of to a file: a derivative, or the original.

        Raises:
            errors.StorageUnavailable: it cannot be read.
        """
        try:
            if source is not None:
                storage = self._parts.derivatives
                file.write(await storage.read(source.object_name, None, 0, source.size_bytes - 1))
            else:
                await self._parts.originals.download(image.object_name, image.generation or 0, file, MOST_SOURCE_BYTES)
        except (ObjectMissing, ObjectTooLarge) as error:
            raise errors.StorageUnavailable("The bytes cannot be found at the moment. Try again.") from error

    async def _store(self, order: Order, preset: str | None, picture: StoredPicture, made: Rendition) -> bool:
        try:
            return await storing.store(self._parts, order, preset, picture, made)
        except errors.Unavailable as error:
            # Whoever waits gets the picture all the same; the next one has it made again.
            telemetry.log("rendition_not_stored", severity="WARNING", image_id=order.image_id, code=error.code)
            return False

    def _note(self, order: Order, picture: StoredPicture) -> None:
        """Have the row in memory name what was stored, so that the next request finds it."""
        row = self._images.rows.peek(order.image_id)
        if row is not None and row.generation == order.generation:
            pictures = {**row.pictures, (order.spec_hash, order.format): picture}
            self._images.rows.put(order.image_id, replace(row, pictures=pictures))


def _outcome_of(error: BaseException | None) -> str:
    """Return what became of a make: `made`, or the code of what prevented it."""
    if error is None:
        return "made"
    return str(getattr(error, "code", "unexpected"))


def _has_many_pixels(image: DeliveredImage) -> bool:
    return needs_source(image.content_type, image.size_bytes or 0, image.width_px or 1, image.height_px or 1)
