"""Building blocks of the tables: the metadata with its naming conventions, and common columns."""

from typing import Any

from sqlalchemy import Column, DateTime, MetaData, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


class Xid8(UserDefinedType[int]):
    """PostgreSQL's id of a transaction, in 64 bits: it is never used twice."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the type's name in SQL."""
        return "xid8"


class PgSnapshot(UserDefinedType[object]):
    """PostgreSQL's snapshot: which transactions had ended when it was taken."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the type's name in SQL."""
        return "pg_snapshot"


ischema_names |= {"xid8": Xid8, "pg_snapshot": PgSnapshot}


def one_of(column: str, values: tuple[str, ...]) -> str:
    """Return a check that a column holds one of these texts."""
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


def id_column() -> Column:  # type: ignore[type-arg]
    """Return the primary key column, a UUIDv7."""
    return Column("id", Uuid, primary_key=True)


def time_column(name: str, *, nullable: bool = True) -> Column:  # type: ignore[type-arg]
    """Return a timestamp column; it defaults to now unless it is nullable."""
    default = None if nullable else text("now()")
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=default)


def deadline_column(name: str) -> Column:  # type: ignore[type-arg]
    """Return a timestamp column without a default."""
    return Column(name, DateTime(timezone=True), nullable=False)


def array_column(name: str) -> Column:  # type: ignore[type-arg]
    """Return a text array column, empty by default."""
    return Column(name, ARRAY(Text), nullable=False, server_default=text("'{}'"))
