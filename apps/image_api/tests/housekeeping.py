"""`image-tasks` with its real database role, storage and broker, for the tests of the rooms' steps."""

import base64
import hashlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import orjson
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy import func, insert, select, update

from image_api.tasks.parts import TaskParts
from image_api.tasks.settings import TasksSettings
from image_api.tasks_app import create_app
from image_core import testing
from image_core.db import Database, Record
from image_core.ids import new_id
from image_core.keys import master_secrets
from image_core.models import discarded_object, event, image
from image_core.states import ImageStatus
from image_core.storage.protocol import StoredObject

AUDIENCE, SCHEDULER_EMAIL = "https://tasks.test", "scheduler@test.iam.gserviceaccount.com"
PUSH_EMAIL = "push@test.iam.gserviceaccount.com"
ISSUER = "https://accounts.google.com"
PURGED_HASH_MASTER = master_secrets.generate()
WEBHOOK_MASTER = master_secrets.generate()
PAST = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Tasks:
    """A running `image-tasks`, and the rows and objects around it."""

    app: FastAPI
    client: httpx2.AsyncClient
    rows: Database
    key: RSAKey
    counter: Iterator[int] = field(default_factory=itertools.count)

    @property
    def parts(self) -> TaskParts:
        parts: TaskParts = self.app.state.parts
        return parts

    async def image(
        self, status: str = "stored", body: bytes | None = None, team_id: UUID | None = None, **columns: Any
    ) -> tuple[Record, StoredObject]:
        """A row and its object, as an upload leaves them."""
        body = b"picture %d" % next(self.counter) if body is None else body
        team_id = team_id or await testing.add_team(self.rows)
        image_id = await testing.add_image(self.rows, team_id, "pending")
        row = await self.row(image_id)
        stored = await self.parts.originals.put(row["object_name"], body, "image/png")
        known = testing._row_of(image_id, team_id, ImageStatus(status))
        if status not in ("pending", "expired"):
            known |= {"generation": stored.generation, "size_bytes": len(body), "sha256": hashlib.sha256(body).digest()}
            known |= {"crc32c": stored.crc32c}
        await self.set_row(image_id, **known | columns)
        return await self.row(image_id), stored

    async def row(self, image_id: UUID) -> Record:
        found = await self.rows.fetch_one(select(image).where(image.c.id == image_id))
        assert found is not None
        return found

    async def set_row(self, image_id: UUID, **columns: Any) -> None:
        await self.rows.execute(update(image).where(image.c.id == image_id).values(**columns))

    async def count(self, table: Any, *conditions: Any) -> int:
        return int(await self.rows.fetch_value(select(func.count()).select_from(table).where(*conditions)))

    async def originals_of(self, team_id: UUID) -> list[str]:
        return [found.name for found in await self.parts.originals.list(f"originals/{team_id}/")]

    async def derivatives_of(self, team_id: UUID) -> list[str]:
        return [found.name for found in await self.parts.derivatives.list(f"derivatives/{team_id}/")]

    async def events(self, image_id: UUID | None = None) -> list[tuple[str, bool]]:
        """Type of each event and whether it is published, oldest first."""
        statement = select(event.c.type, event.c.published_at).order_by(event.c.created_at, event.c.id)
        if image_id is not None:
            statement = statement.where(event.c.image_id == image_id)
        return [(row[0], row[1] is not None) for row in await self.rows.fetch(statement)]

    async def discard(
        self, bucket: str, name: str, generation: int | None = None, remove_after: datetime = PAST
    ) -> None:
        values = {"bucket": bucket, "object_name": name, "generation": generation, "remove_after": remove_after}
        await self.rows.execute(insert(discarded_object).values(id=new_id(), **values))

    async def discarded(self) -> list[tuple[str, int | None]]:
        rows = await self.rows.fetch(select(discarded_object).order_by(discarded_object.c.id))
        return [(row["object_name"], row["generation"]) for row in rows]

    async def let_time_pass(self, table: Any = discarded_object, column: str = "remove_after", hours: int = 1) -> None:
        """Move a time of every row into the past."""
        await self.rows.execute(update(table).values({column: func.now() - timedelta(hours=hours)}))

    def headers(self, key: RSAKey | None = None, **claims: Any) -> dict[str, str]:
        """A token as Cloud Scheduler sends it."""
        key, now = key or self.key, int(time.time())
        held = {"iss": ISSUER, "aud": AUDIENCE, "email": SCHEDULER_EMAIL, "email_verified": True, "iat": now}
        token = jwt.encode({"alg": "RS256", "kid": key.kid}, held | {"exp": now + 3600} | claims, key)
        return {"authorization": f"Bearer {token}"}

    async def push(self, topic: str, message: dict[str, Any], **claims: Any) -> int:
        """Push a message through its endpoint, as Pub/Sub does, and return the status."""
        headers = self.headers(**{"email": PUSH_EMAIL, **claims})
        answer = await self.client.post(f"/push/{topic}", json={"message": message}, headers=headers)
        return answer.status_code

    async def nudge(self, kind: str) -> int:
        """Push a nudge and return the status."""
        data = base64.b64encode(orjson.dumps({"data": {"kind": kind}})).decode()
        return await self.push("tasks", {"data": data, "attributes": {"event_type": "task.nudged"}})

    async def sweep(self) -> dict[str, int]:
        """Run the sweep through its endpoint."""
        answer = await self.client.post("/tasks/sweep", headers=self.headers())
        assert answer.status_code == 200
        counts: dict[str, int] = answer.json()
        return counts


@pytest.fixture(scope="session")
async def running_tasks(worker_urls: Any, superuser: Database, emulators: Any) -> AsyncIterator[Tasks]:
    settings = TasksSettings(
        **emulators.settings,
        database_url=worker_urls.tasks,
        tasks_audience=AUDIENCE,
        scheduler_service_account_email=SCHEDULER_EMAIL,
        push_service_account_email=PUSH_EMAIL,
        push_issuer=ISSUER,
        push_jwks_url=f"{emulators.storage_host}/certs",
        metrics_enabled=True,
        max_attempts=3,
        purged_hash_master=PURGED_HASH_MASTER,
        webhook_master=WEBHOOK_MASTER,
        webhook_allow_addresses=["127.0.0.1/32"],
        webhook_allow_http=True,
    )
    app = create_app(settings)
    key = RSAKey.import_key((emulators.data_dir / "oidc-key.pem").read_text())
    key.ensure_kid()
    async with (
        LifespanManager(app, startup_timeout=60, shutdown_timeout=60),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://tasks", timeout=30) as client,
    ):
        yield Tasks(app, client, superuser, key)


@pytest.fixture
async def tasks(rows: Database, running_tasks: Tasks) -> Tasks:
    """The worker's one `image-tasks`, on a clean database."""
    return running_tasks
