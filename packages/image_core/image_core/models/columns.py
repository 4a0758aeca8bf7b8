"""Building blocks of the tables: the metadata with its naming conventions, and common columns."""

from sqlalchemy import Column, DateTime, MetaData, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


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
