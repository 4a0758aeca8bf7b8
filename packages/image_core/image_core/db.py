"""Access to PostgreSQL: SQLAlchemy Core builds the SQL, asyncpg runs it, one pool holds the connections.

`Database` runs single statements in autocommit; `Database.transaction()` offers the same four methods inside one
transaction. A statement on a hot path is wrapped in a `Query`, which compiles it once, at its first use; any other Core
statement is compiled each time.

Values are passed as asyncpg takes them: `uuid.UUID`, aware `datetime`, `bytes`, lists for arrays, and JSON as text
(`to_json`), because no caller needs a JSONB column decoded before it is sent.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import orjson
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine import Engine
from sqlalchemy.sql.expression import Executable

from image_core import errors

UniqueViolation = asyncpg.UniqueViolationError
ForeignKeyViolation = asyncpg.ForeignKeyViolationError
LockNotAvailable = asyncpg.LockNotAvailableError
ServerError = asyncpg.PostgresError
REFUSED_VALUES = (
    asyncpg.DataError,
    asyncpg.CheckViolationError,
    asyncpg.NotNullViolationError,
    asyncpg.ProgramLimitExceededError,
)
"""The server rejects the values themselves, and would do so again."""

# After these errors the connection, or the server behind it, is unusable: after a failover, a connection to the standby
# answers `SELECT 1` but refuses every write (25006) for as long as the pool keeps it.
_DISCONNECT_ERRORS = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,
    # The server has closed the connection.
    asyncpg.TransactionTimeoutError,
)
# After these errors the connection is usable, and the same request may succeed a moment later.
_TRANSIENT_ERRORS = (
    TimeoutError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
)

_CANCELLATION_SECONDS = 2.0


def to_json(value: Any) -> str:
    """Return JSON text for a JSONB parameter."""
    return orjson.dumps(value).decode()


@dataclass(frozen=True)
class DatabaseConfig:
    """The address of the database and the time limits for using it.

    Either `url` (scheme `postgres` or `postgresql`) or `cloud_sql_instance` (`project:region:name`, IAM
    authentication as `user`) is set.
    """

    url: str | None = None
    cloud_sql_instance: str | None = None
    user: str | None = None
    name: str = "image_manager"
    pool_size: int = 8
    connect_timeout_seconds: float = 5.0
    acquire_timeout_seconds: float = 5.0
    statement_timeout_seconds: float = 15.0
    lock_timeout_seconds: float = 2.0
    transaction_timeout_seconds: float = 30.0


class Record(Protocol):
    """A row, with access to columns by name or position."""

    def __getitem__(self, key: str | int, /) -> Any: ...
    def keys(self) -> Iterable[str]: ...


class Query:
    """A Core statement compiled once, at its first use; values are passed by the names of its bind parameters."""

    def __init__(self, statement: Executable) -> None:
        self._statement = statement

    @cached_property
    def compiled(self) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        """The SQL with `$n` placeholders, the parameters' names in order, and the values bound in the statement."""
        return _compile(self._statement)


_dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]


def _compile(statement: Executable) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    compiled = statement.compile(dialect=_dialect)  # type: ignore[attr-defined]
    required = {name for parameter, name in compiled.bind_names.items() if parameter.required}
    known = {name: value for name, value in compiled.params.items() if name not in required}
    return str(compiled), tuple(compiled.positiontup or ()), known


def _prepare(statement: Query | Executable, values: dict[str, Any]) -> tuple[str, list[Any]]:
    sql, names, known = statement.compiled if isinstance(statement, Query) else _compile(statement)
    try:
        return sql, [values[name] if name in values else known[name] for name in names]
    except KeyError as error:
        # NULL in its place would be a limit that limits nothing, or a condition that is never true.
        raise TypeError(f"the statement's parameter {error} has no value") from None


class Runner(Protocol):
    """The four methods that run statements, in autocommit or inside a transaction."""

    async def fetch(self, statement: Query | Executable, **values: Any) -> list[Record]: ...
    async def fetch_one(self, statement: Query | Executable, **values: Any) -> Record | None: ...
    async def fetch_value(self, statement: Query | Executable, **values: Any) -> Any: ...
    async def execute(self, statement: Query | Executable, **values: Any) -> int: ...


