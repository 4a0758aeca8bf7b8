"""Indexes that are built while requests go on."""

from alembic import op
from sqlalchemy import text

_LOCK_TIMEOUT, _STATEMENT_TIMEOUT = "10min", "2h"


def create_concurrently(indexes: dict[str, str], *, unique: bool = False) -> None:
    """Create indexes by name, each from the rest of its definition (`ON table …`), outside the transaction.

    A revision that uses this does nothing else: what it has done so far is committed, and it can be run again after
    an interruption. An index that is already there is kept; one that an interruption left invalid is built anew.
    """
    context = op.get_context()
    with context.autocommit_block():
        # pg8000 began a transaction when Alembic asked for the isolation level, before it was told not to.
        op.execute("COMMIT")
        # It waits for transactions that began before, but holds up nobody meanwhile.
        with_timeouts = {"lock_timeout": _LOCK_TIMEOUT, "statement_timeout": _STATEMENT_TIMEOUT}
        before = {name: op.get_bind().execute(text(f"SHOW {name}")).scalar_one() for name in with_timeouts}
        for name, value in with_timeouts.items():
            op.execute(f"SET {name} = '{value}'")
        for name, definition in indexes.items():
            _create(name, definition, "UNIQUE INDEX" if unique else "INDEX")
        for name, value in before.items():
            op.execute(f"SET {name} = '{value}'")


def _create(name: str, definition: str, kind: str) -> None:
    found = op.get_bind().execute(
        text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"), {"name": name}
    )
    is_valid = found.scalar_one_or_none()
    if is_valid:
        return
    if is_valid is not None:
        op.execute(f"DROP INDEX CONCURRENTLY {name}")
    op.execute(f"CREATE {kind} CONCURRENTLY {name} {definition}")
