"""The commands that replace secrets from which everything else is signed."""

from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from sqlalchemy import and_, func, or_, select
from sqlalchemy.engine import Connection, Engine

from image_core.models import image, upload_session, webhook
from image_core.states import ImageStatus

# Until then, instances encrypt with the master before.
_UNTIL_EVERYWHERE = timedelta(minutes=5)
_READ_SECONDS = 30.0


def rotate_signing_key(engine: Engine, secret: str | None, *, force: bool) -> None:
    """Add a new key for access tokens in front of the current one; `force` skips the minimum interval."""
    from image_core.keys import signing_key_versions

    if not secret:
        raise SystemExit("Set TOKEN_SIGNING_SECRET.")
    with engine.begin() as connection:
        added = signing_key_versions.rotate(connection, secret, force=force)
    if added:
        print(f"{secret} has a new key. Every instance signs with it within five minutes.")
    else:
        print(
            "A key was added less than 20 minutes ago. Nothing was changed. --force ends tokens of the key before it."
        )


def rotate_delivery_master(engine: Engine, secret: str | None, *, force: bool) -> None:
    """Replace the master secret of delivery addresses, which ends all addresses signed so far."""
    from image_core.keys import master_secret_versions

    if not secret:
        raise SystemExit("Set DELIVERY_MASTER_SECRET.")
    if not force:
        raise SystemExit(
            "Every delivery address of every team would end. Nothing was changed. If the master secret leaked, use"
            " --force. For the key of one team, use POST /api/v1/delivery-keys/{delivery_key_id}/rotate."
        )
    with engine.begin() as connection:
        master_secret_versions.rotate(connection, secret)
    print(f"{secret} has a new master. Every instance uses it within five minutes.")


def rotate_upload_session_master(engine: Engine, secret: str | None, *, force: bool) -> None:
    """Replace the master secret of direct uploads; `force` also while addresses of the one before are in use."""
    from image_core.keys import master_secret_versions

    if not secret:
        raise SystemExit("Set UPLOAD_SESSION_MASTER_SECRET.")
    with engine.begin() as connection:
        master_secret_versions.wait_for_others(connection)
        forgotten = _uploads_of_the_master_before(connection, secret)
        if forgotten and not force:
            raise SystemExit(
                f"{forgotten} open uploads were opened with the master secret before the current one. After a rotation,"
                " nobody could see their progress or cancel them in storage. Nothing was changed. Rotate when they have"
                " ended, or use --force."
            )
        master_secret_versions.rotate(connection, secret)
    print(f"{secret} has a new master. Every instance uses it within five minutes. Open uploads go on.")


def _uploads_of_the_master_before(connection: Connection, secret: str) -> int:
    """Return how many uploads wait for bytes whose addresses were encrypted before the last rotation."""
    from image_core.keys import master_secret_versions

    rotated_at = master_secret_versions.last_added_at(connection, secret)
    if rotated_at is None:
        return 0
    waiting = (
        select(func.count())
        .select_from(upload_session)
        .join(image)
        .where(
            upload_session.c.address.is_not(None), image.c.status == ImageStatus.PENDING,
            image.c.created_at < rotated_at + _UNTIL_EVERYWHERE,
        )
    )  # fmt: skip
    return int(connection.execute(waiting).scalar_one())


def rotate_webhook_master(engine: Engine, secret: str | None, *, force: bool) -> None:
    """Replace the master secret of webhooks; `force` also while secrets of the one before are in use."""
    from image_core.keys import master_secret_versions

    if not secret:
        raise SystemExit("Set WEBHOOK_MASTER_SECRET.")
    with engine.begin() as connection:
        master_secret_versions.wait_for_others(connection)
        lost = _webhooks_of_the_master_before(connection, secret)
        if lost and not force:
            raise SystemExit(
                f"{lost} webhooks sign with a secret that comes from the master secret before the current one. After a"
                " rotation, nothing could be sent to them. Nothing was changed. Rotate their secrets first (POST"
                " /api/v1/webhooks/{webhook_id}/rotate-secret) and wait for the end of their grace periods, or use"
                " --force."
            )
        if not force and _was_just_rotated(connection, secret):
            raise SystemExit(
                "The master secret was rotated less than ten minutes ago, and instances may still make secrets with the"
                " one before. Nothing was changed. Wait, or use --force."
            )
        master_secret_versions.rotate(connection, secret)
    print(f"{secret} has a new master. Secrets of webhooks stay as they are until each is rotated.")


def _webhooks_of_the_master_before(connection: Connection, secret: str) -> int:
    """Return how many webhooks sign with a secret that is not derived from the current master."""
    from image_core import secrets
    from image_core.keys import master_secrets, webhook_secrets

    present = secrets.latest_version(secret, _READ_SECONDS)
    if present is None:
        return 0
    current = webhook_secrets.master_id(master_secrets.masters_from_text(present).current)
    is_older = or_(
        webhook.c.master_id != current,
        and_(webhook.c.previous_master_id != current, webhook.c.previous_secret_until > func.now()),
    )
    return int(connection.execute(select(func.count()).select_from(webhook).where(is_older)).scalar_one())


def _was_just_rotated(connection: Connection, secret: str) -> bool:
    """Return whether an instance may not know the current master yet."""
    from image_core.keys import master_secret_versions

    rotated_at = master_secret_versions.last_added_at(connection, secret)
    now: datetime = connection.execute(select(func.now())).scalar_one()
    return rotated_at is not None and now < rotated_at + 2 * _UNTIL_EVERYWHERE


class _Rotate(Protocol):
    def __call__(self, engine: Engine, secret: str | None, *, force: bool) -> None: ...


class Rotation(NamedTuple):
    """A command: the setting that names its secret, what it does, and what it does with `--force`."""

    rotate: _Rotate
    setting: str
    purpose: str
    purpose_of_force: str


COMMANDS = {
    "rotate-signing-key": Rotation(
        rotate_signing_key, "token_signing_secret", "add a new signing key for access tokens",
        "even if older tokens may still be valid",
    ),
    "rotate-delivery-master": Rotation(
        rotate_delivery_master, "delivery_master_secret", "replace the master of delivery addresses",
        "end all addresses that were signed so far",
    ),
    "rotate-upload-session-master": Rotation(
        rotate_upload_session_master, "upload_session_master_secret", "replace the master of direct uploads",
        "even if older uploads are still open",
    ),
    "rotate-webhook-master": Rotation(
        rotate_webhook_master, "webhook_master_secret", "replace the master of webhooks",
        "even if secrets of the master before are in use",
    ),
}  # fmt: skip
