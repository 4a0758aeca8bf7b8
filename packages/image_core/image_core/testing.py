"""Building blocks of tests: rows. No service imports this module."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Table, Text, bindparam, cast, column, func, insert, literal, select, table, text

from image_core import models
from image_core.analyses.catalogue import CATALOGUE, canonical_parameters
from image_core.billing import credits
from image_core.db import Query, Runner, to_json
from image_core.events import EventType, Topic
from image_core.feed import reading
from image_core.ids import new_id
from image_core.images.object_names import original_name
from image_core.images.similarity import DESCRIPTOR_MODEL
from image_core.keys import api_keys
from image_core.states import HOLDS_BYTES, DeliveryKeyState, ImageStatus

GENERATION = 1_700_000_000_000_001
TRASHED_EVENT = {
    "topic": Topic.EVENTS, "type": EventType.TRASHED, "image_id": UUID(int=1), "payload": '{"revision": 2}',
}  # fmt: skip
"""Columns of an event, for tests to which any will do."""
STARTING_CREDITS = 1000


def a_sha256(seed: object) -> bytes:
    """Return a hash that is different for every seed."""
    return hashlib.sha256(repr(seed).encode()).digest()


@cache
def _insertion(table: Table, columns: frozenset[str]) -> Query:
    # Tests add so many rows that rebuilding the SQL each time would cost more than running it.
    return Query(insert(table).values({name: bindparam(name, type_=table.c[name].type) for name in columns}))


async def _add(runner: Runner, table: Table, row: dict[str, Any]) -> None:
    await runner.execute(_insertion(table, frozenset(row)), **row)


async def add_team(runner: Runner, name: str | None = None, **columns: Any) -> UUID:
    """Insert a team with its account; return its id."""
    team_id = new_id()
    await _add(runner, models.team, {"id": team_id, "name": name or f"team {team_id}"} | columns)
    await credits.open_account(runner, team_id, STARTING_CREDITS)
    return team_id


@dataclass(frozen=True)
class UserWithKey:
    """A user and its key."""

    user_id: UUID
    team_id: UUID | None
    credential_id: UUID
    api_key: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a request by this user."""
        return {"X-API-KEY": self.api_key}


async def add_user(
    runner: Runner, team_id: UUID | None, role: str = "member", scopes: tuple[str, ...] = (), **columns: Any
) -> UserWithKey:
    """Insert a user with one key."""
    user_id = new_id()
    row = {"id": user_id, "team_id": team_id, "name": "Somebody", "role": role, "scopes": list(scopes)}
    await _add(runner, models.user, row | columns)
    return await add_key(runner, user_id, team_id)


async def add_key(runner: Runner, user_id: UUID, team_id: UUID | None, **columns: Any) -> UserWithKey:
    """Insert a credential of a user."""
    key, credential_id = api_keys.generate(), new_id()
    row = {"id": credential_id, "user_id": user_id, "name": "key", "public_id": key.public_id, "key_hash": key.key_hash}
    await _add(runner, models.credential, row | columns)
    return UserWithKey(user_id, team_id, credential_id, key.api_key)


async def add_image(
    runner: Runner, team_id: UUID, status: ImageStatus | str = ImageStatus.READY, **columns: Any
) -> UUID:
    """Insert an image with the columns that its status requires; return its id."""
    image_id: UUID = columns.pop("image_id", None) or new_id()
    row = _row_of(image_id, team_id, ImageStatus(status)) | columns
    for name in ("facts", "metadata"):
        if name in row and not isinstance(row[name], str):
            row[name] = to_json(row[name])
    await _add(runner, models.image, row)
    return image_id


def _row_of(image_id: UUID, team_id: UUID, status: ImageStatus) -> dict[str, Any]:
    now = datetime.now(UTC)
    row: dict[str, Any] = {
        "id": image_id,
        "team_id": team_id,
        "status": status,
        "content_type": "image/png",
        "format": "png",
        "object_name": original_name(team_id, image_id),
        "deadline_at": now + timedelta(minutes=5),
    }
    if status in HOLDS_BYTES:
        row |= {"generation": GENERATION, "size_bytes": 1000, "sha256": a_sha256(image_id)}
        row |= {"stored_at": now, "queued_at": now}
    if status is ImageStatus.PROCESSING:
        row |= {"claim_token": new_id(), "lease_expires_at": now + timedelta(minutes=5), "attempts": 1}
    if status is ImageStatus.READY:
        row |= {"width": 40, "height": 30, "frames": 1, "ready_at": now}
    if status is ImageStatus.FAILED:
        row |= {"failure_code": "picture-unreadable", "failure_message": "It cannot be read."}
    return row


