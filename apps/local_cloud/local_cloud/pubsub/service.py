"""The gRPC services Publisher and Subscriber on top of the broker, with the client library's own message types."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]
from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]
from google.pubsub_v1 import types

from image_core.telemetry import log_unexpected
from local_cloud.pubsub.backlog import Backlog
from local_cloud.pubsub.broker import Broker, NameTakenError, UnknownNameError
from local_cloud.pubsub.records import Delivery, Subscription

# A pull without messages returns after this long, which is less than a client's own deadline.
PULL_WAIT_SECONDS = 1.0
DEFAULT_ACK_DEADLINE_SECONDS = 10
DEFAULT_BACKOFF_SECONDS = (10.0, 600.0)
STREAM_MAX_OUTSTANDING = 1000

Context = Any
Handler = Callable[[Any, Context], Awaitable[Any]]


class PubSubService:
    """Handles the calls of the real publisher and subscriber clients."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> list[Any]:
        """Return the argument for `grpc.aio.Server.add_generic_rpc_handlers`."""
        publisher = {
            "CreateTopic": _unary(types.Topic, self.create_topic),
            "GetTopic": _unary(types.GetTopicRequest, self.get_topic),
            "ListTopics": _unary(types.ListTopicsRequest, self.list_topics),
            "ListTopicSubscriptions": _unary(types.ListTopicSubscriptionsRequest, self.list_topic_subscriptions),
            "DeleteTopic": _unary(types.DeleteTopicRequest, self.delete_topic),
            "Publish": _unary(types.PublishRequest, self.publish),
        }
        subscriber = {
            "CreateSubscription": _unary(types.Subscription, self.create_subscription),
            "GetSubscription": _unary(types.GetSubscriptionRequest, self.get_subscription),
            "ListSubscriptions": _unary(types.ListSubscriptionsRequest, self.list_subscriptions),
            "DeleteSubscription": _unary(types.DeleteSubscriptionRequest, self.delete_subscription),
            "Pull": _unary(types.PullRequest, self.pull),
            "Acknowledge": _unary(types.AcknowledgeRequest, self.acknowledge),
            "ModifyAckDeadline": _unary(types.ModifyAckDeadlineRequest, self.modify_ack_deadline),
            "StreamingPull": grpc.stream_stream_rpc_method_handler(
                self.streaming_pull,
                request_deserializer=types.StreamingPullRequest.pb().FromString,
                response_serializer=lambda message: message.SerializeToString(),
            ),
        }
        return [
            grpc.method_handlers_generic_handler("google.pubsub.v1.Publisher", publisher),
            grpc.method_handlers_generic_handler("google.pubsub.v1.Subscriber", subscriber),
        ]

    async def create_topic(self, request: Any, _context: Context) -> Any:
        """Create a topic."""
        self._broker.create_topic(request.name)
        return request

    async def get_topic(self, request: Any, _context: Context) -> Any:
        """Return a topic."""
        self._broker.check_topic(request.topic)
        return types.Topic.pb()(name=request.topic)

    async def list_topics(self, request: Any, _context: Context) -> Any:
        """Return all topics of a project, on one page."""
        names = [name for name in self._broker.topics if name.startswith(f"{request.project}/")]
        topic = types.Topic.pb()
        return types.ListTopicsResponse.pb()(topics=[topic(name=name) for name in names])

    async def list_topic_subscriptions(self, request: Any, _context: Context) -> Any:
        """Return the names of a topic's subscriptions."""
        self._broker.check_topic(request.topic)
        names = [name for name, item in self._broker.backlogs.items() if item.subscription.topic == request.topic]
        return types.ListTopicSubscriptionsResponse.pb()(subscriptions=names)

    async def delete_topic(self, request: Any, _context: Context) -> Any:
        """Remove a topic."""
        self._broker.delete_topic(request.topic)
        return Empty()

    async def publish(self, request: Any, _context: Context) -> Any:
        """Store messages; they are on disk before the response is sent."""
        contents = [(item.data, dict(item.attributes), item.ordering_key) for item in request.messages]
        return types.PublishResponse.pb()(message_ids=self._broker.publish_all(request.topic, contents))

    async def create_subscription(self, request: Any, _context: Context) -> Any:
        """Create a subscription."""
        self._broker.create_subscription(_from_proto(request))
        return request

    async def get_subscription(self, request: Any, _context: Context) -> Any:
        """Return a subscription."""
        return _to_proto(self._broker.backlog(request.subscription).subscription)

    async def list_subscriptions(self, request: Any, _context: Context) -> Any:
        """Return all subscriptions of a project, on one page."""
        found = [
            _to_proto(backlog.subscription)
            for name, backlog in self._broker.backlogs.items()
            if name.startswith(f"{request.project}/")
        ]
        return types.ListSubscriptionsResponse.pb()(subscriptions=found)

    async def delete_subscription(self, request: Any, _context: Context) -> Any:
        """Remove a subscription."""
        self._broker.delete_subscription(request.subscription)
        return Empty()

    async def pull(self, request: Any, _context: Context) -> Any:
        """Lease messages; wait briefly for the first one."""
        backlog = self._broker.backlog(request.subscription)
        taken = _take_due(backlog, request.max_messages)
        if not taken and not request.return_immediately:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PULL_WAIT_SECONDS):
                    taken = [await backlog.take()]
            taken += _take_due(backlog, request.max_messages - len(taken))
        return types.PullResponse.pb()(received_messages=[_received(backlog, item) for item in taken])

    async def acknowledge(self, request: Any, _context: Context) -> Any:
        """Acknowledge messages."""
        backlog = self._broker.backlog(request.subscription)
        for ack_id in request.ack_ids:
            backlog.ack(_message_id(ack_id))
        return Empty()

    async def modify_ack_deadline(self, request: Any, _context: Context) -> Any:
        """Extend leases, or end them at once with a deadline of zero."""
        backlog = self._broker.backlog(request.subscription)
        for ack_id in request.ack_ids:
            backlog.extend(_message_id(ack_id), request.ack_deadline_seconds)
        return Empty()

    async def streaming_pull(self, requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        """Send messages as they become due and receive acknowledgements, on one stream."""
        first = await anext(requests)
        try:
            backlog = self._broker.backlog(first.subscription)
        except UnknownNameError as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Resource not found ({error})")
            return
        stream = _Stream(backlog, first.max_outstanding_messages or STREAM_MAX_OUTSTANDING)
        reader = asyncio.create_task(stream.read(requests))
        try:
            while not reader.done():
                delivery = await stream.next_delivery(reader)
                if delivery is not None:
                    yield types.StreamingPullResponse.pb()(received_messages=[_received(backlog, delivery)])
        finally:
            reader.cancel()


class _Stream:
    """The state of one streaming pull: the messages sent and not yet settled."""

    def __init__(self, backlog: Backlog, max_outstanding: int) -> None:
        self._backlog = backlog
        self._room = asyncio.Semaphore(max_outstanding)
        self._outstanding: set[str] = set()

    async def read(self, requests: AsyncIterator[Any]) -> None:
        """Settle messages as the client requests, until it closes its side."""
        async for request in requests:
            for ack_id in request.ack_ids:
                self._backlog.ack(_message_id(ack_id))
                self._settle(ack_id)
            pairs = zip(request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=True)
            for ack_id, seconds in pairs:
                self._backlog.extend(_message_id(ack_id), seconds)
                if seconds == 0:
                    self._settle(ack_id)

    async def next_delivery(self, reader: "asyncio.Task[None]") -> Delivery | None:
        """Wait for a message, or for the end of the client's side (then `None`)."""
        taking = asyncio.create_task(self._take())
        try:
            await asyncio.wait([taking, reader], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            taking.cancel()
            raise
        if taking.done():
            return taking.result()
        taking.cancel()
        return None

    async def _take(self) -> Delivery:
        await self._room.acquire()
        delivery = await self._backlog.take()
        self._outstanding.add(delivery.ack_id)
        return delivery

    def _settle(self, ack_id: str) -> None:
        if ack_id in self._outstanding:
            self._outstanding.discard(ack_id)
            self._room.release()


def _unary(request_type: Any, handler: Handler) -> Any:
    async def answer(request: Any, context: Context) -> Any:
        try:
            return await handler(request, context)
        except UnknownNameError as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Resource not found ({error})")
        except NameTakenError as error:
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, f"Resource already exists ({error})")
        except sqlite3.Error as error:
            # A full disk, for example: clients retry what was not stored.
            log_unexpected(error)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "The disk does not take it.")

    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=request_type.pb().FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )


