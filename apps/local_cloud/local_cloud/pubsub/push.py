"""Push delivery: POSTs each message to its subscription's endpoint until it is acknowledged.

Source: https://cloud.google.com/pubsub/docs/push
"""

import asyncio
import base64
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx2

from image_core.background import supervise
from image_core.telemetry import log, log_unexpected
from local_cloud.pubsub.backlog import Backlog
from local_cloud.pubsub.broker import Broker
from local_cloud.pubsub.records import Delivery, Subscription

ACKNOWLEDGING = frozenset({102, 200, 201, 202, 204})
FIRST_WINDOW = 3
# Audience of the token, and e-mail of its account.
Tokens = Callable[[str, str], str]


class Window:
    """The number of concurrent deliveries: grows by one with each success, halves with each failure."""

    def __init__(self, cap: int) -> None:
        self.limit = float(min(FIRST_WINDOW, cap))
        self.under_way = 0
        self._cap = cap
        self._room = asyncio.Event()

    async def enter(self) -> None:
        """Wait for a free slot and take it."""
        while self.under_way >= int(self.limit):
            self._room.clear()
            await self._room.wait()
        self.under_way += 1

    def leave(self) -> None:
        """Release the slot without reporting an outcome."""
        self.under_way -= 1
        self._room.set()

    def learn(self, *, acknowledged: bool) -> None:
        """Widen or narrow the window."""
        self.limit = min(float(self._cap), self.limit + 1) if acknowledged else max(1.0, self.limit / 2)


class PushDelivery:
    """Delivers for every push subscription of a broker, each with its own window."""

    def __init__(self, broker: Broker, tokens: Tokens, *, max_outstanding: int = 8) -> None:
        self._broker = broker
        self._tokens = tokens
        self._max_outstanding = max_outstanding
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._deliveries: set[asyncio.Task[None]] = set()
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=max_outstanding)
        self._client = httpx2.AsyncClient(trust_env=False, limits=limits)
        broker.on_change = self.follow
        self.follow()

    def follow(self) -> None:
        """Start a loop for each push subscription that has none, and end all others."""
        push_backlogs = {
            name: backlog for name, backlog in self._broker.backlogs.items() if backlog.subscription.push_endpoint
        }
        for name in self._loops.keys() - push_backlogs.keys():
            self._loops.pop(name).cancel()
        for name in push_backlogs.keys() - self._loops.keys():
            run = partial(self._run, push_backlogs[name], Window(self._max_outstanding))
            self._loops[name] = asyncio.create_task(supervise("push", run))

    async def close(self) -> None:
        """Stop all deliveries; those in progress are repeated after the next start."""
        tasks = [*self._loops.values(), *self._deliveries]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    async def _run(self, backlog: Backlog, window: Window) -> None:
        while True:
            await window.enter()
            try:
                delivery = await backlog.take()
            except BaseException:
                window.leave()
                raise
            task = asyncio.create_task(self._deliver(backlog, delivery, window))
            self._deliveries.add(task)
            task.add_done_callback(self._deliveries.discard)

    async def _deliver(self, backlog: Backlog, delivery: Delivery, window: Window) -> None:
        try:
            acknowledged = await self._post_copies(backlog, delivery)
            window.learn(acknowledged=acknowledged)
            if acknowledged:
                backlog.ack(delivery.message.id)
            else:
                backlog.nack(delivery.message.id)
        except sqlite3.Error as error:
            # If the journal cannot be written, the outcome is not recorded: the message is redelivered after its lease.
            log_unexpected(error, subscription=backlog.subscription.name)
        finally:
            window.leave()

    async def _post_copies(self, backlog: Backlog, delivery: Delivery) -> bool:
        """Deliver as often as the switches say; one acknowledgement is enough."""
        switches, subscription = backlog.switches, backlog.subscription
        if switches.simultaneous:
            outcomes = await asyncio.gather(*(self._post(subscription, delivery) for _ in range(switches.copies)))
        else:
            outcomes = [await self._post(subscription, delivery) for _ in range(switches.copies)]
        return any(outcomes)

    async def _post(self, subscription: Subscription, delivery: Delivery) -> bool:
        token = self._tokens(subscription.push_audience or str(subscription.push_endpoint), subscription.push_email)
        wrapped = envelope(subscription, delivery)
        try:
            async with asyncio.timeout(subscription.ack_deadline_seconds):
                response = await self._client.post(
                    str(subscription.push_endpoint),
                    json=wrapped,
                    headers={"authorization": f"Bearer {token}", "user-agent": "APIs-Google"},
                    timeout=subscription.ack_deadline_seconds,
                )
        except Exception as error:  # noqa: BLE001 (a connection that vanishes while it is made raises AttributeError)
            log("push_failed", subscription=subscription.name, reason=type(error).__qualname__)
            return False
        return response.status_code in ACKNOWLEDGING


def envelope(subscription: Subscription, delivery: Delivery) -> dict[str, Any]:
    """Wrap a message as the service does, including both spellings of the names that it sends twice."""
    message = delivery.message
    wrapped: dict[str, Any] = {
        "attributes": message.attributes,
        "messageId": message.id,
        "message_id": message.id,
        "publishTime": message.publish_time,
        "publish_time": message.publish_time,
    }
    if message.data:
        wrapped["data"] = base64.b64encode(message.data).decode()
    if message.ordering_key:
        wrapped["orderingKey"] = message.ordering_key
    whole: dict[str, Any] = {"message": wrapped, "subscription": subscription.name}
    # The service counts attempts only with a dead-letter policy.
    if subscription.dead_letter_topic is not None:
        whole["deliveryAttempt"] = delivery.attempt
    return whole