async def add_derivative(
    runner: Runner, image_id: UUID, object_name: str, preset: str = "thumb", **columns: Any
) -> None:
    """Insert the row of a derivative."""
    row: dict[str, Any] = {
        "id": new_id(), "image_id": image_id, "preset": preset, "generation": GENERATION, "object_name": object_name,
        "content_type": "image/webp", "width": 40, "height": 30, "frames": 1, "size_bytes": 100,
        "sha256": a_sha256(object_name),
    }  # fmt: skip
    await _add(runner, models.derivative, row | columns)


async def add_upload(
    runner: Runner, team_id: UUID, size_bytes: int = 1000, sha256: bytes | None = None, **columns: Any
) -> UUID:
    """Insert the rows of a direct upload that waits for its bytes."""
    image_id = await add_image(runner, team_id, "pending", expected_bytes=size_bytes, **columns)
    await _add(runner, models.upload_session, {"image_id": image_id, "size_bytes": size_bytes, "sha256": sha256})
    return image_id


async def add_analysis(runner: Runner, team_id: UUID, sha256: bytes, analyzer: str = "colors", **columns: Any) -> UUID:
    """Insert a requested analysis of these bytes; return its id."""
    analysis_id, spec = new_id(), CATALOGUE[analyzer]
    parameters, digest = canonical_parameters(spec, {})
    values = {"parameters": to_json(parameters), "parameters_hash": digest, "version": spec.version}
    columns = {"id": analysis_id, "team_id": team_id, "sha256": sha256, "analyzer": analyzer, **values, **columns}
    await _add(runner, models.analysis, columns)
    return analysis_id


async def add_vector(
    runner: Runner, team_id: UUID, image_id: UUID, numbers: Sequence[float], model: str = DESCRIPTOR_MODEL
) -> None:
    """Insert the vector of an image, of any length."""
    vector = cast(literal(to_json(list(numbers)), Text), models.HalfVector)
    values = {"image_id": image_id, "team_id": team_id, "model": model, "vector": vector}
    await runner.execute(insert(models.image_vector).values(**values))


