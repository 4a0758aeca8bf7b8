"""A browser without script: it keeps its cookie, follows nothing, and posts the forms that it is shown."""

import html
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx2

from ..conftest import Api, Person

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin", "Origin": "http://api"}
_FORM = re.compile(r"<form\b([^>]*)>(.*?)</form>", re.DOTALL)
_FIELD = re.compile(r"<(?:input|button)\b([^>]*)>|<textarea\b([^>]*)>(.*?)</textarea>", re.DOTALL)
_ATTRIBUTE = re.compile(r'([a-z_-]+)="([^"]*)"')


def attributes(tag: str) -> dict[str, str]:
    return {name: html.unescape(value) for name, value in _ATTRIBUTE.findall(tag)}


def _typed(field: dict[str, str]) -> dict[str, str]:
    """As browsers do, take the line breaks out of what stands in an input of one line."""
    if field.get("type") == "hidden" or "value" not in field:
        return field
    return field | {"value": re.sub(r"[\r\n]", "", field["value"])}


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def tags_of(page: str) -> list[tuple[str, dict[str, str]]]:
    """Every tag of a page as a browser reads it, with its attributes."""
    parser = _Tags()
    parser.feed(page)
    return parser.found


@dataclass
class Browser:
    api: Api
    cookie: str = ""
    page: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self._ask("GET", path, None, headers)

    async def post(self, path: str, fields: dict[str, Any], **headers: str) -> httpx2.Response:
        return await self._ask("POST", path, fields, SAME_ORIGIN | headers)

    async def _ask(
        self, method: str, path: str, fields: dict[str, Any] | None, headers: dict[str, str]
    ) -> httpx2.Response:
        self.api.client.cookies.clear()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        cookie = {"Cookie": self.cookie} if self.cookie else {}
        sent = {name: value for name, value in {**HTML, **cookie, **self.headers, **named}.items() if value}
        answer = await self.api.client.request(method, path, data=fields, headers=sent, follow_redirects=False)
        self.api.client.cookies.clear()
        if value := answer.headers.get("set-cookie"):
            self.cookie = value.partition(";")[0]
            if self.cookie.endswith('=""'):
                self.cookie = ""
        if answer.headers.get("content-type", "").startswith("text/html"):
            self.page = answer.text
        return answer

    def form(self, action: str) -> dict[str, str]:
        """The fields of the last form on the page that posts to this path, as they are filled in."""
        for attributes_of_form, content in reversed(_FORM.findall(self.page)):
            if attributes(attributes_of_form).get("action") == action:
                fields = [
                    _typed(attributes(tag)) if tag else attributes(area) | {"value": html.unescape(text)}
                    for tag, area, text in _FIELD.findall(content)
                ]
                return {each["name"]: each.get("value", "") for each in fields if "name" in each}
        raise AssertionError(f"the page has no form for {action}")

    async def submit(self, action: str, **values: str) -> httpx2.Response:
        return await self.post(action, self.form(action) | values)

    async def sign_in(self, person: Person, password: str = "correct horse battery") -> httpx2.Response:
        await self.get("/console/sign-in")
        return await self.submit("/console/sign-in", email=person.email, password=password)

    async def sign_in_by_key(self, api_key: str) -> httpx2.Response:
        await self.get("/console/sign-in")
        return await self.submit("/console/sign-in/key", api_key=api_key)
