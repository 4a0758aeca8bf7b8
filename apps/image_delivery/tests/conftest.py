"""image-delivery with its real database role, storage and middleware; only the codecs' worker pool is scripted."""

import asyncio
import hashlib
import json
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import UUID

import httpx2
import pytest
from asgi_lifespan import LifespanManager
from sqlalchemy import insert, select, update

from image_core import models, testing
from image_core.db import Database, Record
from image_core.delivery import grant, spec
from image_core.delivery.spec import Format, Recipe
from image_core.delivery.tag import delivery_tag
from image_core.events import Message, Topic
from image_core.ids import new_id
from image_core.images.object_names import claim_folder, derivative_name
from image_core.keys import master_secrets
from image_delivery import app as delivery_app
from image_delivery.addresses import Serving
from image_delivery.parts import Parts
from image_delivery.settings import DeliverySettings
from image_engine.contract.picture_file import PictureFile
from image_engine.contract.renditions import Rendition, RenditionRequest
from image_engine.worker.confinement import Confinement

MASTER = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
"""That of docs/delivery-vectors.json."""


@dataclass
class ScriptedPool:
    """Answers at once with bytes that say what was asked for; `before` runs first and may raise."""

    before: Callable[[RenditionRequest], Awaitable[None]] | None = None
    requests: list[RenditionRequest] = field(default_factory=list)
    seen: list[bytes] = field(default_factory=list)
    size_bytes: int = 0
    process_ids: list[int] = field(default_factory=lambda: [1])
    confinement: Confinement = field(default_factory=lambda: Confinement(system_calls=True, landlock=7))

    async def render(self, picture: PictureFile, request: RenditionRequest) -> Rendition:
        self.requests.append(request)
        self.seen.append(os.pread(picture.fileno(), picture.size_bytes, 0))
        if self.before is not None:
            await self.before(request)
        return Rendition(request.format, 40, 30, 1, self.made(request.recipe, request.format))

    def made(self, recipe: Recipe, extension: Format = "webp") -> bytes:
        """What it makes."""
        return f"{spec.spell(recipe)}.{extension}".encode().ljust(self.size_bytes, b".")

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""


@dataclass
class ScriptedPublisher:
    """Keeps what it is given; `before` runs first and may raise."""

    before: Callable[[], Awaitable[None]] | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def publish(self, topic: Topic, messages: Sequence[Message], timeout_seconds: float) -> None:
        assert topic is Topic.RENDITIONS
        if self.before is not None:
            await self.before()
        self.asked += [json.loads(message.data) for message in messages]

    @property
    def specs(self) -> list[tuple[str, str]]:
        """Spec and format of each request."""
        return [(each["data"]["spec"], each["data"]["format"]) for each in self.asked]


@dataclass(frozen=True)
class Team:
    """A team and the delivery key that it has from the start."""

    id: UUID
    key_number: int

    def grant(self, row: Record, scope: str = "e", file: str | None = None, expiry: int = 0, **changes: Any) -> str:
        """The part of an address before the file, signed by the team's key."""
        tag = changes.get("tag") or delivery_tag(row["generation"] or 0, row["delivery_epoch"])
        number = changes.get("key_number", self.key_number)
        key = grant.key_bytes(changes.get("master") or master_secrets.from_text(MASTER), number)
        return grant.sign(number, key, row["id"], tag, file=file, expiry_minutes=expiry, scope=scope)

    def address(self, row: Record, file: str = "thumb.webp", scope: str = "e", **options: Any) -> str:
        """A whole address."""
        return f"/i/{self.grant(row, scope, file if scope == 'e' else None, **options)}/{file}"


