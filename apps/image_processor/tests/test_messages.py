import base64
import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from image_core.delivery.rendition_requests import rendition_request
from image_core.events import process_request
from image_core.intake.envelope import PushEnvelope, PushMessage
from image_processor.messages import (
    MalformedMessage,
    object_finalized,
    rendition_requested,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def message(data: Any = None, **attributes: str) -> PushMessage:
    text = "" if data is None else base64.b64encode(json.dumps(data).encode()).decode()
    return PushMessage(data=text, attributes=attributes)


@given(json_values)
def test_no_envelope_breaks_the_parser(body: Any) -> None:
    try:
        envelope = PushEnvelope.model_validate(body)
        object_finalized(envelope.message)
    except (ValidationError, MalformedMessage):
        return


@given(
    st.text(), st.dictionaries(st.sampled_from(["eventType", "bucketId", "objectId", "objectGeneration"]), st.text())
)
def test_a_message_is_understood_whole_or_refused(data: str, attributes: dict[str, str]) -> None:
    try:
        found = object_finalized(PushMessage(data=data, attributes=attributes))
    except MalformedMessage:
        return
    if found is not None:
        assert 0 < found.generation < 2**63
        assert found.name
        assert "\x00" not in found.bucket + found.name
        (found.bucket + found.name).encode()


@given(json_values)
def test_a_payload_of_any_json_is_understood_whole_or_refused(data: Any) -> None:
    try:
        found = object_finalized(message(data))
    except MalformedMessage:
        return
    assert found is not None
    assert data["name"] == found.name


def test_attributes_and_payload_say_the_same() -> None:
    body = {"bucket": "b", "name": "n", "generation": "7"}
    told = {"eventType": "OBJECT_FINALIZE", "bucketId": "b", "objectId": "n", "objectGeneration": "7"}
    assert object_finalized(message(body)) == object_finalized(message(None, **told))


@pytest.mark.parametrize("event_type", ["OBJECT_DELETE", "OBJECT_ARCHIVE", "OBJECT_METADATA_UPDATE", "something"])
def test_events_of_other_kinds_are_nothing_to_us(event_type: str) -> None:
    assert object_finalized(message(None, eventType=event_type)) is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        5,
        {"bucket": "b", "name": "n"},
        {"bucket": "b", "name": "n", "generation": "0"},
        {"bucket": "b", "name": "n", "generation": "-1"},
        {"bucket": "b", "name": "n", "generation": str(2**63)},
        {"bucket": "b", "name": "n", "generation": "x"},
        {"bucket": "b", "name": "n\x00", "generation": "1"},
        {"bucket": "b", "name": "\ud800", "generation": "1"},
        {"bucket": "b", "name": "n" * 1025, "generation": "1"},
        {"bucket": "", "name": "n", "generation": "1"},
        {"bucket": 5, "name": "n", "generation": "1"},
    ],
)
def test_what_storage_would_never_send_is_malformed(body: Any) -> None:
    with pytest.raises(MalformedMessage):
        object_finalized(message(body))


def test_ids_are_read_from_our_names_only() -> None:
    team_id, image_id = uuid4(), uuid4()

    def ids(name: str) -> tuple[object, object]:
        found = object_finalized(message({"bucket": "b", "name": name, "generation": "1"}))
        assert found is not None
        return found.team_id, found.image_id

    assert ids(f"originals/{team_id}/{image_id}") == (team_id, image_id)
    for other in (
        f"originals/{team_id}/{image_id}/",
        f"originals/{team_id}/{image_id.hex}",
        f"originals/{team_id}/{str(image_id).upper()}",
        f"/originals/{team_id}/{image_id}",
        f"other/{team_id}/{image_id}",
        f"originals/{team_id}",
        "originals/",
        "x",
    ):
        assert ids(other) == (None, None)


def test_what_we_publish_ourselves_is_understood() -> None:
    team_id, image_id = uuid4(), uuid4()
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    name = f"originals/{team_id}/{image_id}"
    row = {"id": image_id, "team_id": team_id, "object_name": name, "generation": 7, "trace_parent": trace}
    event = process_request(row, "b")
    sent = event.message()
    found = object_finalized(PushMessage(data=base64.b64encode(sent.data).decode(), attributes=sent.attributes))
    assert found == ("b", name, 7, team_id, image_id, trace)


def rendition_message(**changes: Any) -> PushMessage:
    body: dict[str, Any] = {"image_id": str(uuid4()), "team_id": str(uuid4())}
    data = {"generation": "7", "spec": "card", "format": "avif"}
    return message(body | {"data": data | changes.pop("data", {})} | changes)


def test_a_rendition_that_we_ask_for_is_understood() -> None:
    image_id, team_id, trace = uuid4(), uuid4(), f"00-{'a' * 32}-{'b' * 16}-01"
    sent = rendition_request(image_id, team_id, 2**62, "card", "avif", trace).message()
    found = rendition_requested(PushMessage(data=base64.b64encode(sent.data).decode(), attributes=sent.attributes))
    assert found == (image_id, team_id, 2**62, "card", "avif", trace)
    assert rendition_requested(rendition_message(data={"spec": "full", "format": "png"})).spec == "full"
    assert rendition_requested(rendition_message(data={"spec": "source", "format": "webp"})).spec == "source"


@pytest.mark.parametrize(
    "changes",
    [
        {"image_id": "x"},
        {"image_id": None},
        {"team_id": 7},
        {"data": {"generation": 7}},
        {"data": {"generation": "0"}},
        {"data": {"generation": " 7"}},
        {"data": {"generation": str(2**63)}},
        {"data": {"spec": "original"}},
        {"data": {"spec": "public"}},
        {"data": {"spec": "source", "format": "avif"}},
        {"data": {"spec": "t-w64"}},
        {"data": {"spec": "Card"}},
        {"data": {"spec": "card@7d1e"}},
        {"data": {"spec": "c" * 33}},
        {"data": {"spec": None}},
        {"data": {"format": "gif"}},
        {"data": {"format": ["avif"]}},
        {"data": None},
    ],
    ids=repr,
)
def test_a_rendition_that_none_of_us_asks_for_is_malformed(changes: dict[str, Any]) -> None:
    broken = rendition_message(**changes) if changes.get("data", {}) is not None else message({"data": None})
    with pytest.raises(MalformedMessage):
        rendition_requested(broken)
