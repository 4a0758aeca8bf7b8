"""Creation and rotation of the keys that sign access tokens, as versions of their secret."""

from datetime import timedelta

from sqlalchemy import exists, func, insert, select
from sqlalchemy.engine import Connection

from image_core import secrets
from image_core.ids import new_id
from image_core.keys import signing_keys
from image_core.keys.signing_keys import SigningKey
from image_core.models import audit_event

_ACTION = "signing_key.added"
_LOCK = 7_306_301_142
_TIMEOUT_SECONDS = 30.0
# Instances sign with the previous key for up to five more minutes, and its tokens are valid for fifteen.
_OLD_TOKENS_LIVE = timedelta(minutes=20)


def add_first(connection: Connection, secret: str) -> bool:
    """Add a first version if there is none; return whether it was added. Only one of two concurrent calls adds one.

    Raises:
        secrets.SecretNotRead: The secret cannot be read.
    """
    _wait_for_others(connection)
    if secrets.latest_version(secret, _TIMEOUT_SECONDS) is not None:
        return False
    _add(connection, secret, [signing_keys.generate()])
    return True


def rotate(connection: Connection, secret: str, *, force: bool) -> bool:
    """Add a version with a new key in front of the current one; return whether it was added.

    Without `force`, nothing is added while tokens of a key that would be dropped may still be valid.

    Raises:
        secrets.SecretNotRead: The secret cannot be read.
        ValueError: The current version is not a key set.
    """
    _wait_for_others(connection)
    if not force and _old_tokens_may_live(connection):
        return False
    present = secrets.latest_version(secret, _TIMEOUT_SECONDS)
    _add(connection, secret, signing_keys.with_new_key(signing_keys.from_text(present) if present else []))
    return True


def _wait_for_others(connection: Connection) -> None:
    connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def _old_tokens_may_live(connection: Connection) -> bool:
    recent = (audit_event.c.action == _ACTION) & (audit_event.c.created_at > func.now() - _OLD_TOKENS_LIVE)
    return bool(connection.execute(select(exists().where(recent))).scalar_one())


def _add(connection: Connection, secret: str, keys: list[SigningKey]) -> None:
    secrets.add_version(secret, signing_keys.to_text(keys))
    connection.execute(
        insert(audit_event).values(id=new_id(), action=_ACTION, target_type="signing_key", after={"kid": keys[0].kid})
    )
