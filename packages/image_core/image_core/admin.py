"""`image-manager-admin`: migrate the database, manage keys, check data, reprocess images, maintain the audit log.

Apps add commands of their own by the entry point group `image_manager_admin.commands`. The others read `DATABASE_URL`,
or `CLOUD_SQL_INSTANCE` with `DATABASE_USER` and `DATABASE_NAME`; the identity needs the rights of the schema's owner.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from importlib.metadata import entry_points
from typing import Any
from uuid import UUID

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import ColumnElement, and_, exists, func, select, text, true
from sqlalchemy.engine import Engine

from image_core.audit import chain
from image_core.audit import events as audit
from image_core.db import DatabaseConfig, migration_engine
from image_core.direct_traffic import keep_local_traffic_direct
from image_core.feed import epoch
from image_core.feed.many_images import queued_again
from image_core.images import transitions
from image_core.images.similarity import DESCRIPTOR_MODEL
from image_core.keys import admin_keys, rotations
from image_core.migrations import HEAD
from image_core.models import credential, image, image_vector
from image_core.states import ImageStatus

ADMIN_USER_ID = UUID("00000000-0000-7000-8000-000000000001")
"""The admin that the first migration creates."""


class AdminSettings(BaseSettings):
    """Settings of the admin commands: how to reach the database, and which secrets receive keys."""

    model_config = SettingsConfigDict(hide_input_in_errors=True, frozen=True, extra="ignore")

    database_url: str | None = Field(None, description="PostgreSQL URL of the schema's owner.")
    cloud_sql_instance: str | None = Field(None, description="Instance (project:region:name), instead of a URL.")
    database_user: str | None = Field(None, description="IAM database user, with CLOUD_SQL_INSTANCE.")
    database_name: str = Field("image_manager", description="Database, with CLOUD_SQL_INSTANCE.")
    admin_key_secret: str | None = Field(
        None, description="Secret (projects/…/secrets/…) that receives the first admin key."
    )
    token_signing_secret: str | None = Field(
        None, description="Secret (projects/…/secrets/…) that receives the keys that sign access tokens."
    )
    delivery_master_secret: str | None = Field(
        None,
        pattern=r"^projects/[^/]+/secrets/[^/]+$",
        description="Secret (projects/…/secrets/…) for the master secret of delivery addresses.",
    )
    purged_hash_master_secret: str | None = Field(
        None,
        pattern=r"^projects/[^/]+/secrets/[^/]+$",
        description="Secret (projects/…/secrets/…) for the master secret of purged files.",
    )
    upload_session_master_secret: str | None = Field(
        None,
        pattern=r"^projects/[^/]+/secrets/[^/]+$",
        description="Secret (projects/…/secrets/…) for the master secret of direct uploads.",
    )
    webhook_master_secret: str | None = Field(
        None,
        pattern=r"^projects/[^/]+/secrets/[^/]+$",
        description="Secret (projects/…/secrets/…) for the master secret of webhooks.",
    )
    api_database_user: str | None = Field(None, description="Login that becomes a member of the role image_api.")
    processor_database_user: str | None = Field(
        None, description="Login that becomes a member of the role image_processor."
    )
    tasks_database_user: str | None = Field(None, description="Login that becomes a member of role image_tasks.")
    delivery_database_user: str | None = Field(
        None, description="Login that becomes a member of the role image_delivery."
    )
    audit_retention_days: int = Field(
        400, ge=1, description="Days for which audit events are kept after they are sealed."
    )

    @property
    def master_secrets(self) -> tuple[str | None, ...]:
        """The secrets that receive a master secret each."""
        return (
            self.delivery_master_secret,
            self.purged_hash_master_secret,
            self.upload_session_master_secret,
            self.webhook_master_secret,
        )

    def engine(self) -> Engine:
        """Return an engine on the configured database.

        Raises:
            SystemExit: No database is configured.
        """
        if not self.database_url and not self.cloud_sql_instance:
            raise SystemExit("Set DATABASE_URL, or CLOUD_SQL_INSTANCE and DATABASE_USER.")
        return migration_engine(
            DatabaseConfig(
                url=self.database_url,
                cloud_sql_instance=self.cloud_sql_instance,
                user=self.database_user,
                name=self.database_name,
            )
        )


def migrate(settings: AdminSettings) -> None:
    """Migrate the schema to the newest revision and grant the services' roles to their logins."""
    from image_core.migrations import runner

    engine = settings.engine()
    runner.upgrade(engine)
    members = {
        "image_api": settings.api_database_user,
        "image_processor": settings.processor_database_user,
        "image_tasks": settings.tasks_database_user,
        "image_delivery": settings.delivery_database_user,
    }
    with engine.begin() as connection:
        quote = connection.dialect.identifier_preparer.quote
        for role, login in members.items():
            if login and login != role:
                connection.execute(text(f"GRANT {role} TO {quote(login)}"))
    print(f"The schema is at revision {HEAD}.")


