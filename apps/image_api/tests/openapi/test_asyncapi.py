"""The AsyncAPI document: what it says of an event is what the table says."""

from collections.abc import Iterator
from functools import reduce
from typing import Any

import pytest
from jsonschema import Draft7Validator
from referencing import Registry
from referencing.jsonschema import DRAFT7

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


def resolve(document: dict[str, Any], address: str) -> Any:
    """Return what a reference within the document names."""
    return reduce(lambda found, name: found[name], address.removeprefix("#/").split("/"), document)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from references(each)


def test_it_has_a_channel_for_each_way_with_the_types_that_take_it() -> None:
    document = asyncapi_document("title", "1")
    assert all(resolve(document, address) for address in references(document))
    channels = {name: set(channel["messages"]) for name, channel in document["channels"].items()}
    in_feed = {kind.value for kind, row in EVENT_TYPES.items() if row.in_feed}
    assert channels == {
        "events": in_feed, "feed": in_feed | {"end"},
        "webhooks": {kind.value for kind, row in EVENT_TYPES.items() if row.by_webhook},
    }  # fmt: skip
    for operation in document["operations"].values():
        sent = [resolve(document, each["$ref"]) for each in operation["messages"]]
        assert sent == list(resolve(document, operation["channel"]["$ref"])["messages"].values())


def test_every_example_fits_its_message() -> None:
    document = asyncapi_document("title", "1")
    registry = Registry().with_resource("urn:document", DRAFT7.create_resource(document))
    for name, message in document["components"]["messages"].items():
        schema = {"$ref": f"urn:document#/components/messages/{name}/payload"}
        validator = Draft7Validator(schema, registry=registry, format_checker=Draft7Validator.FORMAT_CHECKER)
        for shown in message["examples"]:
            validator.validate(shown["payload"])


async def test_the_stream_and_its_query_are_those_of_the_operation(api: Api) -> None:
    document, openapi = asyncapi_document("title", "1"), api.app.openapi()
    parameters = openapi["paths"][document["channels"]["feed"]["address"]]["get"]["parameters"]
    told = document["operations"]["streamEvents"]["bindings"]["http"]["query"]["properties"]
    assert set(told) <= {each["name"] for each in parameters if each["in"] == "query"}


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
