"""The code in docs/delivery-addresses.md signs the addresses of the published test vectors."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from image_core.delivery import grant
from image_core.delivery.encoding import image_text, to_base36

DOCS = Path(__file__).resolve().parent.parent / "docs"
VECTORS: dict[str, Any] = json.loads((DOCS / "delivery-vectors.json").read_text())

PYTHON = """
import json, sys
print(json.dumps([sign(**each["arguments"]) for each in json.load(sys.stdin)]))
"""
JAVASCRIPT = """
import { readFileSync } from "node:fs";
const given = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(given.map(({ arguments: { key, number, image, file, expiry, scope }, id, tag }) =>
  [sign(key, number, image, file, expiry, scope), imagePart(id, tag)])));
"""


def code(language: str) -> str:
    (found,) = re.findall(
        rf"^```{language}\n(.*?)^```", (DOCS / "delivery-addresses.md").read_text(), re.MULTILINE | re.DOTALL
    )
    return str(found)


def cases() -> list[dict[str, Any]]:
    """The arguments that give each address of the vectors."""
    found = []
    for vector in VECTORS["grants"]:
        address = grant.parse(vector["address"])
        assert address is not None
        assert address.grant is not None
        arguments = {
            "key": VECTORS["keys"][f"k{address.grant.key_number}"],
            "number": address.grant.key_number,
            "image": f"{image_text(address.image_id)}.{address.tag}",
            "file": address.file,
            "expiry": to_base36(address.grant.expiry_minutes),
            "scope": address.grant.scope,
        }
        found.append({"arguments": arguments, "id": str(address.image_id), "tag": address.tag})
    return found


def run(command: list[str], given: list[dict[str, Any]]) -> Any:
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_the_vectors_hold_every_scope_with_and_without_an_expiry() -> None:
    kinds = {(each["arguments"]["scope"][0], each["arguments"]["expiry"] == "0") for each in cases()}
    assert kinds >= {("e", True), ("e", False), ("p", True), ("p", False), ("c", False)}


def test_the_python_code_signs_as_the_service_does(tmp_path: Path) -> None:
    (tmp_path / "signing.py").write_text(code("python") + PYTHON)
    signed = run([sys.executable, str(tmp_path / "signing.py")], cases())
    assert signed == [vector["address"] for vector in VECTORS["grants"]]


def test_the_python_code_spells_ids_as_the_service_does() -> None:
    names: dict[str, Any] = {}
    exec(code("python"), names)
    for case in cases():
        assert names["image_part"](case["id"], case["tag"]) == case["arguments"]["image"]


@pytest.mark.node
def test_the_javascript_code_signs_as_the_service_does(tmp_path: Path) -> None:
    (tmp_path / "signing.mjs").write_text(code("js") + JAVASCRIPT)
    signed = run(["node", str(tmp_path / "signing.mjs")], cases())
    assert [address for address, _ in signed] == [vector["address"] for vector in VECTORS["grants"]]
    assert [image for _, image in signed] == [case["arguments"]["image"] for case in cases()]


def test_the_widths_in_the_docs_are_those_that_are_offered() -> None:
    from image_core.delivery.spec import WIDTHS_PX

    (listed,) = re.findall(
        r"^\| `w640` \| width of the box: ([0-9 ]+) \|", (DOCS / "delivery-addresses.md").read_text(), re.MULTILINE
    )
    assert [int(width) for width in listed.split()] == list(WIDTHS_PX)
