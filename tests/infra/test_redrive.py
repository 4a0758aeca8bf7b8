"""Dead letters in the emulator: shown without being lost, sent again with what they said, and never gone in between."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core.exceptions import ServiceUnavailable
from scripts.infra import redrive
from scripts.infra.project import ROOT

PROJECT = "image-manager-test"
DEAD_LETTERS = f"projects/{PROJECT}/topics/image-dead-letters"


@pytest.fixture
def letters(emulators: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[redrive.Letters]:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulators.pubsub_host)
    opened = redrive.open_letters(PROJECT)
    # Whatever other tests of this worker left there.
    while left := opened.take(1000):
        ack_ids = [each.ack_id for each in left]
        opened.subscriber.acknowledge(request={"subscription": opened.subscription, "ack_ids": ack_ids})
    yield opened
    opened.publisher.transport.close()
    opened.subscriber.transport.close()


@pytest.fixture
def sent_again(letters: redrive.Letters, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A subscription to what is sent again, to a topic whose messages do not become dead letters at once."""
    monkeypatch.setattr(redrive, "TOPICS", dict.fromkeys(redrive.TOPICS, "image-events"))
    name = f"projects/{PROJECT}/subscriptions/sent-again"
    letters.subscriber.create_subscription(request={"name": name, "topic": f"projects/{PROJECT}/topics/image-events"})
    yield name
    letters.subscriber.delete_subscription(request={"subscription": name})


def bury(letters: redrive.Letters, *names: str, source: str = "image-uploads-push") -> None:
    added = redrive.ADDED_BY_PUBSUB
    for name in names:
        attributes = {
            "objectId": name, "objectGeneration": "7", f"{added}DeliveryCount": "10", f"{added}Subscription": source
        }  # fmt: skip
        message = {"data": name.encode(), "attributes": attributes}
        letters.publisher.publish(request={"topic": DEAD_LETTERS, "messages": [message]})


def test_a_look_leaves_every_letter_where_it_is(letters: redrive.Letters, capsys: pytest.CaptureFixture[str]) -> None:
    bury(letters, "originals/a", "originals/b")
    for _ in range(2):
        assert redrive.main([PROJECT]) == 0
        shown = capsys.readouterr().out
        assert "originals/a  generation 7  tried 10 times" in shown
        assert "2 there." in shown


def test_letters_are_sent_again_as_they_were(letters: redrive.Letters, sent_again: str) -> None:
    bury(letters, "originals/a")
    assert redrive.main([PROJECT, "--send"]) == 0
    pulled = letters.subscriber.pull(request={"subscription": sent_again, "max_messages": 10}).received_messages
    assert [each.message.data for each in pulled] == [b"originals/a"]
    assert dict(pulled[0].message.attributes) == {"objectId": "originals/a", "objectGeneration": "7"}
    assert letters.take(10) == []


def test_each_letter_goes_to_the_topic_that_it_came_from(
    letters: redrive.Letters, sent_again: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(redrive, "TOPICS", {**redrive.TOPICS, "image-analyses-push": "image-events"})
    analysis = b'{"data": {"analysis_id": "0199c0de-0000-7000-8000-000000000009"}}'
    source = {f"{redrive.ADDED_BY_PUBSUB}Subscription": f"projects/{PROJECT}/subscriptions/image-analyses-push"}
    message = {"data": analysis, "attributes": source}
    letters.publisher.publish(request={"topic": DEAD_LETTERS, "messages": [message]})
    assert redrive.main([PROJECT, "--send"]) == 0
    assert "analysis 0199c0de-0000-7000-8000-000000000009" in capsys.readouterr().out
    pulled = letters.subscriber.pull(request={"subscription": sent_again, "max_messages": 10}).received_messages
    assert [each.message.data for each in pulled] == [analysis]


def test_letter_from_nowhere_known_stays(
    letters: redrive.Letters, sent_again: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bury(letters, "originals/a", source="somebody-elses-push")
    assert redrive.main([PROJECT, "--send"]) == 0
    assert "0 sent again." in capsys.readouterr().out
    assert len(letters.take(10)) == 1


def test_no_more_than_asked_for(letters: redrive.Letters, sent_again: str) -> None:
    bury(letters, "originals/a", "originals/b", "originals/c")
    assert redrive.redrive(letters, 2, send=True) == 2
    assert len(letters.take(10)) == 1


def test_letter_that_could_not_be_sent_is_still_there(
    letters: redrive.Letters, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bury(letters, "originals/a")
    monkeypatch.setattr(redrive, "TOPICS", {"image-uploads-push": "nowhere"})
    assert redrive.main([PROJECT, "--send"]) == 1
    assert "still lies there" in capsys.readouterr().out
    assert len(letters.take(10)) == 1


def test_letter_is_acknowledged_only_after_it_was_sent(
    letters: redrive.Letters, sent_again: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury(letters, "originals/a")

    def lost(*_: Any, **__: Any) -> None:
        raise ServiceUnavailable("the answer was lost")  # type: ignore[no-untyped-call]

    with monkeypatch.context() as patched:
        patched.setattr(type(letters.subscriber), "acknowledge", lost)
        with pytest.raises(ServiceUnavailable):
            redrive.redrive(letters, 10, send=True)
    assert letters.subscriber.pull(request={"subscription": sent_again, "max_messages": 10}).received_messages
    assert len(letters.take(10)) == 1


def test_names_are_those_of_terraform() -> None:
    module = ROOT / "terraform" / "modules" / "events"
    text = "".join(path.read_text() for path in module.glob("*.tf"))
    assert f'name    = "{redrive.SUBSCRIPTION}"' in text
    routes = re.findall(r'(\w+) += "/push/', text)
    topics = dict(re.findall(r'(\w+) += "(image-[a-z-]+)"', text))
    assert {f"{topics[key]}-push": topics[key] for key in routes} == redrive.TOPICS