def autogenerate(settings: AdminSettings, message: str) -> None:
    """Write the next revision from the difference between the models and a database at `HEAD`."""
    from image_core.migrations import runner

    runner.autogenerate(settings.engine(), message, f"{int(HEAD) + 1:04d}")


def bootstrap(settings: AdminSettings, *, as_json: bool) -> None:
    """Rotate the default admin key, and add the first version of each secret that has none.

    Prints the new admin key only when no secret takes it.
    """
    engine = settings.engine()
    with engine.begin() as connection:
        api_key = admin_keys.rotate_default(connection, settings.admin_key_secret)
    printed_key = None if settings.admin_key_secret else api_key
    if as_json:
        print(json.dumps({"api_key": printed_key, "rotated": api_key is not None}))
    elif api_key is None:
        print("The default key has already been rotated. Nothing was changed.")
    else:
        print(
            f"New admin key: {printed_key}" if printed_key else f"The new admin key is in {settings.admin_key_secret}."
        )
    if settings.token_signing_secret:
        from image_core.keys import signing_key_versions

        with engine.begin() as connection:
            signing_key_versions.add_first(connection, settings.token_signing_secret)
    for secret in settings.master_secrets:
        if secret:
            from image_core.keys import master_secret_versions

            with engine.begin() as connection:
                master_secret_versions.add_first(connection, secret)


def recover(settings: AdminSettings, *, force: bool) -> None:
    """Issue a new admin key if no valid one exists, or with `force` in addition to those that do."""
    with settings.engine().begin() as connection:
        api_key = admin_keys.recover(connection, settings.admin_key_secret, force=force)
    if api_key is None:
        raise SystemExit("A valid admin key exists. Nothing was changed. If nobody has it any more, use --force.")
    secret = settings.admin_key_secret
    print(f"The new admin key is in {secret}." if secret else f"New admin key: {api_key}")


# One statement each, so that concurrent uploads and spending appear on both sides of the comparison or on neither.
_MISCOUNTED_STORAGE = """
SELECT count(*) FROM storage_usage FULL JOIN (
    SELECT team_id, sum(weight) AS bytes, count(weight) AS images FROM image
    CROSS JOIN LATERAL image_weight_bytes(status, size_bytes, expected_bytes) AS weight GROUP BY team_id
) AS held USING (team_id)
WHERE (coalesce(storage_usage.bytes, 0), coalesce(storage_usage.images, 0))
    <> (coalesce(held.bytes, 0), coalesce(held.images, 0))
"""
_UNBALANCED_LEDGERS = """
SELECT count(*) FROM credit_account AS account
WHERE balance <> (SELECT coalesce(sum(amount), 0) FROM credit_entry WHERE team_id = account.team_id)
"""


def verify(settings: AdminSettings) -> None:
    """Print whether schema, default key, storage counters and ledgers are correct; exit with 1 if they are not."""
    with settings.engine().connect() as connection:
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
        default_alive = connection.execute(
            select(func.count()).where(credential.c.is_default, credential.c.revoked_at.is_(None))
        ).scalar_one()
        report = {"revision": revision, "needed": HEAD, "default_key_alive": bool(default_alive)}
        behind = revision is None or revision < HEAD
        if not behind:
            report["teams_with_miscounted_storage"] = connection.execute(text(_MISCOUNTED_STORAGE)).scalar_one()
            report["teams_with_unbalanced_ledger"] = connection.execute(text(_UNBALANCED_LEDGERS)).scalar_one()
    print(json.dumps(report))
    if behind or any(report[name] for name in report.keys() - {"revision", "needed"}):
        raise SystemExit(1)


def reprocess(settings: AdminSettings, most: int, model: str = DESCRIPTOR_MODEL) -> None:
    """Queue the newest images that lack a vector of a model for processing, which also finds their near-duplicates.

    The sweep publishes the requests. Until they are processed, the images are `stored` and their bytes and derivatives
    are still served.
    """
    has_vector = exists().where(image_vector.c.image_id == image.c.id, image_vector.c.model == model)
    queued, remaining = _reprocess(settings, most, and_(image.c.status == ImageStatus.READY, ~has_vector))
    print(f"{queued} images queued for processing; {remaining} without a vector of {model} remain.")


def reprocess_failed(settings: AdminSettings, most: int, code: str | None = None) -> None:
    """Queue the newest failed images for processing, optionally only those that failed with one code.

    The sweep publishes the requests. Damaged files fail again, so name the code of a fault that has been fixed.
    """
    with_code = true() if code is None else image.c.failure_code == code
    queued, remaining = _reprocess(settings, most, and_(image.c.status == ImageStatus.FAILED, with_code))
    print(f"{queued} images queued for processing; {remaining} that failed{f' with {code}' if code else ''} remain.")


