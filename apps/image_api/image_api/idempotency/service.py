"""The rules of requests that may be sent again.

Where one transaction does all the work, the key is a lock of that transaction, and the answer is written in it: there
are both or none. Steps that commit on their own work under a claim with a lease instead, and must bear being done
again: the process renews the lease while it works, and when it dies, the claim lapses. Only success is kept: an error
has changed nothing, so the request may be tried again under its key.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, Protocol, Self
from uuid import UUID

import anyio
import orjson

from image_api.actor import Actor
from image_api.idempotency import queries
from image_api.server.background_work import BackgroundWork
from image_core import errors
from image_core.db import Database, ForeignKeyViolation, Record, Transaction, to_json
from image_core.ids import new_id
from image_core.telemetry import log

HEADER = "Idempotency-Key"
RETENTION = timedelta(hours=24)
LEASE = timedelta(seconds=30)
"""How long a key stays in use after a process has died with it."""
RENEWAL_SECONDS = 10.0
RETRY_SECONDS = 0.5
_PATIENCE_SECONDS = 1.0
MAX_ANSWER_BYTES = 256 * 1024
"""Longer answers are not kept; nothing that creates one thing comes near it."""

_KEY = re.compile(r'[!#-~][!-~]{0,254}|"((?:[!#-\[\]-~]|\\["\\])+)"')


class Answer(NamedTuple):
    """An answer as it can be given again."""

    status: int
    headers: dict[str, str]
    body: bytes


class Replayed(Exception):
    """The request has been answered before."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


@dataclass(frozen=True)
class Asked:
    """Who asks for what under which key; the content, which may still be on its way, aside."""

    user_id: UUID
    key: str
    digest: bytes

    @classmethod
    def of(cls, actor: Actor, headers: Sequence[str], target: Iterable[str]) -> Self:
        """`target` is what names the operation: method, path, query. Raises `errors.RequestInvalid`.

        The caller's rights count as well: nobody reads by repeating what they could not do any more.
        """
        told = "\n".join([*target, actor.role, *sorted(actor.scopes)])
        return cls(actor.user_id, parse_key(headers), hashlib.sha256(told.encode()).digest())

    def fingerprint(self, content: bytes) -> bytes:
        """The digest of the whole request."""
        return hashlib.sha256(self.digest + hashlib.sha256(content).digest()).digest()


def parse_key(headers: Sequence[str]) -> str:
    """The key that one header names, bare or as a quoted string. Raises `errors.RequestInvalid`."""
    found = _KEY.fullmatch(headers[0]) if len(headers) == 1 else None
    key = "" if found is None else re.sub(r"\\(.)", r"\1", found[1]) if found[1] else found[0]
    if not 1 <= len(key) <= 255:
        message = "Send one key of 1 to 255 visible ASCII characters, such as a UUID."
        raise errors.invalid_fields([{"field": HEADER, "code": "idempotency-key-invalid", "message": message}])
    return key


def _answer_of(row: Record, fingerprint: bytes) -> Answer:
    """The answer in a row. Raises `errors.IdempotencyKeyInUse`, `errors.IdempotencyKeyReused`."""
    if row["status"] is None:
        raise errors.IdempotencyKeyInUse("The first request with this key is still in progress. Try again in a moment.")
    if row["fingerprint"] != fingerprint:
        raise errors.IdempotencyKeyReused("This key was used for another request. Use a new key for each request.")
    return Answer(row["status"], orjson.loads(row["headers"]), row["body"])


def _columns(fingerprint: bytes | None, answer: Answer) -> dict[str, Any]:
    return {
        "digest": fingerprint,
        "answer_status": answer.status,
        "answer_headers": to_json(answer.headers),
        "answer_body": answer.body,
        "retention": RETENTION,
    }


class Attempt(Protocol):
    """A request under a key that has not been answered yet."""

    async def keep(self, answer: Answer) -> None: ...
    async def let_go(self) -> None: ...