async def wait_for_lock_waiter(runner: Runner) -> None:
    """Wait until some session waits for a lock in this database."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(10):
        while not await runner.fetch_value(waiting):  # noqa: ASYNC110 (the database tells nobody)
            await asyncio.sleep(0.01)


async def until_feed_shows_all(runner: Runner) -> None:
    """Wait until the feed shows every event that was committed: other databases of the server may hold it up."""
    async with asyncio.timeout(30):
        while await reading.lag_seconds(runner):  # noqa: ASYNC110 (another database's transaction tells nobody)
            await asyncio.sleep(0.01)


async def until_advisory_lock_is_awaited(runner: Runner) -> None:
    """Wait until somebody waits for an advisory lock of this database."""
    locks = table("pg_locks", column("locktype"), column("granted"), column("database"))
    databases = table("pg_database", column("oid"), column("datname"))
    here = select(databases.c.oid).where(databases.c.datname == func.current_database()).scalar_subquery()
    waiting = select(func.count()).where(locks.c.locktype == "advisory", ~locks.c.granted, locks.c.database == here)
    async with asyncio.timeout(10):
        while not await runner.fetch_value(waiting):  # noqa: ASYNC110 (what is awaited happens in the database)
            await asyncio.sleep(0.01)


async def add_delivery_key(runner: Runner, team_id: UUID, state: str = "active", **columns: Any) -> UUID:
    """Insert a delivery key, replaced or retired long ago if its state says so, and return its id."""
    key_id, long_ago = new_id(), datetime(2020, 1, 1, tzinfo=UTC)
    row = {"id": key_id, "team_id": team_id, "state": state, "created_at": long_ago}
    row |= {} if state == DeliveryKeyState.ACTIVE else {"verifying_at": long_ago}
    row |= {"retired_at": long_ago} if state == DeliveryKeyState.RETIRED else {}
    await _add(runner, models.delivery_key, row | columns)
    return key_id


async def add_near_duplicate(runner: Runner, team_id: UUID, image_ids: tuple[UUID, UUID], distance: int = 2) -> None:
    """Insert a near-duplicate pair."""
    first, second = sorted(image_ids)
    values = {"image_id_a": first, "image_id_b": second, "team_id": team_id, "distance": distance}
    await _add(runner, models.near_duplicate, values)


async def add_decision(runner: Runner, team_id: UUID, image_id: UUID) -> UUID:
    """Insert a decision about an image and a new one; return its id."""
    decision_id, other_id = new_id(), await add_image(runner, team_id)
    first, second = sorted((image_id, other_id))
    values = {"id": decision_id, "team_id": team_id, "image_id_a": first, "image_id_b": second}
    await _add(runner, models.duplicate_decision, values)
    return decision_id


async def add_collection(runner: Runner, team_id: UUID, image_ids: Sequence[UUID] = (), **columns: Any) -> UUID:
    """Insert a collection of these images; return its id."""
    collection_id = new_id()
    await _add(runner, models.collection, {"id": collection_id, "team_id": team_id, "name": "Norway"} | columns)
    for position, image_id in enumerate(image_ids):
        row = {"collection_id": collection_id, "image_id": image_id, "team_id": team_id, "position": position}
        await _add(runner, models.collection_member, row)
    return collection_id


async def add_saved_search(runner: Runner, team_id: UUID, query: str = "tag=fjord") -> UUID:
    """Insert a saved search; return its id."""
    search_id = new_id()
    await _add(runner, models.saved_search, {"id": search_id, "team_id": team_id, "name": "Fjords", "query": query})
    return search_id


async def add_import_source(runner: Runner, team_id: UUID, **columns: Any) -> UUID:
    """Insert an import source; return its id."""
    source_id = new_id()
    row = {"id": source_id, "team_id": team_id, "name": f"source-{source_id.hex[-12:]}", "bucket": "example-old-site"}
    await _add(runner, models.import_source, row | columns)
    return source_id


async def add_dead_letter(runner: Runner, team_id: UUID | None, **columns: Any) -> UUID:
    """Insert an open dead letter of the topic that requests processing; return its id."""
    letter_id = new_id()
    row = {
        "id": letter_id, "subscription": "image-uploads-push", "work_key": f"event {letter_id}", "team_id": team_id,
        "data": b"{}", "attributes": "{}", "size_bytes": 2, "attempts": 10,
        "source_published_at": datetime(2026, 3, 1, tzinfo=UTC),
    }  # fmt: skip
    await _add(runner, models.dead_letter, row | columns)
    return letter_id


async def add_share_link(runner: Runner, team_id: UUID, image_ids: Sequence[UUID] = (), **columns: Any) -> UUID:
    """Insert a share link of these images, or of the collection that the columns name; return its id."""
    link_id = new_id()
    row = {"id": link_id, "team_id": team_id, "token_hash": link_id.bytes * 2, "presets": ["thumb", "large"]} | columns
    await _add(runner, models.share_link, row)
    for position, image_id in enumerate(image_ids):
        shown = {"link_id": link_id, "image_id": image_id, "team_id": team_id, "position": position}
        await _add(runner, models.share_link_image, shown)
    return link_id


async def add_webhook(runner: Runner, team_id: UUID, **columns: Any) -> UUID:
    """Insert a webhook and return its id."""
    webhook_id = new_id()
    row = {
        "id": webhook_id, "team_id": team_id, "url": "https://hooks.example.com/in", "master_id": bytes(8),
        "since_xact": 0, "since_position": 0,
    }  # fmt: skip
    await _add(runner, models.webhook, row | columns)
    return webhook_id


async def add_webhook_delivery(runner: Runner, team_id: UUID, webhook_id: UUID, **columns: Any) -> UUID:
    """Insert a delivery that is due at a webhook, and return its id."""
    delivery_id = new_id()
    row = {
        "id": delivery_id, "team_id": team_id, "webhook_id": webhook_id, "event_id": new_id(),
        "event_type": "image.ready", "due_at": datetime.now(UTC),
    }  # fmt: skip
    await _add(runner, models.webhook_delivery, row | columns)
    return delivery_id


async def add_operation(runner: Runner, team_id: UUID, user_id: UUID | None = None, **columns: Any) -> UUID:
    """Insert an operation that is running, without items unless the columns say otherwise; return its id."""
    operation_id = new_id()
    row: dict[str, Any] = {
        "id": operation_id, "team_id": team_id, "user_id": user_id, "kind": "batch", "status": "running",
        "parameters": to_json({"action": "tag", "tags": ["fjord"]}), "role": "member", "scopes": ["images:write"],
    } | columns  # fmt: skip
    await _add(runner, models.operation, row)
    return operation_id
