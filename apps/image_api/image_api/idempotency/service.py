"""The rules of idempotent requests.

If one transaction does all the work, the key is a lock of that transaction, and the response is stored in it: either
both are committed or neither. Operations that commit in steps hold a claim with a lease instead, and must be
repeatable: the process renews the lease while it works, and the claim expires if it dies. Only successful responses are
stored: a failed request has changed nothing, so it may be retried with its key.
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
"""How long a key stays in use after its process has died."""
RENEWAL_SECONDS = 10.0
RETRY_SECONDS = 0.5
_WRITE_TIMEOUT_SECONDS = 1.0
MAX_ANSWER_BYTES = 256 * 1024
"""Longer responses are not stored; responses of operations that create one thing are far shorter."""

_KEY = re.compile(r'[!#-~][!-~]{0,254}|"((?:[!#-\[\]-~]|\\["\\])+)"')


class Answer(NamedTuple):
    """A stored response."""

    status: int
    headers: dict[str, str]
    body: bytes


class Replayed(Exception):
    """The request has been answered before."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


@dataclass(frozen=True)
class RequestIdentity:
    """The identity of a request: caller, key, and a digest of everything but the content."""

    user_id: UUID
    key: str
    digest: bytes

    @classmethod
    def from_request(cls, actor: Actor, headers: Sequence[str], target: Iterable[str]) -> Self:
        """Build the identity of a request; `target` names the operation: method, path, query.

        The caller's rights are included, so that a replay never reveals what the caller may no longer see.

        Raises:
            errors.RequestInvalid: The key is malformed.
        """
        description = "\n".join([*target, actor.role, *sorted(actor.scopes)])
        return cls(actor.user_id, parse_key(headers), hashlib.sha256(description.encode()).digest())

    def fingerprint(self, content: bytes) -> bytes:
        """Return the digest of the whole request."""
        return hashlib.sha256(self.digest + hashlib.sha256(content).digest()).digest()


def parse_key(headers: Sequence[str]) -> str:
    """Return the key in a single header, bare or as a quoted string.

    Raises:
        errors.RequestInvalid: There are several headers, or the key is malformed.
    """
    found = _KEY.fullmatch(headers[0]) if len(headers) == 1 else None
    key = "" if found is None else re.sub(r"\\(.)", r"\1", found[1]) if found[1] else found[0]
    if not 1 <= len(key) <= 255:
        message = "Send one key of 1 to 255 visible ASCII characters, such as a UUID."
        raise errors.invalid_fields([{"field": HEADER, "code": "idempotency-key-invalid", "message": message}])
    return key


def _stored_answer(row: Record, fingerprint: bytes) -> Answer:
    """Return the response in a row.

    Raises:
        errors.IdempotencyKeyInUse: A request with this Idempotency-Key is still in progress.
        errors.IdempotencyKeyReused: Another request was sent with this Idempotency-Key.
    """
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
    """A request with a key that has no response yet."""

    async def store(self, answer: Answer) -> None: ...
    async def release(self) -> None: ...


@dataclass(frozen=True)
class Creation:
    """Work within one transaction, which holds the key."""

    runner: Transaction
    identity: RequestIdentity
    fingerprint: bytes

    @classmethod
    async def take_key(cls, transaction: Transaction, identity: RequestIdentity, content: bytes) -> Self:
        """Lock the key.

        Raises:
            Replayed: The request was answered before.
            errors.IdempotencyKeyInUse: A request with this key is in progress.
            errors.IdempotencyKeyReused: The key was used for another request.
        """
        fingerprint = identity.fingerprint(content)
        # Only a statement that starts after the lock was taken sees what the last holder has committed.
        if not await queries.lock(transaction, identity.user_id, identity.key):
            raise errors.IdempotencyKeyInUse(
                "The first request with this key is still in progress. Try again in a moment."
            )
        if row := await queries.find(transaction, identity.user_id, identity.key):
            raise Replayed(_stored_answer(row, fingerprint))
        return cls(transaction, identity, fingerprint)

    async def store(self, answer: Answer) -> None:
        """Store the response, to be committed with the work.

        Raises:
            errors.IdempotencyKeyInUse: A request with this Idempotency-Key is still in progress.
            errors.KeyInvalid: The user was removed.
        """
        columns = _columns(self.fingerprint, answer)
        try:
            added = await queries.add_answer(self.runner, self.identity.user_id, self.identity.key, **columns)
        except ForeignKeyViolation as error:
            raise errors.KeyInvalid("The user of this request has just been removed.") from error
        if not added:
            raise errors.IdempotencyKeyInUse("Another upload with this key has started. Try again in a moment.")

    async def release(self) -> None:
        """Do nothing: the transaction is rolled back."""


