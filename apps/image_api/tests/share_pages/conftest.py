"""Share links as their makers leave them, and visitors who hold nothing but the token."""

import hashlib
import secrets
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import insert, update

from image_core import testing
from image_core.db import Record
from image_core.delivery.encoding import image_text
from image_core.ids import new_id
from image_core.models import share_link, share_link_image
from image_core.testing import UserWithKey

from ..conftest import Api

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PASSWORD = "the boat is red"
FACTS = {"blurhash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj", "has_alpha": False}


@dataclass
class Link:
    """A share link, and what a visitor's browser does with it."""

    api: Api
    id: UUID
    token: str
    image_ids: list[UUID]

    @property
    def path(self) -> str:
        return f"/s/{self.token}"

    def path_of(self, image_id: UUID) -> str:
        return f"{self.path}/{image_text(image_id)}"

    async def get(self, path: str = "", **headers: str) -> httpx2.Response:
        named = {"user-agent": BROWSER} | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.api.client.get(f"{self.path}{path}", headers=named)

    async def enter(self, password: str, address: str = "192.0.2.1", **headers: str) -> httpx2.Response:
        given = {"user-agent": BROWSER, "x-forwarded-for": address, **headers}
        return await self.api.client.post(self.path, data={"password": password}, headers=given)

    async def change(self, **columns: Any) -> None:
        await self.api.rows.execute(update(share_link).where(share_link.c.id == self.id).values(**columns))

    async def row(self) -> Record:
        found = await self.api.rows.fetch_one(share_link.select().where(share_link.c.id == self.id))
        assert found is not None
        return found


async def add_images(api: Api, owner: UserWithKey, count: int, **columns: Any) -> list[UUID]:
    assert owner.team_id is not None
    values = {"width": 4000, "height": 3000, "facts": FACTS, **columns}
    return [await testing.add_image(api.rows, owner.team_id, "ready", **values) for _ in range(count)]


async def add_link(api: Api, owner: UserWithKey, image_ids: list[UUID], **columns: Any) -> Link:
    link_id, token = new_id(), secrets.token_hex(16)
    if "password" in columns:
        columns["password_hash"] = await api.services.passwords.hash(columns.pop("password"))
    values = {"id": link_id, "team_id": owner.team_id, "presets": ["thumb", "preview", "large"], **columns}
    await api.rows.execute(
        insert(share_link).values(token_hash=hashlib.sha256(token.encode()).digest(), **values)
    )  # fmt: skip
    for position, image_id in enumerate(image_ids):
        row = {"link_id": link_id, "image_id": image_id, "team_id": owner.team_id, "position": position}
        await api.rows.execute(insert(share_link_image).values(**row))
    return Link(api, link_id, token, image_ids)


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


class Page:
    """What a browser finds in a page."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._elements = _Elements()
        self._elements.feed(answer.text)
        self.text = " ".join(self._elements.text.split())

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [
            found
            for name, found in self._elements.found
            if name == tag and all(found.get(key.strip("_")) == value for key, value in attributes.items())
        ]

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self._elements.found}

    @property
    def pictures(self) -> list[dict[str, str | None]]:
        return self.all("img", class_="shown")

    def rel(self, name: str) -> list[str | None]:
        return [found["href"] for found in self.all("a", rel=name)]

    @property
    def og(self) -> dict[str, str]:
        found = self.all("meta")
        return {str(each["property"]): str(each["content"]) for each in found if "property" in each}


@pytest.fixture
async def link(api: Api, member: UserWithKey) -> Link:
    return await add_link(api, member, await add_images(api, member, 3), title="Sommer i fjorden")
