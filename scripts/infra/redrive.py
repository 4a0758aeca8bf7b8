"""`make redrive PROJECT=…`: list dead letters, or send them again after their cause has been fixed.

Each is published to its original topic before it is acknowledged, so the worst case is that one is sent twice, and
a message that is handled twice does its work once. Messages of unknown origin stay where they are. Locally, set
`PUBSUB_EMULATOR_HOST`.
"""

import argparse
import json
import os
import sys
from dataclasses import dataclass
from typing import Any

from google.api_core.exceptions import GoogleAPICallError
from scripts.infra.commands import say
from scripts.infra.project import project_id_argument

SUBSCRIPTION = "image-dead-letters-pull"
TOPICS = {
    "image-uploads-push": "image-uploads",
    "image-analyses-push": "image-analyses",
    "image-renditions-push": "image-renditions",
}
"""The topic of each subscription whose messages may become dead letters."""
ADDED_BY_PUBSUB = "CloudPubSubDeadLetterSource"
"""How the attributes begin that say where a dead letter comes from."""
BATCH = 100


@dataclass
class Letters:
    """The dead letters of one project."""

    publisher: Any
    subscriber: Any
    project_id: str

    @property
    def subscription(self) -> str:
        """Its full name."""
        return f"projects/{self.project_id}/subscriptions/{SUBSCRIPTION}"

    def take(self, most: int) -> list[Any]:
        """Lease up to `most` distinct messages for a minute."""
        taken: dict[str, Any] = {}
        while len(taken) < most:
            wanted = min(BATCH, most - len(taken))
            request = {"subscription": self.subscription, "max_messages": wanted, "return_immediately": True}
            found = self.subscriber.pull(request=request, timeout=30).received_messages
            if not found:
                break
            taken.update((each.ack_id, each) for each in found)
        return list(taken.values())

    def send(self, letter: Any, topic: str) -> None:
        """Publish a message to a topic again, then acknowledge the old one."""
        attributes = {
            key: value for key, value in letter.message.attributes.items() if not key.startswith(ADDED_BY_PUBSUB)
        }
        message = {"data": letter.message.data, "attributes": attributes}
        self.publisher.publish(
            request={"topic": f"projects/{self.project_id}/topics/{topic}", "messages": [message]}, timeout=30
        )
        self.subscriber.acknowledge(request={"subscription": self.subscription, "ack_ids": [letter.ack_id]}, timeout=30)

    def give_back(self, letters: list[Any]) -> None:
        """End the leases, so that the messages are available again immediately."""
        if letters:
            ack_ids = [each.ack_id for each in letters]
            self.subscriber.modify_ack_deadline(
                request={"subscription": self.subscription, "ack_ids": ack_ids, "ack_deadline_seconds": 0}, timeout=30
            )


def open_letters(project_id: str) -> Letters:
    """Return clients for Pub/Sub, or for the emulator in `PUBSUB_EMULATOR_HOST`."""
    import grpc
    from google.pubsub_v1 import PublisherClient, SubscriberClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
    from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

    host = os.environ.get("PUBSUB_EMULATOR_HOST")
    if not host:
        return Letters(PublisherClient(), SubscriberClient(), project_id)
    publisher = PublisherClient(transport=PublisherGrpcTransport(channel=grpc.insecure_channel(host)))
    subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=grpc.insecure_channel(host)))
    return Letters(publisher, subscriber, project_id)


def _source_of(letter: Any) -> str:
    """Return the subscription that dead-lettered a message, without its project."""
    return str(letter.message.attributes.get(f"{ADDED_BY_PUBSUB}Subscription", "nowhere known")).rsplit("/", 1)[-1]


def _subject_of(letter: Any) -> str:
    attributes = letter.message.attributes
    if "objectId" in attributes:
        return f"{attributes['objectId']}  generation {attributes.get('objectGeneration', '-')}"
    try:
        return f"analysis {json.loads(letter.message.data)['data']['analysis_id']}"
    except (ValueError, KeyError, TypeError):
        return "no object"


def _line(letter: Any) -> str:
    tries = letter.message.attributes.get(f"{ADDED_BY_PUBSUB}DeliveryCount", "?")
    return f"{letter.message.message_id}  {_subject_of(letter)}  tried {tries} times  from {_source_of(letter)}"


def redrive(letters: Letters, most: int, *, send: bool) -> int:
    """Show up to `most` dead letters, and send them again if `send` is set.

    Return how many were sent, or would be.
    """
    taken = letters.take(most)
    kept, topics = list(taken), [TOPICS.get(_source_of(letter)) for letter in taken]
    try:
        for letter, topic in zip(taken, topics, strict=True):
            say(_line(letter))
            if send and topic is not None:
                letters.send(letter, topic)
                kept.remove(letter)
    finally:
        letters.give_back(kept)
    return len(topics) - topics.count(None)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("project_id", type=project_id_argument)
    parser.add_argument("--send", action="store_true", help="send them again; without, they are only shown")
    parser.add_argument("--most", type=int, default=1000, help="how many at once")
    options = parser.parse_args(arguments)
    try:
        count = redrive(open_letters(options.project_id), options.most, send=options.send)
    except GoogleAPICallError as error:
        say(f"Stopped: {error}. What was not sent again still lies there.")
        return 1
    say(f"{count} sent again." if options.send else f"{count} there. ARGS=--send sends them again.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
