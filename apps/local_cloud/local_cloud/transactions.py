"""Transactions in SQLite that a full disk cannot leave open."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what happens inside together, or nothing of it; either way the connection can begin the next one."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite itself ends a transaction that found the disk full, but not always.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
