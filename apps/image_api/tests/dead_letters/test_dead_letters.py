"""What no attempt could deliver: stored once, shown to admins, published again or discarded."""

import asyncio
import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import grpc
import httpx2
import orjson
import pytest
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from sqlalchemy import func, select, update

from image_api.dead_letters import messages
from image_core import errors, testing
from image_core.images.object_names import original_name
from image_core.intake.envelope import PushMessage
from image_core.models import audit_event, dead_letter
from image_core.testing import UserWithKey

from ..conftest import Api
from ..console.catalogue import call
from ..housekeeping import PUSH_EMAIL, SCHEDULER_EMAIL, Tasks

PATH = "/admin/dead-letters"
TEAM, IMAGE = UUID(int=1), UUID(int=2)
OBJECT = {"bucketId": "originals", "objectId": original_name(TEAM, IMAGE), "objectGeneration": "7"}
MORNING = datetime(2026, 3, 1, 8, tzinfo=UTC)


def given_up(
    data: bytes = b"{}", attributes: dict[str, str] | None = None, source: str = "image-uploads-push",
    published_at: datetime = MORNING,
) -> dict[str, Any]:  # fmt: skip
    """An envelope as Pub/Sub pushes it from the dead-letter topic."""
    added = {
        "DeliveryCount": "10", "Subscription": source, "SubscriptionProject": "p",
        "TopicPublishTime": published_at.isoformat(),
    }  # fmt: skip
    told = {f"{messages.ADDED_BY_PUBSUB}{name}": value for name, value in added.items()}
    message = {"data": base64.b64encode(data).decode(), "attributes": (attributes or OBJECT) | told, "messageId": "1"}
    return {"message": message, "subscription": "projects/p/subscriptions/image-dead-letters-push"}


async def push(tasks: Tasks, envelope: dict[str, Any], **claims: Any) -> httpx2.Response:
    headers = tasks.headers(**{"email": PUSH_EMAIL} | claims)
    return await tasks.client.post("/push/dead-letters", json=envelope, headers=headers)


async def stored(api: Api, **query: str) -> list[dict[str, Any]]:
    answer = await api.client.get(f"/api/v1{PATH}", headers=api.admin.headers, params=query)
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_only_the_push_account_may_bring_one(api: Api, tasks: Tasks) -> None:
    assert (await push(tasks, given_up(), email=SCHEDULER_EMAIL)).status_code == 401
    assert (await tasks.client.post("/push/dead-letters", json=given_up())).status_code == 401
    assert await stored(api) == []
    assert (await push(tasks, {"message": 5})).status_code == 400


async def test_one_becomes_a_row_however_often_it_is_forwarded(api: Api, tasks: Tasks) -> None:
    for _ in range(3):
        assert (await push(tasks, given_up(b'{"a": 1}'))).status_code == 204
    (letter,) = await stored(api)
    assert letter["work_key"] == f"originals/{original_name(TEAM, IMAGE)}#7"
    assert (letter["team_id"], letter["image_id"]) == (str(TEAM), str(IMAGE))
    assert (letter["status"], letter["arrivals"], letter["attempts"]) == ("open", 1, 10)
    assert (letter["topic"], letter["is_redrivable"], letter["preview"]) == ("image-uploads", True, '{"a": 1}')
    assert letter["attributes"] == OBJECT
    # Other work, and the same of another subscription.
    await push(tasks, given_up(attributes=OBJECT | {"objectGeneration": "8"}))
    await push(tasks, given_up(source="image-renditions-push"))
    assert len(await stored(api)) == 3


async def test_a_later_failure_of_the_same_work_opens_the_row_again(api: Api, tasks: Tasks) -> None:
    await push(tasks, given_up(b"first"))
    (letter,) = await stored(api)
    await call(api, api.admin, "POST", f"{PATH}/{letter['id']}/discard")
    # The same one, forwarded late, and one that was published before it.
    await push(tasks, given_up(b"first"))
    await push(tasks, given_up(b"older", published_at=MORNING - timedelta(minutes=1)))
    assert await stored(api, status="open") == []
    await push(tasks, given_up(b"second", published_at=MORNING + timedelta(minutes=1)))
    (again,) = await stored(api, status="open")
    assert (again["id"], again["arrivals"], again["preview"], again["handled_at"]) == (letter["id"], 2, "second", None)


