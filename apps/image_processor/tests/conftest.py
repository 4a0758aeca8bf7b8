"""The processor with its real database role, storage and broker; only the codecs' worker pool is scripted."""

import asyncio
import base64
import hashlib
import itertools
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import httpx2
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy import func, select, update

from image_core import testing
from image_core.db import Database, Record
from image_core.intake.envelope import PushMessage
from image_core.models import derivative, discarded_object, event, image
from image_core.states import ImageStatus
from image_core.storage.protocol import StoredObject
from image_engine.contract.answers import AnalysisOutcome, AnalyzedPicture, ProcessedPicture
from image_engine.contract.renditions import Rendition, RenditionRequest
from image_engine.contract.requests import AnalysisRequest, ProcessingRequest
from image_engine.pool.worker_models import WorkerModels
from image_engine.testing.results import PROCESSED
from image_engine.worker.confinement import Confinement
from image_processor import app as processor_app
from image_processor.messages import ObjectFinalized, object_finalized
from image_processor.parts import Parts
from image_processor.settings import ProcessorSettings

AUDIENCE = "https://processor.test"
PUSH_EMAIL = "push@test.iam.gserviceaccount.com"
ISSUER = "https://accounts.google.com"


@dataclass
class ScriptedPool:
    """Answers at once with what a picture becomes; `before` runs first and may raise."""

    before: Callable[[], Awaitable[None]] | None = None
    processed: ProcessedPicture = PROCESSED
    outcome: AnalysisOutcome | None = None
    requests: list[ProcessingRequest] = field(default_factory=list)
    rendered: list[RenditionRequest] = field(default_factory=list)
    content: bytes = b"a rendition"
    seen: list[bytes] = field(default_factory=list)
    process_ids: list[int] = field(default_factory=lambda: [1])
    confinement: Confinement = field(default_factory=lambda: Confinement(system_calls=True, landlock=7))
    models: WorkerModels = field(default_factory=WorkerModels)

    async def process(self, picture: Any, request: ProcessingRequest) -> ProcessedPicture:
        self.requests.append(request)
        await self._look_at(picture)
        return self.processed

    async def analyze(self, picture: Any, request: AnalysisRequest) -> AnalyzedPicture:
        await self._look_at(picture)
        assert self.outcome is not None
        return AnalyzedPicture((self.outcome,), {})

    async def _look_at(self, picture: Any) -> None:
        self.seen.append(os.pread(picture.fileno(), picture.size_bytes, 0))
        if self.before is not None:
            await self.before()

    async def render(self, picture: Any, request: RenditionRequest) -> Rendition:
        self.rendered.append(request)
        await self._look_at(picture)
        return Rendition(request.format, 40, 30, 1, self.content)

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""


