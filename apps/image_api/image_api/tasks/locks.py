"""Advisory locks by which a step that is started twice at once runs once, in all instances together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy import BigInteger, Text, bindparam, cast, func, select

from image_core import errors
from image_core.db import Database, Query, Transaction
from image_core.telemetry import log

_key = func.hashtextextended(bindparam("name", type_=Text), cast(0, BigInteger))
_take = Query(select(func.pg_try_advisory_lock(_key)))
_release = Query(select(func.pg_advisory_unlock(_key)))


class StepLocks:
    """The locks of one instance. All are held by one connection, which is borrowed while there are any.

    If that connection breaks, its locks are gone and a step may run twice at once: every step is safe then too, because
    it takes its rows with SKIP LOCKED.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked_for: set[str] = set()
        self._held: set[str] = set()
        self._stack = AsyncExitStack()
        self._connection: Transaction | None = None
        # A connection runs one statement at a time.
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[bool]:
        """Hold the lock of a step, or yield False while somebody else holds it.

        Raises:
            errors.DatabaseUnavailable: The lock cannot be asked for.
        """
        # The session may take its own lock again, so a step of this instance is found here.
        if name in self._asked_for:
            yield False
            return
        self._asked_for.add(name)
        try:
            is_ours = await self._take(name)
            try:
                yield is_ours
            finally:
                if is_ours:
                    await self._release(name)
        finally:
            self._asked_for.discard(name)

    async def _take(self, name: str) -> bool:
        async with self._turn:
            if self._connection is None:
                self._connection = await self._stack.enter_async_context(self._database.connection())
            try:
                taken = bool(await self._connection.fetch_value(_take, name=name))
            except Exception as error:
                await self._give_back(broken=True)
                raise errors.DatabaseUnavailable("The database does not respond. Try again.") from error
            if taken:
                self._held.add(name)
            elif not self._held:
                await self._give_back()
        return taken

    async def _release(self, name: str) -> None:
        async with self._turn:
            if name not in self._held or self._connection is None:
                return
            self._held.discard(name)
            try:
                await self._connection.fetch_value(_release, name=name)
            except Exception as error:  # noqa: BLE001 (whatever it is, the locks end with the connection)
                log("step_lock_lost", severity="WARNING", step=name, reason=type(error).__qualname__)
                await self._give_back(broken=True)
                return
            if not self._held:
                await self._give_back()

    async def _give_back(self, *, broken: bool = False) -> None:
        if broken and self._connection is not None:
            self._connection.terminate()
            self._held.clear()
        self._connection = None
        await self._stack.aclose()
