"""SQLite transactions that a full disk cannot leave open."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit the block's changes together or not at all; either way the connection can begin the next transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite itself rolls back a transaction on a full disk, but not always.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
