"""The load balancer: what its rules skip, and what changes when delivery comes to it."""

import ast
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from scripts.infra.terraform_checks import TERRAFORM, planned_actions

from image_api.app import ROUTERS
from image_api.console.file_forms import FileFormDep
from image_api.console.forms import FormDep
from image_api.console.page_route import PageRoute, operations_of
from image_api.openapi.document import install
from image_api.openapi.operations import api_routes

POLICY = TERRAFORM / "modules" / "edge" / "security_policy.tf"
SCANNED = {"application/json", "application/merge-patch+json"}
"""Types of bodies that hold words and numbers. All others are pictures, or lines of addresses."""
NO_BODY: dict[str, Any] = {"content": {}}


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


def forms_with_pictures_or_addresses(document: dict[str, Any]) -> set[str]:
    """The paths of the console's forms that send what an operation takes whose body may look like an attack."""
    return {
        path
        for path, route in api_routes(ROUTERS)
        if isinstance(route, PageRoute) and "POST" in (route.methods or ())
        if {FormDep, FileFormDep} & set(inspect.get_annotations(route.endpoint).values())
        for method, _, operation in (each.partition(" ") for each in operations_of(route))
        if may_look_like_an_attack(document["paths"][operation][method.lower()].get("requestBody", NO_BODY), document)
    }


def skips(method: str, path: str) -> bool:
    """Whether a request meets no rule on attacks."""
    text = POLICY.read_text()
    (paths,) = re.findall(r'unscanned_paths = join\("\|", (\[.*?\])\)', text, re.DOTALL)
    (methods,) = re.findall(r"request\.method\.matches\('([^']+)'\)", text)
    found = re.fullmatch("|".join(ast.literal_eval(paths.strip())), path)
    return re.search(methods, method) is not None and found is not None


def test_bodies_with_pictures_or_addresses_are_not_scanned_and_all_others_are(document: dict[str, Any]) -> None:
    expected = {
        (name.upper(), path): may_look_like_an_attack(operation["requestBody"], document)
        for path, operations in document["paths"].items()
        for name, operation in operations.items()
        if "requestBody" in operation
    }
    forms = forms_with_pictures_or_addresses(document)
    expected |= {
        ("POST", path): path in forms
        for path, route in api_routes(ROUTERS)
        if isinstance(route, PageRoute) and "POST" in (route.methods or ())
    }
    assert len(expected) > 60
    assert {each: may for each, may in expected.items() if may != skips(*each)} == {}


def test_no_path_is_skipped_that_nothing_answers(document: dict[str, Any]) -> None:
    (listed,) = re.findall(r'unscanned_paths = join\("\|", \[(.*?)\]\)', POLICY.read_text(), re.DOTALL)
    named = [
        prefix + re.sub(r"\[\^/\]\+", "{webhook_id}", name)
        for prefix, names in re.findall(r'"(/[^"(]*)\(([^)]+)\)"', listed)
        for name in names.split("|")
    ]
    assert len(named) > 8
    assert set(named) <= {path for path, _ in api_routes(ROUTERS)}


@pytest.mark.infra
def test_adding_delivery_creates_its_resources_and_replaces_none() -> None:
    actions = planned_actions("modules/edge", "added_delivery.tftest.hcl")
    assert actions["google_compute_global_forwarding_rule.https"] == ["no-op"]
    assert ["create"] in actions.values()
    changed = {address: done for address, done in actions.items() if done not in (["no-op"], ["create"])}
    assert changed == {"google_compute_url_map.https": ["update"]}