def _reprocess(settings: AdminSettings, most: int, condition: ColumnElement[bool]) -> tuple[int, int]:
    """Move matching images outside the trash back to `stored`; return how many were moved and how many are left."""
    remaining = select(func.count()).select_from(image).where(transitions.REPROCESSABLE, condition)
    with settings.engine().begin() as connection:
        queued = connection.execute(queued_again(transitions.reprocess(condition, most))).rowcount
        return queued, connection.execute(remaining).scalar_one()


def verify_audit(settings: AdminSettings, expected: chain.ExpectedSeal | None) -> None:
    """Recompute all seals of the audit log, print the first one that does not match, and record the result there."""
    result = chain.verify(settings.engine(), expected)
    if isinstance(result, chain.ChainBroken):
        print(json.dumps({"intact": False, "seal": result.number, "reason": result.reason}))
        sys.exit(1)
    print(chain.as_json(result, intact=True))


def prune_audit(settings: AdminSettings) -> None:
    """Remove sealed audit events past their retention, and log the new start of the chain."""
    with settings.engine().begin() as connection:
        try:
            pruned = chain.prune(connection, timedelta(days=settings.audit_retention_days))
        except chain.ChainBroken as broken:
            sys.exit(f"Nothing was removed because the chain of seals does not match. {broken}")
    if pruned is None:
        print("No sealed audit event is past its retention.")
    else:
        print(chain.as_json(pruned, event=audit.PRUNED_LOG_EVENT))


def _rotate(settings: AdminSettings, options: argparse.Namespace) -> None:
    rotation = rotations.COMMANDS[options.command]
    rotation.rotate(settings.engine(), getattr(settings, rotation.setting), force=options.force)


def _add_reprocess(commands: Any) -> None:
    parser = commands.add_parser("reprocess", help="process images again that have no vector or that failed")
    parser.add_argument("--most", type=int, default=1000, help="maximum number of images (default: 1000)")
    parser.add_argument(
        "--model", default=DESCRIPTOR_MODEL, help=f"model of the missing vectors (default: {DESCRIPTOR_MODEL})"
    )
    parser.add_argument("--failed", action="store_true", help="process failed images instead")
    parser.add_argument("--code", help="with --failed: only images that failed with this code")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    keep_local_traffic_direct(os.environ)
    parser = argparse.ArgumentParser(prog="image-manager-admin", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="migrate the schema to the newest revision; can safely run concurrently")
    parser_bootstrap = commands.add_parser("bootstrap", help="replace the default admin key with a new one")
    parser_bootstrap.add_argument("--print-json", action="store_true", help="print the result as JSON")
    parser_recover = commands.add_parser("recover", help="issue a new admin key if no valid one exists")
    parser_recover.add_argument("--force", action="store_true", help="also if valid keys exist")
    for name, rotation in rotations.COMMANDS.items():
        parser_rotate = commands.add_parser(name, help=rotation.purpose)
        parser_rotate.add_argument("--force", action="store_true", help=rotation.purpose_of_force)
    parser_autogenerate = commands.add_parser("autogenerate", help="generate the next migration from the models")
    parser_autogenerate.add_argument("message", help="what the migration does, in a few words")
    commands.add_parser("verify", help="check revision, default key, counters and ledgers; exit with 1 if any is wrong")
    _add_reprocess(commands)
    commands.add_parser("new-epoch", help="let all cursors of the feed expire; a step of restoring the database")
    parser_audit = commands.add_parser("audit", help="verify the audit log, or remove events past retention")
    audit_commands = parser_audit.add_subparsers(dest="audit_command", required=True)
    parser_chain = audit_commands.add_parser("verify", help="recompute all seals; exit with 1 if one does not match")
    parser_chain.add_argument(
        "--expect", type=chain.ExpectedSeal.parse, metavar="NUMBER:HASH", help="number and hash of a seal, as logged"
    )
    audit_commands.add_parser("prune", help="remove sealed events older than AUDIT_RETENTION_DAYS")
    for added in entry_points(group="image_manager_admin.commands"):
        added.load()(commands)
    options = parser.parse_args(arguments)
    if "run" in options:
        options.run(options)
        return
    if options.command == "reprocess" and options.code is not None and not options.failed:
        parser.error("--code needs --failed")
    settings = AdminSettings()
    actions: dict[str, Any] = {
        "migrate": lambda: migrate(settings),
        "bootstrap": lambda: bootstrap(settings, as_json=options.print_json),
        "recover": lambda: recover(settings, force=options.force),
        **{name: lambda: _rotate(settings, options) for name in rotations.COMMANDS},
        "autogenerate": lambda: autogenerate(settings, options.message),
        "verify": lambda: verify(settings),
        "new-epoch": lambda: print(f"The feed begins anew in epoch {epoch.begin(settings.engine())}."),
        "reprocess": lambda: (
            reprocess_failed(settings, options.most, options.code)
            if options.failed
            else reprocess(settings, options.most, options.model)
        ),
    }
    actions["audit"] = lambda: (
        prune_audit(settings) if options.audit_command == "prune" else verify_audit(settings, options.expect)
    )
    actions[options.command]()


if __name__ == "__main__":
    main()
