"""The rules of delivery keys."""

from uuid import UUID

from image_api import audit
from image_api.actor import Actor
from image_api.delivery_keys import queries
from image_api.http.pagination import Cursor
from image_api.teams import service as teams
from image_core import errors
from image_core.db import Record, Runner, Transaction
from image_core.delivery import key_transitions
from image_core.delivery.encoding import to_text
from image_core.delivery.grant import key_bytes
from image_core.ids import new_id
from image_core.states import DeliveryKeyState

MAX_LIVE_KEYS = 20
"""Maximum number of keys of a team that are not retired."""


def show_bytes(master: bytes, key: Record) -> str:
    """Return the 32 bytes of a key in base64url, to be shown once; `master` is the deployment's secret."""
    return to_text(key_bytes(master, key["number"]))


async def list_keys(
    runner: Runner, actor: Actor, team_id: UUID | None, cursor: Cursor | None, limit: int
) -> list[Record]:
    """Return the keys of the caller's team, or of the team that an admin names.

    Raises:
        errors.TeamNotFound, errors.TeamRequired.
    """
    return await queries.page(runner, await teams.owning_team(runner, actor, team_id), cursor, limit)


async def get_key(runner: Runner, actor: Actor, key_id: UUID) -> Record:
    """Return a key that the caller may see.

    Raises:
        errors.DeliveryKeyNotFound: There is none, or it is another team's.
    """
    found = await queries.find(runner, actor.visible_team_id, key_id)
    if found is None:
        raise errors.DeliveryKeyNotFound
    return found


async def create_key(transaction: Transaction, actor: Actor, team_id: UUID | None, name: str | None) -> Record:
    """Add an active key to a team.

    Raises:
        errors.TeamNotFound, errors.TeamRequired, errors.TeamBeingRemoved.
        errors.TooManyDeliveryKeys: The team already has the maximum.
    """
    owner_id = await teams.receiving_team(transaction, actor, team_id)
    created = await _add(transaction, owner_id, name)
    await audit.record(
        transaction, actor, "delivery_key.created", ("delivery_key", created["id"]), team_id=owner_id,
        after={"number": created["number"], "name": name},
    )  # fmt: skip
    return created


async def rotate_key(transaction: Transaction, actor: Actor, key_id: UUID) -> Record:
    """Replace an active key by a new one with its name; the old one verifies from now on. Return the new key.

    Raises:
        errors.DeliveryKeyNotFound.
        errors.DeliveryKeyNotActive: The key was replaced or retired before.
        errors.TooManyDeliveryKeys: The team already has the maximum.
    """
    old = await get_key(transaction, actor, key_id)
    if await queries.change(transaction, key_transitions.stop_signing(old["team_id"], key_id)) is None:
        raise errors.DeliveryKeyNotActive("Only an active key can be rotated. Create a new key instead.")
    created = await _add(transaction, old["team_id"], old["name"])
    await audit.record(
        transaction, actor, "delivery_key.rotated", ("delivery_key", key_id), team_id=old["team_id"],
        before={"number": old["number"]}, after={"number": created["number"]},
    )  # fmt: skip
    return created


async def retire_key(transaction: Transaction, actor: Actor, key_id: UUID) -> Record:
    """Retire a key that no longer signs; a key that is retired already is returned as it is.

    Raises:
        errors.DeliveryKeyNotFound.
        errors.DeliveryKeyActive: The key still signs, or did a few seconds ago.
    """
    old = await get_key(transaction, actor, key_id)
    retired = await queries.change(transaction, key_transitions.retire(old["team_id"], key_id))
    if retired is not None:
        await audit.record(
            transaction, actor, "delivery_key.retired", ("delivery_key", key_id), team_id=old["team_id"],
            before={"number": old["number"]},
        )  # fmt: skip
        return retired
    present = await get_key(transaction, actor, key_id)
    if present["state"] == DeliveryKeyState.ACTIVE:
        raise errors.DeliveryKeyActive("Rotate the key first, so that new addresses are signed by another one.")
    if present["state"] == DeliveryKeyState.VERIFYING:
        seconds = int(key_transitions.STILL_SIGNS.total_seconds())
        raise errors.DeliveryKeyActive(f"The key was rotated a moment ago. Retire it {seconds} seconds after that.")
    return present


async def _add(transaction: Transaction, team_id: UUID, name: str | None) -> Record:
    # Keys of a team are counted and added one request at a time.
    await teams.lock(transaction, team_id)
    if await queries.count_live(transaction, team_id) >= MAX_LIVE_KEYS:
        raise errors.TooManyDeliveryKeys(f"Too many delivery keys: the limit is {MAX_LIVE_KEYS}. Retire one first.")
    while (created := await queries.add(transaction, new_id(), team_id, name)) is None:
        # Another key has the number that was drawn.
        pass
    return created
