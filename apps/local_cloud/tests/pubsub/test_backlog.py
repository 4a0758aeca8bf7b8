import asyncio
import contextlib
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_cloud.pubsub import push
from local_cloud.pubsub.broker import Broker, NameTakenError, UnknownNameError
from local_cloud.pubsub.push import Window, envelope
from local_cloud.pubsub.records import Delivery, Message, Subscription, Switches

TOPIC, DEAD = "projects/p/topics/t", "projects/p/topics/dead"
NAME, DEAD_NAME = "projects/p/subscriptions/s", "projects/p/subscriptions/dead"


def new_broker(folder: Path, **options: Any) -> Broker:
    broker = Broker(folder)
    broker.ensure_topic(TOPIC)
    broker.ensure_topic(DEAD)
    given: dict[str, Any] = {"min_backoff_seconds": 0.0, "max_delivery_attempts": 3, "dead_letter_topic": DEAD}
    broker.ensure_subscription(Subscription(NAME, TOPIC, **{**given, **options}))
    broker.ensure_subscription(Subscription(DEAD_NAME, DEAD))
    return broker


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["publish", "ack", "nack", "drop", "restart"]), max_size=25))
def test_every_message_is_acknowledged_or_dead_or_still_there(tmp_path: Path, steps: list[str]) -> None:
    folder = tmp_path / str(time.monotonic_ns())
    broker = new_broker(folder)
    published: set[bytes] = set()
    acknowledged: set[bytes] = set()
    for number, step in enumerate(steps):
        backlog = broker.backlog(NAME)
        if step == "publish":
            published.add(str(number).encode())
            broker.publish(TOPIC, str(number).encode(), {})
        elif step == "restart":
            broker.close()
            broker = new_broker(folder)
        elif (delivery := backlog.take_now()) is not None:
            if step == "ack":
                acknowledged.add(delivery.message.data)
                backlog.ack(delivery.message.id)
            elif step == "nack":
                backlog.nack(delivery.message.id)
            # A dropped delivery is one that nobody ever answers: its lease has to bring it back.
    waiting = {item.message.data for item in broker.backlog(NAME)._deliveries.values()}
    dead = {item.message.data for item in broker.backlog(DEAD_NAME)._deliveries.values()}
    assert waiting | dead | acknowledged == published
    assert len(waiting) + len(dead) + len(acknowledged) == len(published)
    broker.close()


async def test_a_lease_that_lapses_brings_the_message_back(tmp_path: Path) -> None:
    broker = new_broker(tmp_path, ack_deadline_seconds=0.05)
    broker.publish(TOPIC, b"x", {})
    backlog = broker.backlog(NAME)
    first = await backlog.take()
    again = await asyncio.wait_for(backlog.take(), 2)
    assert (again.message.id, again.attempt) == (first.message.id, 2)
    broker.close()


async def test_take_waits_for_what_is_published_later(tmp_path: Path) -> None:
    broker = new_broker(tmp_path)
    taking = asyncio.create_task(broker.backlog(NAME).take())
    await asyncio.sleep(0.01)
    assert not taking.done()
    broker.publish(TOPIC, b"x", {})
    assert (await asyncio.wait_for(taking, 2)).message.data == b"x"
    broker.close()


def test_attempts_survive_a_restart(tmp_path: Path) -> None:
    broker = new_broker(tmp_path)
    broker.publish(TOPIC, b"x", {})
    for attempt in (1, 2, 3):
        delivery = broker.backlog(NAME).take_now()
        assert delivery is not None
        assert delivery.attempt == attempt
        broker.close()
        broker = new_broker(tmp_path)
    assert broker.backlog(NAME).take_now() is None
    assert len(broker.backlog(DEAD_NAME)) == 1
    broker.close()


def test_names(tmp_path: Path) -> None:
    broker = new_broker(tmp_path)
    with pytest.raises(NameTakenError):
        broker.create_topic(TOPIC)
    with pytest.raises(NameTakenError):
        broker.create_subscription(Subscription(NAME, TOPIC))
    with pytest.raises(UnknownNameError):
        broker.create_subscription(Subscription("projects/p/subscriptions/new", "projects/p/topics/none"))
    with pytest.raises(UnknownNameError):
        broker.publish("projects/p/topics/none", b"", {})
    broker.close()


@given(st.integers(1, 2000), st.floats(0.1, 5), st.floats(5, 600))
def test_backoff_doubles_between_its_bounds(attempt: int, least: float, most: float) -> None:
    subscription = Subscription(NAME, TOPIC, min_backoff_seconds=least, max_backoff_seconds=most)
    wait = subscription.backoff_seconds(attempt)
    assert least <= wait <= most
    assert wait <= subscription.backoff_seconds(attempt + 1) <= 2 * wait


@given(st.binary(max_size=50), st.dictionaries(st.text(max_size=5), st.text(max_size=5)), st.text(max_size=5))
def test_envelopes_hold_what_was_published(data: bytes, attributes: dict[str, str], key: str) -> None:
    import base64

    delivery = Delivery(Message("1", data, attributes, key, 1e9), attempt=2)
    whole = envelope(Subscription(NAME, TOPIC, dead_letter_topic=DEAD), delivery)
    assert base64.b64decode(whole["message"].get("data", "")) == data
    assert whole["message"]["attributes"] == attributes
    assert whole["message"].get("orderingKey", "") == key
    assert whole["deliveryAttempt"] == 2
    assert whole["message"]["publishTime"] == "2001-09-09T01:46:40.000Z"
    assert "deliveryAttempt" not in envelope(Subscription(NAME, TOPIC), delivery)


async def test_the_window_widens_with_success_and_narrows_with_failure() -> None:
    window = Window(8)
    assert window.limit == push.FIRST_WINDOW
    for _ in range(20):
        window.learn(acknowledged=True)
    assert window.limit == 8
    for _ in range(20):
        window.learn(acknowledged=False)
    assert window.limit == 1
    await window.enter()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(window.enter(), 0.02)
    assert window.under_way == 1


@given(
    st.dictionaries(st.sampled_from(["copies", "paused", "delay_seconds", "nonsense"]), st.integers() | st.booleans())
)
def test_switches_are_checked(document: dict[str, Any]) -> None:
    right = {"copies": int, "paused": bool, "delay_seconds": int}
    if all(right.get(name) is type(value) for name, value in document.items()):
        assert vars(Switches.from_document(document)).items() >= document.items()
    else:
        with pytest.raises(ValueError, match=r"switch|must be"):
            Switches.from_document(document)


async def test_a_push_whose_client_breaks_is_repeated_and_no_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "image_manager")
    broker = new_broker(tmp_path, push_endpoint="http://127.0.0.1:9/push")
    delivery = push.PushDelivery(broker, lambda _audience, _email: "token")
    posted: list[str] = []

    async def post(url: str, **_: Any) -> Any:
        posted.append(url)
        if len(posted) == 1:
            # As when the connection vanishes while it is made.
            raise AttributeError("NoneType")
        return SimpleNamespace(status_code=204)

    monkeypatch.setattr(delivery._client, "post", post)
    broker.publish(TOPIC, b"message", {})
    async with asyncio.timeout(10):
        while len(posted) < 2:
            await asyncio.sleep(0.005)
    await delivery.close()
    broker.close()
    assert "push_failed" in caplog.text
    assert "unexpected_error" not in caplog.text
