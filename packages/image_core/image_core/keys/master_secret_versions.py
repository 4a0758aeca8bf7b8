"""Creation of a master secret, as the first version of its secret in Secret Manager."""

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
    connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    if secrets.latest_version(secret, _TIMEOUT_SECONDS) is not None:
        return False
    secrets.add_version(secret, master_secrets.generate())
    connection.execute(
        insert(audit_event).values(
            id=new_id(), action="master_secret.added", target_type="master_secret",
            after={"secret": secret.rpartition("/")[2]},
        )
    )  # fmt: skip
    return True