@dataclass(frozen=True)
class Creation:
    """The work of one transaction, which holds the key."""

    runner: Transaction
    asked: Asked
    fingerprint: bytes

    @classmethod
    async def take_key(cls, transaction: Transaction, asked: Asked, content: bytes) -> Self:
        """Takes the key. Raises `Replayed`, `errors.IdempotencyKeyInUse`, `errors.IdempotencyKeyReused`."""
        fingerprint = asked.fingerprint(content)
        # Only a statement that begins after the lock was taken sees what its last holder has committed.
        if not await queries.lock(transaction, asked.user_id, asked.key):
            raise errors.IdempotencyKeyInUse(
                "The first request with this key is still in progress. Try again in a moment."
            )
        if row := await queries.find(transaction, asked.user_id, asked.key):
            raise Replayed(_answer_of(row, fingerprint))
        return cls(transaction, asked, fingerprint)

    async def keep(self, answer: Answer) -> None:
        """Writes the answer, to be committed with the work.

        Raises `errors.IdempotencyKeyInUse`, `errors.KeyInvalid`.
        """
        columns = _columns(self.fingerprint, answer)
        try:
            added = await queries.add_answer(self.runner, self.asked.user_id, self.asked.key, **columns)
        except ForeignKeyViolation as error:
            raise errors.KeyInvalid("The user of this request has just been removed.") from error
        if not added:
            raise errors.IdempotencyKeyInUse("Another upload with this key has started. Try again in a moment.")

    async def let_go(self) -> None:
        """Nothing: the transaction is rolled back."""


@dataclass
class Claim:
    """Work in steps that commit on their own, under a lease that is renewed as long as the process works.

    `first` is what was answered before, where the content is to show.
    """

    database: Database
    background: BackgroundWork
    asked: Asked
    token: UUID
    fingerprint: bytes | None
    first: Record | None = None
    _renewal: "asyncio.Task[None] | None" = None

    @classmethod
    async def take_key(
        cls, database: Database, background: BackgroundWork, asked: Asked, content: bytes | None
    ) -> Self:
        """Commits a claim. `content` is None while it is on its way: `compare` is to be called with it.

        Raises `Replayed`, `errors.IdempotencyKeyInUse`, `errors.IdempotencyKeyReused`, `errors.KeyInvalid`.
        """
        token = new_id()
        claim = cls(database, background, asked, token, None if content is None else asked.fingerprint(content))
        try:
            taken = await queries.claim(
                database, asked.user_id, asked.key, token=token, lease=LEASE, retention=RETENTION
            )
        except ForeignKeyViolation as error:
            raise errors.KeyInvalid("The user of this request has just been removed.") from error
        except errors.DatabaseUnavailable:
            # It may be there although nobody was told.
            background.start(claim._repeat(claim._drop))
            raise
        if taken:
            claim._renewal = background.start(claim._renew())
        else:
            claim.first = await queries.find(database, asked.user_id, asked.key)
            if claim.first is None or claim.first["status"] is None:
                raise errors.IdempotencyKeyInUse(
                    "The first request with this key is still in progress. Try again in a moment."
                )
            if claim.fingerprint is not None:
                raise Replayed(_answer_of(claim.first, claim.fingerprint))
        return claim

    def compare(self, content: bytes) -> None:
        """Takes what has arrived. Raises `Replayed`, `errors.IdempotencyKeyReused` if the key was answered before."""
        self.fingerprint = self.asked.fingerprint(content)
        if self.first is not None:
            raise Replayed(_answer_of(self.first, self.fingerprint))

    async def keep(self, answer: Answer) -> None:
        """Commits the answer; without a database as soon as it is back. The work is done already."""

        async def write() -> None:
            await queries.answer_claim(
                self.database, self.asked.user_id, self.asked.key, self.token, **_columns(self.fingerprint, answer)
            )

        self._stop_renewal()
        await self._now_or_later(write)

    async def let_go(self) -> None:
        """Removes the claim, whatever ended the work; without a database as soon as it is back."""
        self._stop_renewal()
        await self._now_or_later(self._drop)

    async def _drop(self) -> None:
        await queries.drop_claim(self.database, self.asked.user_id, self.asked.key, self.token)

    async def _now_or_later(self, write: Callable[[], Awaitable[None]]) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(_PATIENCE_SECONDS):
            try:
                await write()
            except errors.DatabaseUnavailable:
                pass
            else:
                return
        log("idempotency_key_left_in_use", severity="WARNING")
        self.background.start(self._repeat(write))

    async def _repeat(self, write: Callable[[], Awaitable[None]]) -> None:
        """Tries until it succeeds, or until the lease is over in any case."""
        ends_at = time.monotonic() + LEASE.total_seconds()
        while time.monotonic() < ends_at:
            await asyncio.sleep(RETRY_SECONDS)
            with suppress(errors.DatabaseUnavailable):
                await write()
                return

    async def _renew(self) -> None:
        """Keeps the lease from lapsing until the request is over; a process that died renews nothing."""
        pause, renewed = RENEWAL_SECONDS, True
        while renewed:
            await asyncio.sleep(pause)
            try:
                renewed = await queries.renew(self.database, self.asked.user_id, self.asked.key, self.token, LEASE)
                pause = RENEWAL_SECONDS
            except errors.DatabaseUnavailable:
                pause = RETRY_SECONDS

    def _stop_renewal(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