@dataclass
class KeyClaim:
    """Work in steps that commit separately, under a lease that is renewed while the process works.

    `stored` is the response found under the key if only the content, which is yet to arrive, can confirm a replay.
    """

    database: Database
    background: BackgroundWork
    identity: RequestIdentity
    token: UUID
    fingerprint: bytes | None
    stored: Record | None = None
    _renewal: "asyncio.Task[None] | None" = None

    @classmethod
    async def take_key(
        cls, database: Database, background: BackgroundWork, identity: RequestIdentity, content: bytes | None
    ) -> Self:
        """Commit a claim. If the content has not arrived yet, pass None and call `compare` later.

        Raises:
            Replayed: The request was answered before.
            errors.IdempotencyKeyInUse: A request with this key is in progress.
            errors.IdempotencyKeyReused: The key was used for another request.
            errors.KeyInvalid: The user was removed.
        """
        token = new_id()
        claim = cls(database, background, identity, token, None if content is None else identity.fingerprint(content))
        try:
            taken = await queries.claim(
                database, identity.user_id, identity.key, token=token, lease=LEASE, retention=RETENTION
            )
        except ForeignKeyViolation as error:
            raise errors.KeyInvalid("The user of this request has just been removed.") from error
        except errors.DatabaseUnavailable:
            # The claim may have been committed although the response was lost.
            background.start(claim._retry(claim._drop))
            raise
        if taken:
            claim._renewal = background.start(claim._renew())
        else:
            claim.stored = await queries.find(database, identity.user_id, identity.key)
            if claim.stored is None or claim.stored["status"] is None:
                raise errors.IdempotencyKeyInUse(
                    "The first request with this key is still in progress. Try again in a moment."
                )
            if claim.fingerprint is not None:
                raise Replayed(_stored_answer(claim.stored, claim.fingerprint))
        return claim

    def compare(self, content: bytes) -> None:
        """Compare the content once it has arrived.

        Raises:
            Replayed: The request was answered before.
            errors.IdempotencyKeyReused: The key was used for another request.
        """
        self.fingerprint = self.identity.fingerprint(content)
        if self.stored is not None:
            raise Replayed(_stored_answer(self.stored, self.fingerprint))

    async def store(self, answer: Answer) -> None:
        """Commit the response; if the database is unavailable, as soon as it is back. The work is already done."""

        async def write() -> None:
            await queries.answer_claim(
                self.database,
                self.identity.user_id,
                self.identity.key,
                self.token,
                **_columns(self.fingerprint, answer),
            )

        self._stop_renewal()
        await self._write_or_retry(write)

    async def release(self) -> None:
        """Remove the claim; if the database is unavailable, as soon as it is back."""
        self._stop_renewal()
        await self._write_or_retry(self._drop)

    async def _drop(self) -> None:
        await queries.drop_claim(self.database, self.identity.user_id, self.identity.key, self.token)

    async def _write_or_retry(self, write: Callable[[], Awaitable[None]]) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(_WRITE_TIMEOUT_SECONDS):
            try:
                await write()
            except errors.DatabaseUnavailable:
                pass
            else:
                return
        log("idempotency_key_left_in_use", severity="WARNING")
        self.background.start(self._retry(write))

    async def _retry(self, write: Callable[[], Awaitable[None]]) -> None:
        """Retry until it succeeds, or until the lease has expired anyway."""
        ends_at = time.monotonic() + LEASE.total_seconds()
        while time.monotonic() < ends_at:
            await asyncio.sleep(RETRY_SECONDS)
            with suppress(errors.DatabaseUnavailable):
                await write()
                return

    async def _renew(self) -> None:
        """Renew the lease until the request ends."""
        pause, renewed = RENEWAL_SECONDS, True
        while renewed:
            await asyncio.sleep(pause)
            try:
                renewed = await queries.renew(
                    self.database, self.identity.user_id, self.identity.key, self.token, LEASE
                )
                pause = RENEWAL_SECONDS
            except errors.DatabaseUnavailable:
                pause = RETRY_SECONDS

    def _stop_renewal(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