class Transaction:
    """One open transaction. Its context manager commits it when the block ends without an error."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.recorded: list[Any] = []
        """The outbox events recorded in this transaction; `events.committing` publishes them after the commit."""
        self.on_commit: list[Callable[[], None]] = []
        """Callbacks that `events.committing` runs after the commit."""

    async def fetch(self, statement: Query | Executable, **values: Any) -> list[Record]:
        """Return all rows."""
        sql, arguments = _prepare(statement, values)
        rows: list[Record] = await self._connection.fetch(sql, *arguments)
        return rows

    async def fetch_one(self, statement: Query | Executable, **values: Any) -> Record | None:
        """Return the first row, or None."""
        sql, arguments = _prepare(statement, values)
        row: Record | None = await self._connection.fetchrow(sql, *arguments)
        return row

    async def fetch_value(self, statement: Query | Executable, **values: Any) -> Any:
        """Return the first column of the first row, or None."""
        sql, arguments = _prepare(statement, values)
        return await self._connection.fetchval(sql, *arguments)

    async def execute(self, statement: Query | Executable, **values: Any) -> int:
        """Run a statement that returns no rows; return how many rows it affected."""
        sql, arguments = _prepare(statement, values)
        tag: str = await self._connection.execute(sql, *arguments)
        return int(tag.rpartition(" ")[2])

    def terminate(self) -> None:
        """Close the connection at once, and with it what its session holds."""
        # A connection that has broken is with the pool already.
        with contextlib.suppress(asyncpg.InterfaceError):
            self._connection.terminate()

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Open a savepoint: an error inside rolls back only what was done inside."""
        async with self._connection.transaction():
            yield


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that returns to the pool without a round trip, because no session state is ever set."""

    def get_reset_query(self) -> str:
        return ""

    async def _cancel(self, *waiters: Any) -> None:
        # By default a cancellation may take as long again as the statement did, while the caller waits for both. If the
        # server does not accept it at once, the server is unreachable and the connection is useless.
        async with asyncio.timeout(_CANCELLATION_SECONDS) as timeout:
            await super()._cancel(*waiters)
        if timeout.expired():
            self.terminate()


class Database:
    """The connection pool. `open()` needs no running server: connections are made on demand."""

    def __init__(self, config: DatabaseConfig) -> None:
        self._config = config
        self._pool: Any = None
        self._connector: Any = None

    async def open(self) -> None:
        """Open the pool. Must run in the event loop that will use it."""
        config = self._config
        connect_kwargs: dict[str, Any] = {
            "timeout": config.connect_timeout_seconds,
            "command_timeout": config.statement_timeout_seconds + 2,
            "server_settings": {
                "statement_timeout": str(int(config.statement_timeout_seconds * 1000)),
                "lock_timeout": str(int(config.lock_timeout_seconds * 1000)),
                # An open transaction that has written holds up the feed of everybody.
                "transaction_timeout": str(int(config.transaction_timeout_seconds * 1000)),
                # Room for an exact bitmap of a few hundred thousand images: with a lossy one, the terms of each image
                # would be recomputed.
                "work_mem": "16MB",
                # A vector search continues until it has found enough rows of the team.
                "hnsw.iterative_scan": "relaxed_order",
                "hnsw.ef_search": "100",
            },
        }
        if config.url is not None:
            connect_kwargs["dsn"] = _plain_url(config.url)
        else:
            connect_kwargs["connect"] = await self._connect_through_connector()
        self._pool = asyncpg.create_pool(
            min_size=0,
            max_size=config.pool_size,
            max_inactive_connection_lifetime=120,
            connection_class=_Connection,
            **connect_kwargs,
        )
        await self._pool

    async def _connect_through_connector(self) -> Any:
        from google.cloud.sql.connector import Connector, IPTypes

        # A background refresh of the certificate stalls while the CPU is throttled; a lazy one does not.
        self._connector = Connector(loop=asyncio.get_running_loop(), refresh_strategy="lazy")

        async def connect(*_: Any, **kwargs: Any) -> Any:
            kwargs.pop("loop", None)
            return await self._connector.connect_async(
                self._config.cloud_sql_instance,
                "asyncpg",
                user=self._config.user,
                db=self._config.name,
                enable_iam_auth=True,
                ip_type=IPTypes.PRIVATE,
                **kwargs,
            )

        return connect

    async def close(self) -> None:
        """Wait briefly for borrowed connections, then close all of them."""
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), timeout=3)
            except (TimeoutError, *_DISCONNECT_ERRORS):
                self._pool.terminate()
        if self._connector is not None:
            await self._connector.close_async()

    @property
    def connections(self) -> int:
        """Return the number of open connections."""
        size: int = self._pool.get_size()
        return size

    async def fetch(self, statement: Query | Executable, **values: Any) -> list[Record]:
        """Return all rows of a read in autocommit; retry once if the connection turned out to be dead."""
        sql, arguments = _prepare(statement, values)
        try:
            return await self._fetch(sql, arguments)
        except errors.DatabaseUnavailable as error:
            if not _is_disconnect(error.__cause__):
                raise
        return await self._fetch(sql, arguments)

    async def _fetch(self, sql: str, arguments: list[Any]) -> list[Record]:
        try:
            async with self._pool.acquire(timeout=self._acquire_timeout()) as connection:
                rows: list[Record] = await connection.fetch(sql, *arguments)
                return rows
        except (*_TRANSIENT_ERRORS, *_DISCONNECT_ERRORS) as error:
            raise await self._unavailable(error) from error

    def _acquire_timeout(self) -> float | None:
        """Return the timeout for acquiring a connection; None if one is idle, as a timeout costs as much as a query."""
        return None if self._pool.get_idle_size() else self._config.acquire_timeout_seconds

    async def _unavailable(self, error: BaseException) -> errors.DatabaseUnavailable:
        if _is_disconnect(error):
            # All connections of the pool are suspect, not only this one.
            await self._pool.expire_connections()
            return errors.DatabaseUnavailable("The database does not respond. Try again.")
        return errors.DatabaseUnavailable("The database is busy. Try again.")

    async def fetch_one(self, statement: Query | Executable, **values: Any) -> Record | None:
        """Return the first row of a read, or None."""
        rows = await self.fetch(statement, **values)
        return rows[0] if rows else None

    async def fetch_value(self, statement: Query | Executable, **values: Any) -> Any:
        """Return the first column of the first row of a read, or None."""
        row = await self.fetch_one(statement, **values)
        return None if row is None else row[0]

    async def execute(self, statement: Query | Executable, **values: Any) -> int:
        """Run one statement as its own transaction, without a retry; return how many rows it affected."""
        async with self.connection() as connection:
            return await connection.execute(statement, **values)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Transaction]:
        """Borrow a connection in autocommit.

        Raises:
            errors.DatabaseUnavailable: No connection was free in time, or the server is unreachable.
        """
        try:
            async with self._pool.acquire(timeout=self._acquire_timeout()) as connection:
                yield Transaction(connection)
        except (*_TRANSIENT_ERRORS, *_DISCONNECT_ERRORS) as error:
            raise await self._unavailable(error) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction that commits when the block ends without an error and rolls back otherwise.

        Raises:
            errors.DatabaseUnavailable: No connection was free in time, or the server is unreachable.
        """
        async with self.connection() as autocommit, autocommit.savepoint():
            yield autocommit


def _is_disconnect(error: BaseException | None) -> bool:
    return isinstance(error, _DISCONNECT_ERRORS) and not isinstance(error, _TRANSIENT_ERRORS)


def _plain_url(url: str) -> str:
    """Return the URL with the scheme that PostgreSQL's own clients accept."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme="postgresql"))


def migration_engine(config: DatabaseConfig) -> Engine:
    """Create a synchronous engine on pg8000, for Alembic and admin commands."""
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.pool import NullPool

    if config.url is not None:
        url = make_url(_plain_url(config.url)).set(drivername="postgresql+pg8000")
        return create_engine(url, poolclass=NullPool)
    from google.cloud.sql.connector import Connector, IPTypes

    connector = Connector(refresh_strategy="lazy")

    def connect() -> Any:
        return connector.connect(
            str(config.cloud_sql_instance),
            "pg8000",
            user=config.user,
            db=config.name,
            enable_iam_auth=True,
            ip_type=IPTypes.PRIVATE,
        )

    return create_engine("postgresql+pg8000://", creator=connect, poolclass=NullPool)
