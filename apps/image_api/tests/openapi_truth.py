"""Compares answers with what the OpenAPI document says of them."""

import re
from typing import Any

import httpx2
from jsonschema import Draft202012Validator, FormatChecker

from image_core.errors.problem_documents import MEDIA_TYPE

_SENTENCE = re.compile(r"[^a-z ].*[.?…]", re.DOTALL)
_RAW_SIZE = re.compile(r"limit\w* (is|are) \d{4,} bytes")


def check_texts(problem: dict[str, Any]) -> None:
    """Check that a problem is described in sentences, with sizes in units that people read."""
    detail = problem["detail"]
    assert detail.endswith((".", "?", "…")), f"{detail!r} is no sentence"
    assert not _RAW_SIZE.search(detail), f"{detail!r} states a limit in bytes"
    for each in problem.get("errors", ()):
        assert _SENTENCE.fullmatch(each["message"]), f"{each['message']!r} is no sentence"


class OpenApiTruth:
    """Checks each answer of one application; remembers which operations were asked."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.seen: set[tuple[str, str]] = set()
        self._operations = [
            (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + "$"), path, method, operation)
            for path, item in document["paths"].items()
            for method, operation in item.items()
        ]
        self._validators: dict[int, Draft202012Validator] = {}

    def find(self, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        """The operation that answers a request; literal paths before those with parameters."""
        found = [
            (template, operation)
            for pattern, template, its_method, operation in self._operations
            if its_method == method.lower() and pattern.match(path)
        ]
        return min(found, key=lambda each: each[0].count("{")) if found else None

    async def check(self, response: httpx2.Response) -> None:
        request = response.request
        found = self.find(request.method, request.url.path)
        await response.aread()
        if found is None:
            return
        template, operation = found
        self.seen.add((request.method.lower(), template))
        where = f"{request.method} {template} → {response.status_code}"
        declared = operation["responses"].get(str(response.status_code))
        assert declared is not None, f"{where} is not declared: {response.text[:300]}"
        self._check_headers(response, declared, where)
        if "content" not in declared:
            assert not response.content, f"{where} has a body that is not declared"
            return
        media_type = response.headers.get("content-type", "").split(";")[0]
        content = declared["content"]
        schema = content.get(media_type, content.get(media_type.split("/")[0] + "/*"))
        assert schema is not None, f"{where}: {media_type} is not declared"
        if media_type.endswith(("/json", "+json")):
            self._validator(schema["schema"]).validate(response.json())
        if media_type == MEDIA_TYPE:
            check_texts(response.json())

    def _check_headers(self, response: httpx2.Response, declared: dict[str, Any], where: str) -> None:
        known = self.document["components"]["headers"]
        sent = {name for name in known if name in response.headers}
        assert sent <= declared["headers"].keys(), f"{where} sends {sent - declared['headers'].keys()}, not declared"
        required = {name for name in declared["headers"] if known[name].get("required")}
        assert required <= sent, f"{where} does not send {required - sent}"
        for name in sent:
            schema = known[name]["schema"]
            value = int(response.headers[name]) if schema["type"] == "integer" else response.headers[name]
            Draft202012Validator(schema).validate(value)

    def _validator(self, schema: dict[str, Any]) -> Draft202012Validator:
        if id(schema) not in self._validators:
            whole = {**schema, "components": self.document["components"]}
            self._validators[id(schema)] = Draft202012Validator(whole, format_checker=FormatChecker())
        return self._validators[id(schema)]
