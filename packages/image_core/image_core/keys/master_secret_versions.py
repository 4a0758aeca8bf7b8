"""Creation and rotation of a master secret, as versions of its secret in Secret Manager."""

from datetime import datetime

from sqlalchemy import func, insert, select
from sqlalchemy.engine import Connection

from image_core import secrets
from image_core.ids import new_id
from image_core.keys import master_secrets
from image_core.models import audit_event

_ACTION = "master_secret.added"
_LOCK = 7_306_301_143
_TIMEOUT_SECONDS = 30.0


def add_first(connection: Connection, secret: str) -> bool:
    """Add a first version if there is none; return whether it was added. Only one of two concurrent calls adds one.

    Raises:
        secrets.SecretNotRead: The secret cannot be read.
    """
    wait_for_others(connection)
    if secrets.latest_version(secret, _TIMEOUT_SECONDS) is not None:
        return False
    _add(connection, secret, master_secrets.generate())
    return True


def rotate(connection: Connection, secret: str) -> None:
    """Add a version with a new master in front of the current one, which services know until the next rotation.

    Raises:
        secrets.SecretNotRead: The secret cannot be read.
        ValueError: The current version is not a master secret.
    """
    wait_for_others(connection)
    present = secrets.latest_version(secret, _TIMEOUT_SECONDS)
    _add(connection, secret, master_secrets.generate_in_place_of(present) if present else master_secrets.generate())


def wait_for_others(connection: Connection) -> None:
    """Let no other command add a version until the transaction ends."""
    connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def last_added_at(connection: Connection, secret: str) -> datetime | None:
    """Return when a command last added a version; None if the audit log does not tell."""
    added = (audit_event.c.action == _ACTION) & (audit_event.c.after["secret"].astext == _name(secret))
    found: datetime | None = connection.execute(select(func.max(audit_event.c.created_at)).where(added)).scalar_one()
    return found


def _name(secret: str) -> str:
    return secret.rpartition("/")[2]


def _add(connection: Connection, secret: str, text: str) -> None:
    secrets.add_version(secret, text)
    connection.execute(
        insert(audit_event).values(
            id=new_id(), action=_ACTION, target_type="master_secret", after={"secret": _name(secret)},
        )
    )  # fmt: skip
