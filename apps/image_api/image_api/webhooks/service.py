"""The rules of webhooks: who is told of what, and with which secret it is signed."""

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from image_api import audit
from image_api.actor import Actor, Scope
from image_api.http.entity_tags import check_if_match
from image_api.http.pagination import Cursor
from image_api.teams import service as teams
from image_api.webhooks import queries
from image_api.webhooks.addresses import check_url, host_of
from image_core import errors
from image_core.db import Record, Runner, Transaction
from image_core.feed import reading
from image_core.feed.event_types import is_about_keys
from image_core.ids import new_id
from image_core.keys import webhook_secrets
from image_core.keys.master_secrets import Masters
from image_core.settings import WebhookSettings
from image_core.states import WebhookEnd

MOST_WEBHOOKS = 20
"""Of a team."""


class NewSecret(NamedTuple):
    """A webhook with a new secret. Its text is shown only once."""

    row: Record
    secret: str


def shown(row: Record) -> dict[str, Any]:
    """Return a webhook without the times that are over by now."""
    over = {
        name: None
        for name in ("previous_secret_until", "held_until")
        if row[name] is not None and row[name] <= row["now"]
    }
    return {**dict(row), **over}


async def list_webhooks(
    runner: Runner, actor: Actor, team_id: UUID | None, cursor: Cursor | None, limit: int
) -> list[Record]:
    """Return the webhooks of the caller's team, or of the team that an admin names.

    Raises:
        errors.TeamNotFound, errors.TeamRequired.
    """
    return await queries.page(runner, await teams.owning_team(runner, actor, team_id), cursor, limit)


async def get_webhook(runner: Runner, actor: Actor, webhook_id: UUID, *, lock: bool = False) -> Record:
    """Return a webhook that the caller may see.

    Raises:
        errors.WebhookNotFound: There is none, or it is another team's.
    """
    found = await queries.find(runner, actor.visible_team_id, webhook_id, lock=lock)
    if found is None:
        raise errors.WebhookNotFound
    return found


async def create_webhook(
    transaction: Transaction,
    actor: Actor,
    team_id: UUID | None,
    values: dict[str, Any],
    settings: WebhookSettings,
    masters: Masters,
) -> NewSecret:
    """Add a webhook, which is told of what happens from now on.

    Args:
        transaction: the request's.
        actor: the caller.
        team_id: the team that an admin names.
        values: `url`, `description`, `types` and `disabled`.
        settings: where webhooks may be sent to.
        masters: the master secrets of webhooks.

    Raises:
        errors.TeamNotFound, errors.TeamRequired, errors.TeamBeingRemoved.
        errors.RequestInvalid: Nothing is sent to such a URL.
        errors.ScopeMissing: The types include events that the caller may not see.
        errors.TooManyWebhooks: The team already has the maximum.
    """
    owner_id = await teams.receiving_team(transaction, actor, team_id)
    columns = _columns(actor, values, settings)
    # Webhooks of a team are counted and added one request at a time.
    await teams.lock(transaction, owner_id)
    if await queries.count(transaction, owner_id) >= MOST_WEBHOOKS:
        raise errors.TooManyWebhooks(
            f"Too many webhooks: the limit is {MOST_WEBHOOKS}. Delete one first.", limit=MOST_WEBHOOKS
        )
    if values.get("disabled"):
        columns |= {"disabled_at": await queries.now(transaction), "disabled_reason": WebhookEnd.MANUAL}
    columns |= {"id": new_id(), "master_id": webhook_secrets.master_id(masters.current)}
    webhook_id = await queries.add(transaction, owner_id, await reading.newest(transaction), columns)
    row = await get_webhook(transaction, actor, webhook_id)
    await _record(transaction, actor, "webhook.created", row, after=_audited(row))
    return NewSecret(row, _secret_text(masters.current, row))


async def change_webhook(
    transaction: Transaction,
    actor: Actor,
    webhook_id: UUID,
    patch: dict[str, Any],
    settings: WebhookSettings,
    if_match: str | None = None,
) -> Record:
    """Change a webhook. Disabling it ends what is due there; enabling it sends nothing of the meantime.

    Raises:
        errors.WebhookNotFound.
        errors.RequestInvalid: Nothing is sent to such a URL.
        errors.ScopeMissing: The types include events that the caller may not see.
        errors.EtagMismatch: It is not the version that `if_match` names.
    """
    before = await get_webhook(transaction, actor, webhook_id, lock=True)
    check_if_match(if_match, before["revision"])
    columns = _columns(actor, patch, settings)
    if columns.get("url", before["url"]) != before["url"]:
        columns |= {"failing_since": None, "held_until": None, "last_succeeded": None}
        if before["with_credentials"] and "types" not in patch:
            # Whoever moves it may see what it is sent.
            columns |= _columns(actor, {"types": before["types"]}, settings)
    disabled = patch.get("disabled", before["disabled"])
    if disabled and not before["disabled"]:
        columns |= {"disabled_at": before["now"], "disabled_reason": WebhookEnd.MANUAL}
        await queries.end_pending(transaction, before["team_id"], webhook_id)
    elif before["disabled"] and not disabled:
        columns |= await _enabling(transaction)
    if not columns:
        return before
    if not columns.get("with_credentials", True):
        await queries.end_pending(transaction, before["team_id"], webhook_id, only_about_keys=True)
    await queries.change(transaction, before["team_id"], webhook_id, columns)
    row = await get_webhook(transaction, actor, webhook_id)
    await _record(transaction, actor, "webhook.changed", row, before=_audited(before), after=_audited(row))
    return row