def _take_due(backlog: Backlog, limit: int) -> list[Delivery]:
    taken: list[Delivery] = []
    while len(taken) < limit and (delivery := backlog.take_now()) is not None:
        taken.append(delivery)
    return taken


def _message_id(ack_id: str) -> str:
    return ack_id.partition(":")[0]


def _received(backlog: Backlog, delivery: Delivery) -> Any:
    message = delivery.message
    published = Timestamp()
    published.FromNanoseconds(int(message.published_at * 1e9))
    wrapped = types.PubsubMessage.pb()(
        data=message.data,
        attributes=message.attributes,
        message_id=message.id,
        publish_time=published,
        ordering_key=message.ordering_key,
    )
    counted = delivery.attempt if backlog.subscription.dead_letter_topic else 0
    return types.ReceivedMessage.pb()(ack_id=delivery.ack_id, message=wrapped, delivery_attempt=counted)


def _from_proto(request: Any) -> Subscription:
    push, policy, retry = request.push_config, request.dead_letter_policy, request.retry_policy
    default_minimum, default_maximum = DEFAULT_BACKOFF_SECONDS if request.HasField("retry_policy") else (0.0, 0.0)
    return Subscription(
        name=request.name,
        topic=request.topic,
        push_endpoint=push.push_endpoint or None,
        push_audience=push.oidc_token.audience,
        push_email=push.oidc_token.service_account_email,
        ack_deadline_seconds=request.ack_deadline_seconds or DEFAULT_ACK_DEADLINE_SECONDS,
        min_backoff_seconds=retry.minimum_backoff.ToNanoseconds() / 1e9 or default_minimum,
        max_backoff_seconds=retry.maximum_backoff.ToNanoseconds() / 1e9 or default_maximum,
        dead_letter_topic=policy.dead_letter_topic or None,
        max_delivery_attempts=policy.max_delivery_attempts or 5,
    )


def _to_proto(subscription: Subscription) -> Any:
    proto = types.Subscription.pb()(
        name=subscription.name,
        topic=subscription.topic,
        ack_deadline_seconds=int(subscription.ack_deadline_seconds),
    )
    if subscription.push_endpoint:
        proto.push_config.push_endpoint = subscription.push_endpoint
        proto.push_config.oidc_token.audience = subscription.push_audience
        proto.push_config.oidc_token.service_account_email = subscription.push_email
    if subscription.dead_letter_topic:
        proto.dead_letter_policy.dead_letter_topic = subscription.dead_letter_topic
        proto.dead_letter_policy.max_delivery_attempts = subscription.max_delivery_attempts
    if subscription.max_backoff_seconds:
        proto.retry_policy.minimum_backoff.FromNanoseconds(int(subscription.min_backoff_seconds * 1e9))
        proto.retry_policy.maximum_backoff.FromNanoseconds(int(subscription.max_backoff_seconds * 1e9))
    return proto
