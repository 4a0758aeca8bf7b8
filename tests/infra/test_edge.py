"""The load balancer: what its rules skip, and what changes when delivery comes to it."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from scripts.infra.terraform_checks import TERRAFORM, planned_actions

from image_api.app import ROUTERS
from image_api.openapi.document import install

POLICY = TERRAFORM / "modules" / "edge" / "security_policy.tf"
SCANNED = {"application/json", "application/merge-patch+json"}
"""Types of bodies that hold words and numbers. All others are pictures, or lines of addresses."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    app = FastAPI()
    install(app, ROUTERS, "session", None)
    return app.openapi()


def names_in(schema: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    """The names of all members of what a schema describes, however deep."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    yield from schema.get("properties", {})
    parts = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    for part in parts + [each for kind in ("anyOf", "allOf", "oneOf") for each in schema.get(kind, [])]:
        if isinstance(part, dict):
            yield from names_in(part, document)


def may_look_like_an_attack(body: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether a body holds bytes or addresses."""
    return any(
        kind not in SCANNED or any(re.search(r"(^|_)urls?$", name) for name in names_in(content["schema"], document))
        for kind, content in body["content"].items()
    )


def skipped() -> tuple[str, re.Pattern[str]]:
    """The method and the paths whose requests meet no rule on attacks."""
    found = re.search(r"request\.method == '(\w+)' && request\.path\.matches\('([^']+)'\)", POLICY.read_text())
    assert found is not None
    return found[1], re.compile(found[2])


def test_bodies_with_pictures_or_addresses_are_not_scanned_and_all_others_are(document: dict[str, Any]) -> None:
    method, paths = skipped()
    bodies = {
        (name.upper(), path): may_look_like_an_attack(operation["requestBody"], document)
        for path, operations in document["paths"].items()
        for name, operation in operations.items()
        if "requestBody" in operation
    }
    assert len(bodies) > 20
    wrong = {
        operation: may
        for operation, may in bodies.items()
        if may != (operation[0] == method and paths.search(operation[1]) is not None)
    }
    assert wrong == {}


def test_no_path_is_skipped_that_nothing_answers(document: dict[str, Any]) -> None:
    _, paths = skipped()
    names = re.fullmatch(r"\^/api/v1/\((.+)\)\$", paths.pattern)
    assert names is not None
    assert {f"/api/v1/{name}" for name in names[1].split("|")} <= document["paths"].keys()


@pytest.mark.infra
def test_adding_delivery_creates_its_resources_and_replaces_none() -> None:
    actions = planned_actions("modules/edge", "added_delivery.tftest.hcl")
    assert actions["google_compute_global_forwarding_rule.https"] == ["no-op"]
    assert ["create"] in actions.values()
    changed = {address: done for address, done in actions.items() if done not in (["no-op"], ["create"])}
    assert changed == {"google_compute_url_map.https": ["update"]}