@dataclass
class Processor:
    """A running processor, and the rows and objects around it."""

    app: FastAPI
    client: httpx2.AsyncClient
    rows: Database
    pool: ScriptedPool
    key: RSAKey
    counter: Iterator[int] = field(default_factory=itertools.count)

    @property
    def parts(self) -> Parts:
        parts: Parts = self.app.state.parts
        return parts

    def with_settings(self, **changes: Any) -> Parts:
        """The same parts under other settings."""
        return replace(self.parts, settings=self.parts.settings.model_copy(update=changes))

    def body(self) -> bytes:
        return b"picture %d" % next(self.counter)

    async def image(
        self, status: str = "stored", body: bytes | None = None, team_id: UUID | None = None, **columns: Any
    ) -> tuple[Record, StoredObject]:
        """A row and its object, as an upload leaves them."""
        body = self.body() if body is None else body
        team_id = team_id or await testing.add_team(self.rows)
        image_id = await testing.add_image(self.rows, team_id, "pending")
        row = await self.row(image_id)
        stored = await self.parts.originals.put(row["object_name"], body, "image/png")
        known = testing._row_of(image_id, team_id, ImageStatus(status))
        if status not in ("pending", "expired"):
            known |= {"generation": stored.generation, "size_bytes": len(body), "sha256": hashlib.sha256(body).digest()}
        await self.rows.execute(update(image).where(image.c.id == image_id).values(**known | columns))
        return await self.row(image_id), stored

    async def row(self, image_id: UUID) -> Record:
        found = await self.rows.fetch_one(select(image).where(image.c.id == image_id))
        assert found is not None
        return found

    async def set_row(self, image_id: UUID, **columns: Any) -> None:
        await self.rows.execute(update(image).where(image.c.id == image_id).values(**columns))

    async def derivatives_of(self, image_id: UUID) -> dict[str, str]:
        rows = await self.rows.fetch(select(derivative).where(derivative.c.image_id == image_id))
        return {row["preset"]: row["object_name"] for row in rows}

    async def derivative_objects(self, team_id: UUID) -> list[str]:
        return [found.name for found in await self.parts.derivatives.list(f"derivatives/{team_id}/")]

    async def events(self, image_id: UUID | None = None) -> list[tuple[str, bool]]:
        """Type of each event and whether it is published, oldest first."""
        statement = select(event.c.type, event.c.published_at).order_by(event.c.created_at, event.c.id)
        if image_id is not None:
            statement = statement.where(event.c.image_id == image_id)
        return [(row[0], row[1] is not None) for row in await self.rows.fetch(statement)]

    async def discarded(self) -> list[tuple[str, int | None]]:
        rows = await self.rows.fetch(select(discarded_object).order_by(discarded_object.c.id))
        return [(row["object_name"], row["generation"]) for row in rows]

    async def let_time_pass(self, table: Any = discarded_object, column: str = "remove_after", hours: int = 1) -> None:
        """Moves a time of every row into the past."""
        from datetime import timedelta

        await self.rows.execute(update(table).values({column: func.now() - timedelta(hours=hours)}))

    def message(self, name: str, generation: int, bucket: str | None = None, **attributes: str) -> dict[str, Any]:
        """A push message as Cloud Storage's notification makes it."""
        bucket = bucket or self.parts.originals.bucket
        body = {"kind": "storage#object", "bucket": bucket, "name": name, "generation": str(generation)}
        told = {"eventType": "OBJECT_FINALIZE", "payloadFormat": "JSON_API_V1", "bucketId": bucket, "objectId": name}
        told |= {"objectGeneration": str(generation), **attributes}
        data = base64.b64encode(json.dumps(body).encode()).decode()
        return {"data": data, "attributes": told, "messageId": "1", "publishTime": "2026-01-01T00:00:00Z"}

    def finalized(self, stored: StoredObject, **changes: Any) -> ObjectFinalized:
        """The event of an object, as the job takes it."""
        message = self.message(stored.name, changes.pop("generation", stored.generation), **changes)
        found = object_finalized(PushMessage.model_validate(message))
        assert found is not None
        return found

    def token(self, email: str = PUSH_EMAIL, key: RSAKey | None = None, **claims: Any) -> str:
        """A token as Pub/Sub sends it; a claim that is None is left out."""
        key, now = key or self.key, int(time.time())
        told = {"iss": ISSUER, "aud": AUDIENCE, "email": email, "email_verified": True, "iat": now, "exp": now + 3600}
        told = {name: value for name, value in (told | claims).items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": key.kid}, told, key)

    async def push(
        self, message: dict[str, Any], token: str | None = None, path: str = "uploads", **envelope: Any
    ) -> int:
        """Delivers a message and returns the status."""
        body = {"message": message, "subscription": "s", "deliveryAttempt": 1, **envelope}
        headers = {"authorization": f"Bearer {token or self.token()}"}
        return (await self.client.post(f"/push/{path}", json=body, headers=headers)).status_code


@pytest.fixture(scope="session")
def processor_settings(worker_urls: Any, emulators: Any) -> ProcessorSettings:
    return ProcessorSettings(
        **emulators.settings,
        database_url=worker_urls.processor,
        push_audience=AUDIENCE,
        push_service_account_email=PUSH_EMAIL,
        push_issuer=ISSUER,
        push_jwks_url=f"{emulators.storage_host}/certs",
        metrics_enabled=True,
        max_attempts=3,
    )


@pytest.fixture(scope="session")
async def running_processor(
    processor_settings: ProcessorSettings, superuser: Database, emulators: Any
) -> AsyncIterator[Processor]:
    pool = ScriptedPool()
    app = processor_app.create_app(processor_settings)
    key = RSAKey.import_key((emulators.data_dir / "oidc-key.pem").read_text())
    key.ensure_kid()
    running = LifespanManager(app, startup_timeout=60, shutdown_timeout=60)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(processor_app, "_pool", lambda *_: pool)
        # Tests announce models themselves, and only when they look at them.
        patched.setattr(processor_app, "keep_announcing", lambda *_: asyncio.sleep(0))
        await running.__aenter__()
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://processor", timeout=30) as client:
        yield Processor(app, client, superuser, pool, key)
    await running.__aexit__(None, None, None)


@pytest.fixture
async def processor(rows: Database, running_processor: Processor) -> Processor:
    """The worker's one processor, on a clean database."""
    pool = running_processor.pool
    pool.before, pool.processed, pool.outcome, pool.models = None, PROCESSED, None, WorkerModels()
    pool.seen.clear()
    pool.requests.clear()
    pool.rendered.clear()
    pool.content = b"a rendition"
    return running_processor
