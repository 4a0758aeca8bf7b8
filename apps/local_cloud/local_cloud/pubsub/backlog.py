"""The undelivered messages of one subscription, and when each is due."""

import asyncio
import contextlib
import heapq
import itertools
import random
import sqlite3
import time
from collections.abc import Callable

from local_cloud.pubsub.journal import Journal
from local_cloud.pubsub.records import Delivery, Message, Subscription, Switches

JOURNAL_RETRY_SECONDS = 1.0
DeadLetter = Callable[[Subscription, Delivery], None]


class Backlog:
    """A queue with leases: a message becomes due again unless it is acknowledged in time."""

    def __init__(
        self, subscription: Subscription, switches: Switches, journal: Journal, dead_letter: DeadLetter
    ) -> None:
        self.subscription = subscription
        self.switches = switches
        self._journal = journal
        self._dead_letter = dead_letter
        self._deliveries: dict[str, Delivery] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._order = itertools.count()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._deliveries)

    @property
    def oldest_published_at(self) -> float | None:
        """The publish time of the oldest unacknowledged message, in seconds since the epoch."""
        return min((item.message.published_at for item in self._deliveries.values()), default=None)

    def add(self, message: Message, attempt: int = 0) -> None:
        """Add a message; it is due after the delay set by the switches."""
        delivery = Delivery(message, attempt)
        self._deliveries[message.id] = delivery
        self._schedule(delivery, self.switches.delay_seconds)

    def set_switches(self, switches: Switches) -> None:
        """Change how messages are delivered from now on."""
        self.switches = switches
        self._changed.set()

    async def take(self) -> Delivery:
        """Wait for a due message and lease it until the subscription's acknowledgement deadline."""
        while True:
            delivery = self.take_now()
            if delivery is not None:
                return delivery
            wait = max(0.0, self._heap[0][0] - time.monotonic()) if self._heap and not self.switches.paused else None
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait)

    def take_now(self) -> Delivery | None:
        """Lease a message that is due now, if there is one.

        Raises:
            sqlite3.Error: The journal cannot be written; the message stays and is due again soon.
        """
        while not self.switches.paused and (delivery := self._pop_due()) is not None:
            try:
                if self._attempts_used_up(delivery):
                    self._give_up(delivery)
                    continue
                if self._is_past_retention(delivery):
                    self.ack(delivery.message.id)
                    continue
                self._journal.attempted(delivery.message.id, self.subscription.name, delivery.attempt + 1)
            except sqlite3.Error:
                # It has left the queue, but was not delivered.
                self._schedule(delivery, JOURNAL_RETRY_SECONDS)
                raise
            delivery.attempt += 1
            self._schedule(delivery, self._lease_seconds())
            return delivery
        return None

    def ack(self, message_id: str) -> None:
        """Remove an acknowledged message; unknown ones are ignored, as in the service.

        Raises:
            sqlite3.Error: The journal cannot be written; the message stays.
        """
        if message_id in self._deliveries:
            self._journal.acknowledged(message_id, self.subscription.name)
            del self._deliveries[message_id]

    def forget(self, attribute: str, value: str) -> int:
        """Acknowledge the messages with this attribute, and return how many there were."""
        found = [
            message_id
            for message_id, item in self._deliveries.items()
            if item.message.attributes.get(attribute) == value
        ]
        for message_id in found:
            self.ack(message_id)
        return len(found)

    def nack(self, message_id: str) -> None:
        """Redeliver a message after its backoff, or give it up after the last attempt."""
        delivery = self._deliveries.get(message_id)
        if delivery is None:
            return
        if self._attempts_used_up(delivery):
            self._give_up(delivery)
        else:
            self._schedule(delivery, self.subscription.backoff_seconds(delivery.attempt))

    def extend(self, message_id: str, seconds: float) -> None:
        """Change the deadline of a leased message; zero seconds reject it."""
        delivery = self._deliveries.get(message_id)
        if delivery is not None and seconds > 0:
            self._schedule(delivery, seconds)
        elif delivery is not None:
            self.nack(message_id)

    def _lease_seconds(self) -> float:
        deadline = self.subscription.ack_deadline_seconds
        if self.subscription.push_endpoint is None:
            return deadline
        # A push ends at its deadline and reports the outcome; the lease only has to outlast it.
        return deadline * (1 if self.switches.simultaneous else self.switches.copies) + 1.0

    def _attempts_used_up(self, delivery: Delivery) -> bool:
        has_policy = self.subscription.dead_letter_topic is not None
        return has_policy and delivery.attempt >= self.subscription.max_delivery_attempts

    def _is_past_retention(self, delivery: Delivery) -> bool:
        retention = self.subscription.retention_seconds
        return retention is not None and time.time() - delivery.message.published_at >= retention

    def _give_up(self, delivery: Delivery) -> None:
        # Published before it is removed: if the process is killed in between, it arrives twice and is not lost.
        self._dead_letter(self.subscription, delivery)
        self.ack(delivery.message.id)

    def _schedule(self, delivery: Delivery, seconds: float) -> None:
        delivery.due_at = time.monotonic() + seconds
        heapq.heappush(self._heap, (delivery.due_at, next(self._order), delivery.message.id))
        self._changed.set()

    def _pop_due(self) -> Delivery | None:
        due: list[Delivery] = []
        now = time.monotonic()
        while self._heap and self._heap[0][0] <= now:
            due_at, _, message_id = heapq.heappop(self._heap)
            delivery = self._deliveries.get(message_id)
            # An acknowledged or rescheduled message has left its earlier entry in the heap.
            if delivery is None or delivery.due_at != due_at:
                continue
            if not self.switches.out_of_order:
                return delivery
            due.append(delivery)
        if not due:
            return None
        chosen = due.pop(random.randrange(len(due)))  # noqa: S311 (which one is no secret)
        for delivery in due:
            heapq.heappush(self._heap, (delivery.due_at, next(self._order), delivery.message.id))
        return chosen
