import hashlib
import itertools
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1, storage  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.jwk import KeySet

from .emulator_process import Emulators, Receiver, eventually, running_emulators

PROJECT = "image-manager-local"
TOPIC = f"projects/{PROJECT}/topics/image-uploads"
RENDITIONS = f"projects/{PROJECT}/topics/image-renditions"


@pytest.fixture(scope="module")
def shared_receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_emulators(tmp_path_factory: pytest.TempPathFactory, shared_receiver: Receiver) -> Iterator[Emulators]:
    data_dir = tmp_path_factory.mktemp("emulators")
    with running_emulators(data_dir, shared_receiver.url, PUSH_AUDIENCE="https://processor") as running:
        yield running


@pytest.fixture
def receiver(shared_receiver: Receiver) -> Receiver:
    shared_receiver.reset()
    return shared_receiver


@pytest.fixture
def emulators(shared_emulators: Emulators) -> Emulators:
    if shared_emulators.process.poll() is not None:
        shared_emulators.start()
    shared_emulators.switches()
    eventually(lambda: shared_emulators.backlog() == 0)
    return shared_emulators


@pytest.fixture
def publisher(emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulators.pubsub_host)
    return pubsub_v1.PublisherClient()


def storage_client(emulators: Emulators) -> Any:
    return storage.Client(
        PROJECT, cast("Any", AnonymousCredentials)(), client_options=ClientOptions(api_endpoint=emulators.url)
    )


def test_an_upload_is_pushed_with_a_token_that_verifies(emulators: Emulators, receiver: Receiver) -> None:
    begun = time.monotonic()
    blob = storage_client(emulators).bucket(f"{PROJECT}-originals").blob("t/i")
    blob.upload_from_string(b"bytes", content_type="image/png")
    eventually(receiver.pushed)
    assert receiver.pushed()[0]["at"] - begun < 1.5
    request = receiver.pushed()[0]
    envelope = request["body"]
    assert envelope["subscription"] == f"projects/{PROJECT}/subscriptions/image-uploads-push"
    assert envelope["deliveryAttempt"] == 1
    message = envelope["message"]
    assert message["messageId"] == message["message_id"]
    assert message["publishTime"] == message["publish_time"]
    assert message["attributes"]["eventType"] == "OBJECT_FINALIZE"
    assert message["attributes"]["objectGeneration"] == str(blob.generation)
    scheme, token = request["headers"]["authorization"].split()
    keys = KeySet.import_key_set(httpx2.get(f"{emulators.url}/certs").json())
    claims = jwt.decode(token, keys).claims
    assert scheme == "Bearer"
    assert (claims["iss"], claims["aud"]) == ("https://accounts.google.com", "https://processor")
    assert claims["email"] == "pubsub-push@image-manager-local.iam.gserviceaccount.com"
    assert claims["email_verified"] is True
    assert claims["exp"] - claims["iat"] == 3600
    eventually(lambda: emulators.backlog() == 0)


def test_publishing_keeps_attributes_and_ordering_key(publisher: Any, receiver: Receiver) -> None:
    publisher.publish(TOPIC, b"data", googclient_traceparent="00-trace", a="b").result(5)
    eventually(receiver.pushed)
    message = receiver.pushed()[0]["body"]["message"]
    assert message["attributes"] == {"googclient_traceparent": "00-trace", "a": "b"}
    assert receiver.data() == ["data"]