@dataclass
class Answer:
    """What came back, message by message."""

    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def status_code(self) -> int:
        status: int = self.messages[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        pairs = [(name.decode(), value.decode("latin-1")) for name, value in self.messages[0]["headers"]]
        assert len(dict(pairs)) == len(pairs), "a header stands twice"
        return dict(pairs)

    @property
    def content(self) -> bytes:
        return b"".join(each.get("body", b"") for each in self.messages[1:])

    @property
    def is_whole(self) -> bool:
        return not self.messages[-1].get("more_body", False)

    def json(self) -> Any:
        return json.loads(self.content)


@dataclass
class Delivery:
    """A running image-delivery and the rows and objects around it."""

    app: delivery_app.Application
    client: httpx2.AsyncClient
    rows: Database
    pool: ScriptedPool
    publisher: ScriptedPublisher = field(default_factory=ScriptedPublisher)
    queries: list[str] = field(default_factory=list)
    """What the service has asked the database, and the objects that it has read, in order."""
    seconds_ahead: float = 0
    caller_left: bool = False

    @property
    def parts(self) -> Parts:
        parts: Parts = self.app.service.state.parts
        return parts

    @property
    def serving(self) -> Serving:
        serving: Serving = self.app.service.state.serving
        return serving

    async def team(self, **columns: Any) -> Team:
        team_id = await testing.add_team(self.rows, **columns)
        number = await self.rows.fetch_value(
            select(models.delivery_key.c.number).where(models.delivery_key.c.team_id == team_id)
        )
        return Team(team_id, number)

    async def image(self, team: Team, status: str = "ready", **columns: Any) -> Record:
        image_id = await testing.add_image(self.rows, team.id, status, **columns)
        return await self.row(image_id)

    async def row(self, image_id: UUID) -> Record:
        row = await self.rows.fetch_one(select(models.image).where(models.image.c.id == image_id))
        assert row is not None
        return row

    async def shown(self, team: Team, body: bytes | None = None, preset: str = "thumb", **columns: Any) -> Record:
        """A ready image with one stored derivative."""
        row = await self.image(team, **columns)
        await self.store(row, body or b"picture of %s" % row["id"].bytes, preset)
        return row

    async def uploaded(self, team: Team, body: bytes = b"an original", **columns: Any) -> Record:
        """A ready image whose original is stored, and nothing else of it."""
        row = await self.image(team, **columns)
        stored = await self.parts.originals.put(row["object_name"], body, "image/png")
        changes = {"generation": stored.generation, "size_bytes": len(body), "sha256": hashlib.sha256(body).digest()}
        await self.change(row["id"], **changes)
        return await self.row(row["id"])

    async def renditions(self, image_id: UUID) -> list[Record]:
        table = models.rendition
        return await self.rows.fetch(select(table).where(table.c.image_id == image_id).order_by(table.c.created_at))

    async def promised(self) -> list[str]:
        """The objects that the sweep will remove."""
        return [row[0] for row in await self.rows.fetch(select(models.discarded_object.c.object_name))]

    async def objects(self, team: Team) -> list[str]:
        return [found.name for found in await self.parts.derivatives.list(f"derivatives/{team.id}/")]

    async def store(self, row: Record, body: bytes, preset: str = "thumb", spec_hash: bytes | None = None) -> str:
        """A derivative, as the processor leaves it."""
        name = derivative_name(claim_folder(row["team_id"], row["id"], row["generation"], new_id()), preset)
        await self.parts.derivatives.put(name, body, "image/webp")
        await testing.add_derivative(
            self.rows, row["id"], name, preset, size_bytes=len(body), sha256=hashlib.sha256(body).digest(),
            generation=row["generation"], spec_hash=spec_hash,
        )  # fmt: skip
        return name

    async def rendition(
        self, row: Record, recipe: Recipe, body: bytes, extension: Format = "webp", **columns: Any
    ) -> str:
        """Something made on demand before."""
        folder = claim_folder(row["team_id"], row["id"], row["generation"], new_id())
        name = f"{folder}{recipe.hash().hex()}.{extension}"
        await self.parts.derivatives.put(name, body, f"image/{extension}")
        values = {
            "id": new_id(), "team_id": row["team_id"], "image_id": row["id"], "generation": row["generation"],
            "spec_hash": recipe.hash(), "format": extension, "object_name": name, "width": 4, "height": 3, "frames": 1,
            "size_bytes": len(body), "sha256": hashlib.sha256(body).digest(),
        }  # fmt: skip
        await self.rows.execute(insert(models.rendition).values(values | columns))
        return name

    async def preset(self, team: Team, name: str, **columns: Any) -> None:
        values = {"team_id": team.id, "name": name, "width": 64, "formats": ["webp"], "open": True}
        await self.rows.execute(insert(models.preset).values(values | columns))

    async def change(self, image_id: UUID, **columns: Any) -> None:
        await self.rows.execute(update(models.image).where(models.image.c.id == image_id).values(**columns))

    async def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """The answer to a path, which is sent byte by byte as it is."""
        raw_path, _, query = path.encode().partition(b"?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": unquote_to_bytes(raw_path).decode("utf-8", "replace"), "raw_path": raw_path,
            "query_string": query, "root_path": "", "client": ("127.0.0.1", 1), "server": ("delivery", 80),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        answer = Answer()

        async def receive() -> dict[str, Any]:
            if self.caller_left:
                return {"type": "http.disconnect"}
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Any) -> None:
            answer.messages.append(message)
            await asyncio.sleep(0)

        async with asyncio.timeout(30):
            await self.app(scope, receive, send)
        return answer

    def let_pass(self, seconds: float) -> None:
        """Let what was read grow older, without waiting."""
        self.seconds_ahead += seconds

    def clock(self) -> float:
        return time.monotonic() + self.seconds_ahead


MakeDelivery = Callable[..., AbstractAsyncContextManager[Delivery]]


@pytest.fixture
def make_delivery(rows: Database, worker_urls: Any, emulators: Any, monkeypatch: pytest.MonkeyPatch) -> MakeDelivery:
    """Starts an instance of its own, with changed settings."""

    @asynccontextmanager
    async def make(**changes: Any) -> AsyncIterator[Delivery]:
        values = {**emulators.settings, "database_url": worker_urls.delivery, "delivery_master": MASTER, **changes}
        pool = ScriptedPool()
        monkeypatch.setattr(delivery_app, "_pool", lambda *_: pool)
        app = delivery_app.create_app(DeliverySettings(**values))
        async with LifespanManager(app, startup_timeout=60, shutdown_timeout=60):
            transport = httpx2.ASGITransport(app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://delivery", timeout=30) as client:
                delivery = Delivery(app, client, rows, pool)
                _watch(delivery)
                yield delivery

    return make


def _watch(delivery: Delivery) -> None:
    """Notes each query and each read from storage, and gives the rows in memory a clock that tests move."""
    verification = delivery.serving.verification
    delivery.serving.makers.clock = delivery.serving.requests.clock = delivery.clock
    delivery.serving.requests._publisher = delivery.publisher
    shared = verification._shared
    for lookups in (
        verification._keys._rows, verification._images.rows, verification._presets.rows, shared.rows, shared.names,
    ):  # fmt: skip
        lookups.clock = delivery.clock
    parts, fetch, read = delivery.parts, delivery.parts.database.fetch, delivery.parts.derivatives.read

    async def noted_fetch(statement: Any, **values: Any) -> Any:
        # Those before it belong to columns.
        delivery.queries.append(re.findall(r"FROM (\w+)", statement.compiled[0])[-1])
        return await fetch(statement, **values)

    async def noted_read(name: str, *arguments: Any) -> bytes:
        delivery.queries.append(name)
        return await read(name, *arguments)

    parts.database.fetch = noted_fetch  # type: ignore[method-assign]
    parts.derivatives.read = noted_read  # type: ignore[method-assign]


@pytest.fixture
async def delivery(make_delivery: MakeDelivery) -> AsyncIterator[Delivery]:
    async with make_delivery() as running:
        yield running
