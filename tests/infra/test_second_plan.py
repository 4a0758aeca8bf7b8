"""A plan that follows an apply or a deploy shows no change: what the configuration says is what Google answers."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from scripts.infra.hcl_blocks import blocks_in
from scripts.infra.terraform_checks import TERRAFORM, applied_state, planned

EVERYTHING = "everything.tftest.hcl"
FILLED_IN: dict[str, list[str]] = yaml.safe_load(Path(__file__).with_name("filled_in_by_google.yaml").read_text())
# Arguments that take JSON which an API understands, and gives back without what is zero or empty.
JSON_ARGUMENT = re.compile(r"_json$|^policy_data$")
# Where an API answers with a project's number, whatever it was given.
PROJECTS_BY_NUMBER = {
    "google_billing_budget": ("budget_filter", "projects"),
    "google_access_context_manager_service_perimeter": ("status", "resources"),
    "google_access_context_manager_service_perimeter_resource": ("resource",),
}


def values_at(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """The values at a path through objects and lists, one for each way that it can be followed."""
    if isinstance(value, list):
        for each in value:
            yield from values_at(each, path)
    elif not path:
        yield value
    elif isinstance(value, dict):
        yield from values_at(value.get(path[0]), path[1:])


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Everything that holds nothing else, empty lists and objects included, with its path."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from leaves(each, f"{path}.{key}")
    elif isinstance(value, list) and value:
        for each in value:
            yield from leaves(each, f"{path}[]")
    else:
        yield path, value


def left_out(text: str) -> list[str]:
    """The paths in a JSON text that an API would answer without."""
    return [path for path, value in leaves(json.loads(text)) if not value]


def is_given(change: dict[str, Any], argument: str) -> bool:
    """Whether a plan says something for an argument, or will know it after the apply."""
    path = tuple(argument.split("."))
    found = list(values_at(change["after"], path))
    said = bool(found) and all(each is not None for each in found)
    return said or any(each is True for each in values_at(change["after_unknown"], path))


@pytest.fixture(scope="module")
def everything() -> list[dict[str, Any]]:
    changes = planned("prod", EVERYTHING).values()
    return [change for change in changes if change["mode"] == "managed" and change["change"]["after"]]


def resources_of(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from resources_of(child)


@pytest.mark.infra
def test_no_json_holds_what_an_api_leaves_out(everything: list[dict[str, Any]]) -> None:
    texts = {
        f"{change['address']}.{name}": value
        for change in everything
        for name, value in change["change"]["after"].items()
        if JSON_ARGUMENT.search(name) and value
    }
    assert texts
    assert {name: found for name, text in texts.items() if (found := left_out(text))} == {}


def test_zeros_and_empty_values_are_found() -> None:
    text = json.dumps({"a": [{"x": 0, "y": 4}], "b": [], "c": {}, "d": "", "e": None, "f": "0"})
    assert left_out(text) == [".a[].x", ".b", ".c", ".d", ".e"]


@pytest.mark.infra
def test_projects_are_named_as_the_api_answers(everything: list[dict[str, Any]]) -> None:
    named = [
        project
        for change in everything
        if change["type"] in PROJECTS_BY_NUMBER
        for project in values_at(change["change"]["after"], PROJECTS_BY_NUMBER[change["type"]])
    ]
    assert named
    assert all(re.fullmatch(r"projects/[0-9]+", project) for project in named)


def ignored(kind: str) -> set[str]:
    """The arguments that every resource of a type leaves to others."""
    found = [
        set(re.sub(r"\[\d+\]", "", listed[1]).replace(",", " ").split())
        for folder in {path.parent for path in TERRAFORM.rglob("*.tf")}
        for block in blocks_in(folder, "resource")
        if block.labels[0] == kind
        for listed in [re.search(r"ignore_changes = \[(.*?)\]\n", block.text, re.DOTALL)]
        if listed
    ]
    return set.intersection(*found) if found else set()


@pytest.mark.infra
@pytest.mark.parametrize("kind", FILLED_IN)
def test_what_google_fills_in_is_said_or_left_alone(kind: str, everything: list[dict[str, Any]]) -> None:
    changes = [change for change in everything if change["type"] == kind]
    assert changes
    open_arguments = {
        argument
        for argument in FILLED_IN[kind]
        if argument not in ignored(kind)
        if not all(is_given(change["change"], argument) for change in changes)
    }
    assert open_arguments == set()


INVENTED = re.compile(r"(?<![0-9a-z])[0-9a-z]{8}(?![0-9a-z])")


@pytest.mark.infra
@pytest.mark.parametrize("test_file", ["state.tftest.hcl", EVERYTHING])
def test_no_invented_word_reaches_another_resource(test_file: str) -> None:
    """The real provider checks the form of such a value, and stops a test that the stand-in lets pass."""
    written = "".join(path.read_text() for path in TERRAFORM.rglob("*") if path.suffix in {".tf", ".hcl", ".tfvars"})
    texts = {
        resource["address"]: [text for _, text in leaves(resource["values"]) if isinstance(text, str)]
        for resource in resources_of(applied_state("prod", test_file)["root_module"])
    }
    words = {
        text: address
        for address, found in texts.items()
        for text in found
        if INVENTED.fullmatch(text) and text not in written
    }
    passed_on = {
        (words[word], address)
        for address, found in texts.items()
        for text in found
        for word in INVENTED.findall(text)
        if word in words and len({each for each, others in texts.items() if any(word in text for text in others)}) > 1
    }
    assert passed_on == set()
