"""Topics and their subscriptions."""

import time
from collections.abc import Callable
from pathlib import Path

from local_cloud.pubsub.backlog import Backlog
from local_cloud.pubsub.journal import Journal
from local_cloud.pubsub.records import Delivery, Message, Subscription, Switches


class UnknownNameError(LookupError):
    """The topic or subscription does not exist."""


class NameTakenError(ValueError):
    """A topic or subscription of this name exists already."""


class Broker:
    """All topics and subscriptions by full name (`projects/…/topics/…`), in one event loop."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._journal = Journal(folder / "pubsub.sqlite")
        self._topics = set(self._journal.topics())
        self._backlogs: dict[str, Backlog] = {}
        self._last_id = 0
        self.dead_lettered = 0
        # Called when a subscription is added or removed, so that push delivery can follow.
        self.on_change: Callable[[], None] = lambda: None
        for subscription, switches in self._journal.subscriptions():
            self._backlogs[subscription.name] = self._new_backlog(subscription, switches)
        for name, attempt, message in self._journal.deliveries():
            if name in self._backlogs:
                self._backlogs[name].add(message, attempt)

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    @property
    def topics(self) -> list[str]:
        """All topics by name."""
        return sorted(self._topics)

    @property
    def backlogs(self) -> dict[str, Backlog]:
        """The backlog of each subscription."""
        return self._backlogs

    def create_topic(self, name: str) -> None:
        """Create a topic.

        Raises:
            NameTakenError: It exists.
        """
        if name in self._topics:
            raise NameTakenError(name)
        self.ensure_topic(name)

    def ensure_topic(self, name: str) -> None:
        """Create a topic unless it exists."""
        self._journal.add_topic(name)
        self._topics.add(name)

    def check_topic(self, name: str) -> None:
        """Raise UnknownNameError if the topic does not exist."""
        if name not in self._topics:
            raise UnknownNameError(name)

    def delete_topic(self, name: str) -> None:
        """Remove a topic; its subscriptions keep their messages."""
        self.check_topic(name)
        self._journal.remove_topic(name)
        self._topics.discard(name)

    def backlog(self, subscription: str) -> Backlog:
        """Return the backlog of a subscription, or raise UnknownNameError."""
        try:
            return self._backlogs[subscription]
        except KeyError:
            raise UnknownNameError(subscription) from None

    def create_subscription(self, subscription: Subscription) -> None:
        """Create a subscription.

        Raises:
            NameTakenError: It exists.
            UnknownNameError: Its topic does not exist.
        """
        if subscription.name in self._backlogs:
            raise NameTakenError(subscription.name)
        self.check_topic(subscription.topic)
        self.ensure_subscription(subscription)

    def ensure_subscription(self, subscription: Subscription) -> None:
        """Create a subscription, or update the settings of an existing one, which keeps its messages."""
        backlog = self._backlogs.get(subscription.name)
        if backlog is None:
            backlog = self._backlogs[subscription.name] = self._new_backlog(subscription, Switches())
        backlog.subscription = subscription
        self._journal.put_subscription(subscription, backlog.switches)
        self.on_change()

    def delete_subscription(self, name: str) -> None:
        """Remove a subscription and its messages."""
        self.backlog(name)
        del self._backlogs[name]
        self._journal.remove_subscription(name)
        self.on_change()

    def set_switches(self, name: str, switches: Switches) -> None:
        """Change how a subscription delivers, also after a restart."""
        backlog = self.backlog(name)
        backlog.set_switches(switches)
        self._journal.put_subscription(backlog.subscription, switches)

    def publish(self, topic: str, data: bytes, attributes: dict[str, str], ordering_key: str = "") -> str:
        """Store one message for every subscription of the topic, and return its id."""
        return self.publish_all(topic, [(data, attributes, ordering_key)])[0]

    def publish_all(self, topic: str, contents: list[tuple[bytes, dict[str, str], str]]) -> list[str]:
        """Store several messages atomically, and return their ids."""
        self.check_topic(topic)
        messages = [Message(self._next_id(), *content, time.time()) for content in contents]
        backlogs = [backlog for backlog in self._backlogs.values() if backlog.subscription.topic == topic]
        if backlogs:
            self._journal.publish(messages, [backlog.subscription.name for backlog in backlogs])
        for backlog in backlogs:
            for message in messages:
                backlog.add(message)
        return [message.id for message in messages]

    def forget(self, attribute: str, value: str) -> int:
        """Acknowledge all messages with this attribute, and return how many there were."""
        return sum(backlog.forget(attribute, value) for backlog in self._backlogs.values())

    def _new_backlog(self, subscription: Subscription, switches: Switches) -> Backlog:
        return Backlog(subscription, switches, self._journal, self._publish_dead_letter)

    def _publish_dead_letter(self, subscription: Subscription, delivery: Delivery) -> None:
        """Publish a message that was given up to the dead-letter topic.

        Source: https://cloud.google.com/pubsub/docs/handling-failures#track-delivery-attempts
        """
        topic = subscription.dead_letter_topic
        if topic is None or topic not in self._topics:
            return
        project = subscription.name.split("/")[1]
        attributes = {
            **delivery.message.attributes,
            "CloudPubSubDeadLetterSourceDeliveryCount": str(delivery.attempt),
            "CloudPubSubDeadLetterSourceSubscription": subscription.name.rsplit("/", 1)[-1],
            "CloudPubSubDeadLetterSourceSubscriptionProject": project,
            "CloudPubSubDeadLetterSourceTopicPublishTime": delivery.message.publish_time,
        }
        self.publish(topic, delivery.message.data, attributes, delivery.message.ordering_key)
        self.dead_lettered += 1

    def _next_id(self) -> str:
        self._last_id = max(self._last_id + 1, time.time_ns() // 1000)
        return str(self._last_id)