@pytest.mark.parametrize(
    "message",
    [
        {"data": base64.b64encode(b"\x00" * 70_000).decode()},
        {"data": base64.b64encode(b"[]").decode(), "attributes": {"objectId": "a\x00b", "a\x00": "\x00"}},
        {"data": "no base64", "attributes": {"objectId": "a" * 5000, "objectGeneration": "x"}},
        {"attributes": {"event_id": "x", f"{messages.ADDED_BY_PUBSUB}Subscription": "\n", "key": "v" * 70_000}},
        {
            "attributes": {
                f"{messages.ADDED_BY_PUBSUB}{name}": "9" * 40 for name in ("DeliveryCount", "TopicPublishTime")
            }
        },
    ],
    ids=["too large", "zeros", "a long name", "large attributes", "impossible numbers"],
)
async def test_whatever_a_message_holds_it_can_be_stored(api: Api, tasks: Tasks, message: dict[str, Any]) -> None:
    for _ in range(2):
        assert (await push(tasks, {"message": message})).status_code == 204
    (letter,) = await stored(api)
    if not letter["is_redrivable"]:
        answer = await api.client.post(f"/api/v1{PATH}/{letter['id']}/redrive", headers=api.admin.headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "dead-letter-not-redrivable")
    await call(api, api.admin, "POST", f"{PATH}/{letter['id']}/discard")


def test_one_without_an_object_is_known_by_its_event_else_by_what_it_says() -> None:
    body = orjson.dumps({"team_id": str(TEAM), "image_id": str(IMAGE), "data": {}})
    by_event = messages.read(PushMessage(data=base64.b64encode(body).decode(), attributes={"event_id": "e-1"}))
    assert (by_event["work_key"], by_event["team_id"], by_event["image_id"]) == ("event e-1", TEAM, IMAGE)
    assert by_event["subscription"] == messages.UNKNOWN_SUBSCRIPTION
    keys = {
        messages.read(PushMessage(data=data, attributes={"a": a}))["work_key"]
        for data in ("eA==", "eQ==")
        for a in "bc"
    }
    assert len(keys) == 4


@pytest.fixture
def broker(emulators: Any) -> Iterator[tuple[PublisherClient, SubscriberClient]]:
    with grpc.insecure_channel(emulators.pubsub_host) as channel:
        yield (
            PublisherClient(transport=PublisherGrpcTransport(channel=channel)),
            SubscriberClient(transport=SubscriberGrpcTransport(channel=channel)),
        )


async def pull_until(subscriber: SubscriberClient, subscription: str, data: bytes) -> Any:
    """The message with these bytes."""
    async with asyncio.timeout(20):
        while True:
            request = {"subscription": subscription, "max_messages": 1000, "return_immediately": True}
            pulled = (await asyncio.to_thread(subscriber.pull, request=request)).received_messages
            if pulled:
                ack_ids = [each.ack_id for each in pulled]
                subscriber.acknowledge(request={"subscription": subscription, "ack_ids": ack_ids})
            for each in pulled:
                if each.message.data == data:
                    return each.message
            await asyncio.sleep(0.05)