async def _enabling(transaction: Transaction) -> dict[str, Any]:
    emptied = ("disabled_at", "disabled_reason", "failing_since", "held_until", "last_succeeded")
    return {**dict.fromkeys(emptied), **queries.from_now_on(await reading.newest(transaction))}


async def remove_webhook(transaction: Transaction, actor: Actor, webhook_id: UUID, if_match: str | None = None) -> None:
    """Delete a webhook with its deliveries.

    Raises:
        errors.WebhookNotFound.
        errors.EtagMismatch: It is not the version that `if_match` names.
    """
    row = await get_webhook(transaction, actor, webhook_id, lock=True)
    check_if_match(if_match, row["revision"])
    await queries.remove(transaction, row["team_id"], webhook_id)
    await _record(transaction, actor, "webhook.deleted", row, before=_audited(row))


async def rotate_secret(
    transaction: Transaction, actor: Actor, webhook_id: UUID, masters: Masters, grace_seconds: int, *, force: bool
) -> NewSecret:
    """Replace the secret of a webhook; the old one signs as well until its grace period ends.

    Raises:
        errors.WebhookNotFound.
        errors.RotationInGrace: Two secrets sign already, and `force` is not set.
    """
    row = await get_webhook(transaction, actor, webhook_id, lock=True)
    if not force and row["previous_secret_until"] is not None and row["previous_secret_until"] > row["now"]:
        raise errors.RotationInGrace(
            "The secret before the current one still signs. Wait for the end of its grace period, or send `force`."
        )
    columns: dict[str, Any] = {
        "secret_version": row["secret_version"] + 1,
        "master_id": webhook_secrets.master_id(masters.current),
        "previous_secret_version": None,
        "previous_master_id": None,
        "previous_secret_until": None,
    }
    if grace_seconds > 0:
        columns |= {
            "previous_secret_version": row["secret_version"],
            "previous_master_id": row["master_id"],
            "previous_secret_until": row["now"] + timedelta(seconds=grace_seconds),
        }
    await queries.change(transaction, row["team_id"], webhook_id, columns)
    changed = await get_webhook(transaction, actor, webhook_id)
    await _record(transaction, actor, "webhook.secret_rotated", changed, after={"grace_period_seconds": grace_seconds})
    return NewSecret(changed, _secret_text(masters.current, changed))


def _secret_text(master: bytes, row: Record) -> str:
    return webhook_secrets.to_text(webhook_secrets.secret_bytes(master, row["id"], row["secret_version"]))


def _columns(actor: Actor, values: dict[str, Any], settings: WebhookSettings) -> dict[str, Any]:
    """Return the columns of what was sent, checked."""
    columns: dict[str, Any] = {name: values[name] for name in ("url", "description", "types") if name in values}
    if "url" in columns:
        try:
            check_url(columns["url"], settings)
        except errors.SourceRefused as error:
            problem = {"field": "url", "code": "url-not-allowed", "message": error.detail}
            raise errors.invalid_fields([problem]) from error
    if "types" in columns:
        types = None if columns["types"] is None else sorted({str(kind) for kind in columns["types"]})
        may_see_keys = Scope.KEYS_SELF in actor.scopes
        if types and not may_see_keys and any(is_about_keys(kind) for kind in types):
            raise errors.ScopeMissing(
                f"Events about keys need the scope {Scope.KEYS_SELF}. Leave their types out, or ask an admin.",
                missing_scopes=[Scope.KEYS_SELF],
            )
        columns |= {"types": types, "with_credentials": may_see_keys}
    return columns


def _audited(row: Record) -> dict[str, Any]:
    """Return what the audit log may know: of the URL, its host."""
    return {
        "host": host_of(row["url"]), "description": row["description"], "types": row["types"],
        "disabled_reason": row["disabled_reason"],
    }  # fmt: skip


async def _record(transaction: Transaction, actor: Actor, action: str, row: Record, **changes: Any) -> None:
    await audit.record(transaction, actor, action, ("webhook", row["id"]), team_id=row["team_id"], **changes)
