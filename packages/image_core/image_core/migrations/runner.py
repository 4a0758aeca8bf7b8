"""Run Alembic under an advisory lock, with bounded waits for locks and statements."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.engine import Engine

_LOCK = 0x696D_6167_65  # "image": concurrent migrations wait for each other here
_POLL_SECONDS = 0.2


@contextmanager
def _connected(engine: Engine) -> Iterator[Config]:
    with engine.connect() as connection:
        _wait_for_turn(connection)
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        yield config


def _wait_for_turn(connection: Connection) -> None:
    # Waiting inside a statement would keep a snapshot open, for which an index built concurrently would wait in turn.
    while not connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK}).scalar_one():
        connection.rollback()
        time.sleep(_POLL_SECONDS)
    # In Cloud SQL an IAM user is a member of this role, but the right to create roles is not inherited: the role has to
    # be set explicitly. Elsewhere the role does not exist.
    if connection.execute(
        text("SELECT 1 FROM pg_roles WHERE rolname = 'cloudsqlsuperuser' AND pg_has_role(current_user, oid, 'SET')")
    ).scalar_one_or_none():
        connection.execute(text("SET ROLE cloudsqlsuperuser"))
    # A migration that cannot get its lock soon gives up and does not hold up the requests behind it.
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.execute(text("SET statement_timeout = '15min'"))
    connection.commit()


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Upgrade the schema to `revision`; safe to run twice concurrently."""
    with _connected(engine) as config:
        command.upgrade(config, revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Downgrade the schema to `revision`. Roles stay, because they belong to the whole server."""
    with _connected(engine) as config:
        command.downgrade(config, revision)


def autogenerate(engine: Engine, message: str, revision: str) -> None:
    """Write the next revision from the difference between the models and the database."""
    with _connected(engine) as config:
        command.revision(config, message, autogenerate=True, rev_id=revision)
