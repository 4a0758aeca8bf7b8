"""The AsyncAPI document: what it says of an event is what the table says."""

import pytest

from image_core.events import EventType
from image_core.feed import event_types
from image_core.feed.asyncapi import asyncapi_document, example
from image_core.feed.event_types import EVENT_TYPES

from ..conftest import Api


async def test_it_is_served_to_everybody_and_named_by_the_index(api: Api) -> None:
    path = (await api.client.get("/")).json()["asyncapi"]
    answer = await api.client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == asyncapi_document(api.app.title, api.app.version)
    assert "webhook.test" not in answer.json()["channels"]["events"]["messages"]


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_the_example_of_a_type_fits_its_schema(kind: EventType) -> None:
    event_types.validate(kind, example(kind)["data"])


@pytest.mark.parametrize("kind", EVENT_TYPES)
async def test_the_path_of_an_event_is_one_that_can_be_read(api: Api, kind: EventType) -> None:
    path = example(kind)["data"].get("path")
    if kind is EventType.PURGED:
        assert path is None
        return
    answer = await api.client.get(path, headers=api.admin.headers)
    # Nothing of the example exists, and an admin has no team; but each path leads to an operation that says so.
    code = answer.json()["code"]
    assert code.endswith("-not-found") or code == "team-required"
