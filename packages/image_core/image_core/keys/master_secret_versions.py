"""Creation and rotation of a master secret, as versions of its secret in Secret Manager."""

from sqlalchemy import func, insert, select
from sqlalchemy.engine import Connection

from image_core import secrets
from image_core.ids import new_id
from image_core.keys import master_secrets
from image_core.models import audit_event

_LOCK = 7_306_301_143
_TIMEOUT_SECONDS = 30.0


def add_first(connection: Connection, secret: str) -> bool:
    """Add a first version if there is none; return whether it was added. Only one of two concurrent calls adds one.

    Raises:
        secrets.SecretNotRead: The secret cannot be read.
    """
    _wait_for_others(connection)
    if secrets.latest_version(secret, _TIMEOUT_SECONDS) is not None:
        return False
    _add(connection, secret, master_secrets.generate())
    return True


def rotate(connection: Connection, secret: str) -> None:
    """Add a version with a new master in front of the current one, of which only `resign` makes use from then on.

    Raises:
        secrets.SecretNotRead: The secret cannot be read.
        ValueError: The current version is not a master secret.
    """
    _wait_for_others(connection)
    present = secrets.latest_version(secret, _TIMEOUT_SECONDS)
    _add(connection, secret, master_secrets.generate_in_place_of(present) if present else master_secrets.generate())


def _wait_for_others(connection: Connection) -> None:
    connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def _add(connection: Connection, secret: str, text: str) -> None:
    secrets.add_version(secret, text)
    connection.execute(
        insert(audit_event).values(
            id=new_id(), action="master_secret.added", target_type="master_secret",
            after={"secret": secret.rpartition("/")[2]},
        )
    )  # fmt: skip
