"""A subscriber of the events topic, which remembers every message it was ever sent."""

import json
import time
from collections import defaultdict
from typing import Any

import grpc
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import PubsubMessage

PULL_SECONDS = 5


class Inbox:
    """A pull subscription of its own, past every proxy."""

    def __init__(self, host: str, project: str) -> None:
        self._channel = grpc.insecure_channel(host)
        self._subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=self._channel))
        self._publisher = PublisherClient(transport=PublisherGrpcTransport(channel=self._channel))
        self._project = project
        self._subscription = f"projects/{project}/subscriptions/checker"
        self._subscriber.create_subscription(name=self._subscription, topic=f"projects/{project}/topics/image-events")
        self.received: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        """Bodies by event id."""
        self._dead: list[Any] = []

    def pull(self) -> None:
        """Take what has come; waits a second for the first message."""
        for message in self._take(self._subscription):
            body = json.loads(message.data)
            assert body["id"] == message.attributes["event_id"]
            self.received[body["id"]].append(body)

    def wait_for_dead_letter(self, data: bytes, seconds: float) -> Any:
        """Take what was given up until this message is among it."""
        deadline = time.monotonic() + seconds
        while not (found := [message for message in self._dead if message.data == data]):
            assert time.monotonic() < deadline, f"{data!r} is not among the dead letters"
            self._dead += self._take(f"projects/{self._project}/subscriptions/image-dead-letters-pull")
        return found[0]

    def publish_upload_message(self, data: bytes, **attributes: str) -> None:
        """Publish to the topic that asks for processing, as anybody with the right to could."""
        message = PubsubMessage(data=data, attributes=attributes)
        self._publisher.publish(topic=f"projects/{self._project}/topics/image-uploads", messages=[message])

    def close(self) -> None:
        self._channel.close()

    def _take(self, subscription: str) -> list[Any]:
        pulled = self._subscriber.pull(subscription=subscription, max_messages=1000, timeout=PULL_SECONDS)
        if pulled.received_messages:
            ack_ids = [each.ack_id for each in pulled.received_messages]
            self._subscriber.acknowledge(subscription=subscription, ack_ids=ack_ids)
        return [each.message for each in pulled.received_messages]