async def test_what_the_broker_gives_up_ends_as_a_row_and_is_published_again_as_it_was(
    api: Api, tasks: Tasks, broker: tuple[PublisherClient, SubscriberClient], emulators: Any
) -> None:
    publisher, subscriber = broker
    project = f"projects/{emulators.environment['GOOGLE_CLOUD_PROJECT']}"
    data = orjson.dumps({"bucket": "originals", "name": OBJECT["objectId"], "generation": "7"})
    sent = {"data": data, "attributes": OBJECT | {"event_id": "e-1"}}
    # Nobody answers where the broker pushes to, and one attempt is all.
    publisher.publish(request={"topic": f"{project}/topics/image-uploads", "messages": [sent]})
    dead = await pull_until(subscriber, f"{project}/subscriptions/image-dead-letters-pull", data)
    message = {"data": base64.b64encode(dead.data).decode(), "attributes": dict(dead.attributes)}
    assert (await push(tasks, {"message": message})).status_code == 204
    (letter,) = await stored(api)
    assert (letter["attempts"], letter["subscription"]) == (1, "image-uploads-push")

    watching = f"{project}/subscriptions/watching"
    subscriber.create_subscription(request={"name": watching, "topic": f"{project}/topics/image-uploads"})
    try:
        # Repeating it does no harm.
        for _ in range(2):
            redriven = await call(api, api.admin, "POST", f"{PATH}/{letter['id']}/redrive")
            assert redriven["status"] == "redriven"
            again = await pull_until(subscriber, watching, data)
            assert dict(again.attributes) == sent["attributes"]
    finally:
        subscriber.delete_subscription(request={"subscription": watching})
    assert await stored(api, status="open") == []
    found = await api.rows.fetch(select(audit_event.c.action).where(audit_event.c.target_id == UUID(letter["id"])))
    assert [row["action"] for row in found] == ["dead_letter.redriven"] * 2


async def test_one_that_could_not_be_published_or_failed_again_stays_open(
    api: Api, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    await push(tasks, given_up())
    (letter,) = await stored(api)
    path = f"/api/v1{PATH}/{letter['id']}/redrive"

    async def away(*_: Any, **__: Any) -> None:
        raise errors.MessagingUnavailable("Pub/Sub does not respond.") from OSError()

    async def fails_at_once(*_: Any, **__: Any) -> None:
        await push(tasks, given_up(published_at=datetime.now(UTC)))

    for publish, status in ((away, 503), (fails_at_once, 200)):
        monkeypatch.setattr(api.services.publisher, "publish", publish)
        answer = await api.client.post(path, headers=api.admin.headers)
        assert answer.status_code == status
        assert [each["id"] for each in await stored(api, status="open")] == [letter["id"]]


async def test_discarding_is_recorded_once(api: Api, tasks: Tasks) -> None:
    letter_id = await testing.add_dead_letter(api.rows, None)
    for _ in range(2):
        assert (await call(api, api.admin, "POST", f"{PATH}/{letter_id}/discard"))["status"] == "discarded"
    count = select(func.count()).where(audit_event.c.target_id == letter_id)
    assert await api.rows.fetch_value(count.select_from(audit_event)) == 1


async def test_pages_hold_each_once_newest_first(api: Api) -> None:
    made = [str(await testing.add_dead_letter(api.rows, None)) for _ in range(3)]
    first = await call(api, api.admin, "GET", f"{PATH}?limit=2")
    second = await call(api, api.admin, "GET", f"{PATH}?limit=2&cursor={first['next_cursor']}")
    assert [each["id"] for each in first["items"] + second["items"]] == made[::-1]


async def test_nobody_but_admins_sees_any(api: Api, member: UserWithKey) -> None:
    letter_id = await testing.add_dead_letter(api.rows, member.team_id)
    for method, path in (("GET", ""), ("POST", f"/{letter_id}/redrive"), ("POST", f"/{letter_id}/discard")):
        answer = await api.client.request(method, f"/api/v1{PATH}{path}", headers=member.headers)
        assert answer.status_code == 403


async def test_the_sweep_reports_open_ones_and_removes_handled_ones_after_a_month(tasks: Tasks) -> None:
    kept, old = [await testing.add_dead_letter(tasks.rows, None) for _ in range(2)]
    assert (await tasks.sweep())["dead_letters_open"] == 2
    for letter_id, days in ((kept, 30), (old, 32)):
        handled = {"status": "discarded", "handled_at": func.now() - timedelta(days=days)}
        await tasks.rows.execute(update(dead_letter).where(dead_letter.c.id == letter_id).values(handled))
    counts = await tasks.sweep()
    assert (counts["dead_letters_open"], counts["old_dead_letters"]) == (0, 1)
    assert [row["id"] for row in await tasks.rows.fetch(select(dead_letter.c.id))] == [kept]
