"""The commands that replace secrets from which everything else is signed."""

from sqlalchemy.engine import Engine


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
