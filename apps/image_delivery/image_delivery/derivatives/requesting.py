"""Asking the processor for pictures that are made in the background: one message a picture, and never in the way."""

import asyncio
import time
from collections.abc import Callable

from image_core import errors, telemetry
from image_core.delivery.rendition_requests import rendition_request
from image_core.events import Publisher, Topic
from image_delivery.derivatives.storing import Order
from image_delivery.derivatives.usage import TeamUsage
from image_delivery.grants.images import DeliveredImage
from image_delivery.metrics import Metrics

ASKED_SECONDS = 600.0
"""How long a picture is not asked for again: until then the message is on its way, or tried again."""
_MOST_ASKED = 10_000
_MOST_SENDING = 20
_PATIENCE_SECONDS = 2.0


class BackgroundRequests:
    """Sends requests for renditions, and remembers for which pictures."""

    def __init__(
        self, publisher: Publisher, usage: TeamUsage, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._publisher, self._usage, self._metrics, self.clock = publisher, usage, metrics, clock
        # Oldest first.
        self._asked: dict[Order, float] = {}
        self._sending: set[asyncio.Task[None]] = set()

    def was_asked(self, order: Order) -> bool:
        """Tell whether a picture was asked for a short while ago."""
        asked_at = self._asked.get(order)
        return asked_at is not None and self.clock() - asked_at < ASKED_SECONDS

    async def ask(self, image: DeliveredImage, order: Order, spec: str, *, is_exact: bool) -> None:
        """Ask for a picture that somebody waits for.

        Raises:
            errors.DeliveryQuotaExceeded: the team has had as many pictures made today as it may.
            errors.MessagingUnavailable: the message may not have arrived.
        """
        if self.was_asked(order):
            return
        self._note(order)
        try:
            await self._usage.check_make(image.team_id, is_exact=is_exact)
            event = rendition_request(order.image_id, image.team_id, order.generation, spec, order.format)
            await self._publisher.publish(Topic.RENDITIONS, [event.message()], _PATIENCE_SECONDS)
        except BaseException:
            self._asked.pop(order, None)
            raise
        self._usage.count_make(image.team_id, is_exact=is_exact)
        self._metrics.asked.inc()
        telemetry.log("rendition_requested", image_id=image.id, team_id=image.team_id, spec=spec, format=order.format)

    def ask_meanwhile(self, image: DeliveredImage, order: Order, spec: str, *, is_exact: bool) -> None:
        """Ask for a picture in whose place another one is served. Nobody waits for it, and failing harms nobody."""
        if self.was_asked(order) or len(self._sending) >= _MOST_SENDING:
            return
        sending = asyncio.create_task(self._try(image, order, spec, is_exact=is_exact))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    async def _try(self, image: DeliveredImage, order: Order, spec: str, *, is_exact: bool) -> None:
        try:
            await self.ask(image, order, spec, is_exact=is_exact)
        except errors.AppError as error:
            telemetry.log("rendition_not_requested", severity="WARNING", image_id=image.id, code=error.code)
            # Until then the next attempt would most likely fail too.
            self._note(order)
        except Exception as error:  # noqa: BLE001 (a task's error would be seen by nobody)
            telemetry.log_unexpected(error)

    def _note(self, order: Order) -> None:
        self._asked.pop(order, None)
        self._asked[order] = self.clock()
        if len(self._asked) > _MOST_ASKED:
            del self._asked[next(iter(self._asked))]

    async def close(self) -> None:
        """Let what is being sent arrive."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=_PATIENCE_SECONDS)
