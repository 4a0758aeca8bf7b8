"""What Google's client libraries see of Pub/Sub: one suite over the local broker and Google's own in-memory server."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.api_core.exceptions import AlreadyExists, NotFound
from google.cloud import pubsub_v1

from local_cloud.ports import free_port
from local_cloud.testing import GuardedProcess

from ..emulator_process import eventually

PROJECT = "image-manager-test"


@pytest.fixture(scope="session")
def second_opinion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Builds the server with Go and runs it; gives its address."""
    binary, port = tmp_path_factory.mktemp("go") / "pubsub", free_port()
    subprocess.run(["go", "build", "-o", binary, "."], cwd=Path(__file__).parent / "pubsub_second_opinion", check=True)
    with GuardedProcess([binary, str(port)]) as process:

        def listens() -> bool:
            assert process.poll() is None
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        try:
            eventually(listens, 20)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.fixture(params=["local", pytest.param("pstest", marks=pytest.mark.go)])
def pubsub(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    local = request.param == "local"
    host: str = request.getfixturevalue("emulators").pubsub_host if local else request.getfixturevalue("second_opinion")
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", host)
    return host


@pytest.fixture
def publisher(pubsub: str) -> Iterator[Any]:
    with pubsub_v1.PublisherClient(
        publisher_options=pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
    ) as client:
        yield client


@pytest.fixture
def subscriber(pubsub: str) -> Iterator[Any]:
    with pubsub_v1.SubscriberClient() as client:
        yield client


@pytest.fixture
def topic(publisher: Any) -> str:
    name = f"projects/{PROJECT}/topics/t-{uuid4()}"
    publisher.create_topic(name=name)
    return name


@pytest.fixture
def subscribe(subscriber: Any, topic: str) -> Callable[..., str]:
    def made(**wish: Any) -> str:
        name = f"projects/{PROJECT}/subscriptions/s-{uuid4()}"
        subscriber.create_subscription(request={"name": name, "topic": topic, "ack_deadline_seconds": 20, **wish})
        return name

    return made


def pulled(subscriber: Any, subscription: str, most: int = 10) -> list[Any]:
    return list(subscriber.pull(subscription=subscription, max_messages=most, timeout=10).received_messages)


def test_a_topic_is_made_once_shown_listed_and_deleted(publisher: Any, topic: str) -> None:
    with pytest.raises(AlreadyExists):
        publisher.create_topic(name=topic)
    assert publisher.get_topic(topic=topic).name == topic
    assert topic in {each.name for each in publisher.list_topics(project=f"projects/{PROJECT}")}
    publisher.delete_topic(topic=topic)
    for gone in (publisher.get_topic, publisher.delete_topic):
        with pytest.raises(NotFound):
            gone(topic=topic)


def test_a_subscription_is_made_once_shown_listed_and_deleted(
    publisher: Any, subscriber: Any, topic: str, subscribe: Callable[..., str]
) -> None:
    name = subscribe()
    with pytest.raises(AlreadyExists):
        subscriber.create_subscription(name=name, topic=topic)
    assert subscriber.get_subscription(subscription=name).ack_deadline_seconds == 20
    assert name in {each.name for each in subscriber.list_subscriptions(project=f"projects/{PROJECT}")}
    assert list(publisher.list_topic_subscriptions(topic=topic)) == [name]
    subscriber.delete_subscription(subscription=name)
    assert list(publisher.list_topic_subscriptions(topic=topic)) == []
    for gone in (subscriber.get_subscription, subscriber.delete_subscription):
        with pytest.raises(NotFound):
            gone(subscription=name)


def test_what_is_not_there_is_not_found(publisher: Any, subscriber: Any) -> None:
    topic, subscription = f"projects/{PROJECT}/topics/absent", f"projects/{PROJECT}/subscriptions/absent"
    with pytest.raises(NotFound):
        publisher.publish(topic, b"x").result(5)
    with pytest.raises(NotFound):
        subscriber.create_subscription(name=f"{subscription}-too", topic=topic)
    with pytest.raises(NotFound):
        subscriber.pull(subscription=subscription, max_messages=1, timeout=5)


def test_a_message_comes_as_it_was_published(
    publisher: Any, subscriber: Any, topic: str, subscribe: Callable[..., str]
) -> None:
    name = subscribe(enable_message_ordering=True)
    message_id = publisher.publish(topic, b"\0data", ordering_key="key", a="b", ü="ä").result(5)
    (received,) = pulled(subscriber, name)
    message = received.message
    assert (message.data, message.ordering_key, message.message_id) == (b"\0data", "key", message_id)
    assert dict(message.attributes) == {"a": "b", "ü": "ä"}
    assert abs(message.publish_time.timestamp() - time.time()) < 60


def test_each_subscription_gets_what_was_published_after_it_was_made(
    publisher: Any, subscriber: Any, topic: str, subscribe: Callable[..., str]
) -> None:
    first = subscribe()
    publisher.publish(topic, b"1").result(5)
    second = subscribe()
    publisher.publish(topic, b"2").result(5)
    assert {each.message.data for each in pulled(subscriber, first)} == {b"1", b"2"}
    assert {each.message.data for each in pulled(subscriber, second)} == {b"2"}


def test_no_more_are_pulled_than_were_asked_for_and_none_twice(
    publisher: Any, subscriber: Any, topic: str, subscribe: Callable[..., str]
) -> None:
    name = subscribe()
    for number in range(5):
        publisher.publish(topic, str(number).encode()).result(5)
    seen: list[bytes] = []
    while len(seen) < 5:
        part = pulled(subscriber, name, most=2)
        assert 1 <= len(part) <= 2
        seen += [each.message.data for each in part]
    assert sorted(seen) == [b"0", b"1", b"2", b"3", b"4"]


def test_what_is_refused_comes_again_and_what_is_acknowledged_does_not(
    publisher: Any, subscriber: Any, topic: str, subscribe: Callable[..., str]
) -> None:
    name = subscribe()
    publisher.publish(topic, b"1").result(5)
    (first,) = pulled(subscriber, name)
    subscriber.modify_ack_deadline(subscription=name, ack_ids=[first.ack_id], ack_deadline_seconds=0)
    (again,) = pulled(subscriber, name)
    assert again.message.message_id == first.message.message_id
    subscriber.acknowledge(subscription=name, ack_ids=[again.ack_id])
    assert not subscriber.pull(subscription=name, max_messages=1, return_immediately=True).received_messages


def test_streaming_pull_delivers_all_once(
    publisher: Any, subscriber: Any, topic: str, subscribe: Callable[..., str]
) -> None:
    seen: list[bytes] = []
    done = threading.Event()

    def take(message: Any) -> None:
        seen.append(message.data)
        message.ack()
        if len(seen) == 20:
            done.set()

    streaming = subscriber.subscribe(subscribe(), take)
    for number in range(20):
        publisher.publish(topic, str(number).encode())
    assert done.wait(10)
    streaming.cancel()
    streaming.result(10)
    assert sorted(seen, key=int) == [str(number).encode() for number in range(20)]


def test_streaming_pull_of_what_is_not_there_ends(subscriber: Any) -> None:
    streaming = subscriber.subscribe(f"projects/{PROJECT}/subscriptions/absent", lambda _message: None)
    with pytest.raises(NotFound) as refused:
        streaming.result(10)
    assert refused.value.grpc_status_code is grpc.StatusCode.NOT_FOUND