def test_refused_messages_come_again_later_and_later(publisher: Any, receiver: Receiver) -> None:
    receiver.status = lambda envelope: 204 if envelope["deliveryAttempt"] == 4 else 503
    publisher.publish(TOPIC, b"x").result(5)
    eventually(lambda: len(receiver.pushed()) == 4)
    assert [item["body"]["deliveryAttempt"] for item in receiver.pushed()] == [1, 2, 3, 4]
    times = [item["at"] for item in receiver.pushed()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[0] >= 0.1
    assert gaps[1] >= 0.2
    assert gaps[2] >= 0.4


def test_a_poison_message_becomes_a_dead_letter_and_harms_no_other(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.status = lambda envelope: 500 if envelope["message"]["attributes"].get("poison") else 204
    settings = {"EMULATORS_PUSH_MAX_ATTEMPTS": "5", "EMULATORS_PUSH_RENDITIONS_MAX_ATTEMPTS": "7"}
    with running_emulators(tmp_path / "emulators", receiver.url, **settings) as emulators:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulators.pubsub_host)
        publisher = pubsub_v1.PublisherClient()
        publisher.publish(TOPIC, b"bad", poison="yes").result(5)
        for number in range(20):
            publisher.publish(TOPIC, str(number).encode()).result(5)
        eventually(lambda: emulators.backlog("image-dead-letters-pull") == 1)
        assert sorted(receiver.data()) == sorted(["bad"] * 5 + [str(number) for number in range(20)])
        publisher.publish(RENDITIONS, b"patient", poison="yes").result(5)
        eventually(lambda: emulators.backlog("image-dead-letters-pull") == 2)
        assert [each["path"] for each in receiver.requests].count("/push/renditions") == 7
        with pubsub_v1.SubscriberClient() as subscriber:
            name = f"projects/{PROJECT}/subscriptions/image-dead-letters-pull"
            letter, _ = subscriber.pull(subscription=name, max_messages=5).received_messages
        assert letter.message.data == b"bad"
        assert letter.message.attributes["poison"] == "yes"
        assert letter.message.attributes["CloudPubSubDeadLetterSourceSubscription"] == "image-uploads-push"
        assert letter.message.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
        assert emulators.backlog() == 0


def test_deliveries_under_way_are_bounded(publisher: Any, receiver: Receiver) -> None:
    def slow(_envelope: Any) -> int:
        time.sleep(0.05)
        return 200

    receiver.status = slow
    for number in range(40):
        publisher.publish(TOPIC, str(number).encode())
    eventually(lambda: len(receiver.pushed()) == 40)
    assert 2 <= receiver.most_under_way <= 8


def test_switches_deliver_twice_at_once_late_and_out_of_order(
    emulators: Emulators, publisher: Any, receiver: Receiver
) -> None:
    emulators.switches(copies=2)
    publisher.publish(TOPIC, b"twice").result(5)
    eventually(lambda: receiver.data() == ["twice", "twice"])
    receiver.status = lambda _envelope: time.sleep(0.2) or 204  # type: ignore[func-returns-value]
    receiver.requests.clear()
    emulators.switches(copies=5, simultaneous=True)
    publisher.publish(TOPIC, b"five").result(5)
    eventually(lambda: len(receiver.data()) == 5)
    assert receiver.most_under_way == 5
    receiver.status = lambda _envelope: 204
    receiver.requests.clear()
    emulators.switches(paused=True, out_of_order=True)
    for number in range(30):
        publisher.publish(TOPIC, str(number).encode()).result(5)
    assert receiver.data() == []
    emulators.switches(out_of_order=True)
    eventually(lambda: len(receiver.data()) == 30)
    assert receiver.data() != [str(number) for number in range(30)]
    receiver.requests.clear()
    emulators.switches(delay_seconds=0.5)
    published_at = time.monotonic()
    publisher.publish(TOPIC, b"late").result(5)
    eventually(receiver.pushed)
    assert receiver.pushed()[0]["at"] - published_at >= 0.5
    url = f"{emulators.url}/_local/subscriptions/image-uploads-push/switches"
    assert httpx2.put(url, json={"copes": 2}).status_code == 400
    assert httpx2.put(url, json={"copies": "2"}).status_code == 400
    assert httpx2.put(url.replace("-push", "-pull"), json={}).status_code == 404


def test_the_scheduler_calls_with_its_own_account(tmp_path: Path, receiver: Receiver) -> None:
    with running_emulators(
        tmp_path / "e", receiver.url, EMULATORS_SWEEP_SECONDS="0.2", TASKS_AUDIENCE="https://tasks"
    ) as emulators:
        eventually(lambda: len(receiver.requests) >= 2)
        request = receiver.requests[0]
        assert request["path"] == "/tasks/sweep"
        keys = KeySet.import_key_set(httpx2.get(f"{emulators.url}/certs").json())
        claims = jwt.decode(request["headers"]["authorization"].split()[1], keys).claims
        assert claims["aud"] == "https://tasks"
        assert claims["email"] == "scheduler@image-manager-local.iam.gserviceaccount.com"
        assert httpx2.post(f"{emulators.url}/_local/sweep").json() == {"status": 204}


def test_nothing_is_lost_when_the_process_is_killed(emulators: Emulators, publisher: Any, receiver: Receiver) -> None:
    files_before = len(list((emulators.data_dir / "objects" / "blobs").iterdir()))
    receiver.status = lambda _envelope: 503
    publisher.publish(TOPIC, b"kept").result(5)
    bucket = storage_client(emulators).bucket(f"{PROJECT}-originals")
    data = hashlib.shake_128(b"x").digest(700_000)
    blob = bucket.blob("killed/kept")
    blob.upload_from_string(data)
    session = bucket.blob("killed/resumed").create_resumable_upload_session(size=len(data))
    httpx2.put(session, content=data[:524_288], headers={"Content-Range": f"bytes 0-524287/{len(data)}"})
    half = socket.create_connection(("127.0.0.1", emulators.http_port))
    path = f"/upload/storage/v1/b/{PROJECT}-originals/o?uploadType=media&name=killed/half"
    half.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n".encode() + b"x" * 2_500_000)
    time.sleep(0.2)
    emulators.stop(signal.SIGKILL)
    half.close()
    keys = key_bytes(emulators.data_dir)
    receiver.status = lambda _envelope: 204
    receiver.requests.clear()
    emulators.start()
    assert key_bytes(emulators.data_dir) == keys
    assert [item.name for item in bucket.list_blobs(prefix="killed/", versions=True)] == ["killed/kept"]
    assert bucket.blob("killed/kept").download_as_bytes() == data
    rest = httpx2.put(session, content=data[524_288:], headers={"Content-Range": f"bytes 524288-699999/{len(data)}"})
    assert rest.json()["size"] == "700000"
    assert int(rest.json()["generation"]) > blob.generation
    assert bucket.blob("killed/resumed").download_as_bytes() == data
    eventually(lambda: len(receiver.pushed()) >= 3)
    assert "kept" in receiver.data()
    objects = {item["body"]["message"]["attributes"].get("objectId") for item in receiver.pushed()}
    assert objects == {None, "killed/kept", "killed/resumed"}
    assert len(list((emulators.data_dir / "objects" / "blobs").iterdir())) == files_before + 2


def key_bytes(data_dir: Path) -> bytes:
    key_file = data_dir / "service-account.json"
    assert key_file.stat().st_mode & 0o777 == 0o600
    return key_file.read_bytes()


def test_sigterm_ends_it_within_seconds_even_with_open_requests(emulators: Emulators) -> None:
    hanging = socket.create_connection(("127.0.0.1", emulators.http_port))
    path = f"/upload/storage/v1/b/{PROJECT}-originals/o?uploadType=media&name=half"
    hanging.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\nxx".encode())
    begun = time.monotonic()
    assert emulators.stop() == 0
    assert time.monotonic() - begun < 5
    hanging.close()


def test_a_taken_port_is_named(tmp_path: Path, emulators: Emulators) -> None:
    import subprocess
    import sys

    environment = {**os.environ, "EMULATORS_DATA_DIR": str(tmp_path / "other")}
    environment["EMULATORS_PUBSUB_PORT"] = str(emulators.pubsub_port)
    done = subprocess.run(
        [sys.executable, "-m", "local_cloud.emulators"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert f"Port {emulators.pubsub_port} on 127.0.0.1 is in use" in done.stderr
