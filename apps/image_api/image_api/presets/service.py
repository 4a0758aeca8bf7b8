"""The rules of presets."""

import re
from typing import Any, NamedTuple
from uuid import UUID

from image_api import audit
from image_api.actor import Actor
from image_api.http.entity_tags import check_if_match
from image_api.presets import queries
from image_api.teams import service as teams
from image_core import errors, events
from image_core.db import Record, Runner, Transaction
from image_core.delivery.rendition_requests import discard_request
from image_core.delivery.spec import MOST_NAME_LENGTH, PRESET_NAME, RESERVED_NAMES, TRANSFORM_PREFIX
from image_core.errors.nearest import nearest
from image_core.images.presets import BUILT_IN, Preset, from_row, lock_presets

_NAME = re.compile(PRESET_NAME, re.ASCII)


class Shown(NamedTuple):
    """A preset with the revision of its row; 0 for a built-in one that was never changed."""

    preset: Preset
    revision: int
    updated_at: Any


class Changed(NamedTuple):
    """A preset after a change, and how many public images the change concerns, if it concerns any address."""

    shown: Shown
    team_id: UUID
    public_images: int | None


def _shown(row: Record) -> Shown:
    return Shown(from_row(row), row["revision"], row["updated_at"])


def _built_in(name: str) -> Shown | None:
    return Shown(BUILT_IN[name], 0, None) if name in BUILT_IN else None


async def list_presets(runner: Runner, actor: Actor, team_id: UUID | None) -> list[Shown]:
    """Return the presets of a team: the built-in ones, and then its own by name.

    Raises:
        errors.TeamNotFound, errors.TeamRequired.
    """
    owner_id = await teams.owning_team(runner, actor, team_id)
    found = {name: Shown(each, 0, None) for name, each in BUILT_IN.items()}
    return list((found | {row["name"]: _shown(row) for row in await queries.rows_of_team(runner, owner_id)}).values())


async def get_preset(runner: Runner, actor: Actor, team_id: UUID | None, name: str) -> Shown:
    """Return one preset.

    Raises:
        errors.TeamNotFound, errors.TeamRequired.
        errors.PresetNotFound: The team has none of this name.
    """
    owner_id = await teams.owning_team(runner, actor, team_id)
    row = await queries.find(runner, owner_id, name)
    found = _built_in(name) if row is None else _shown(row)
    if found is None:
        names = {*BUILT_IN, *(row["name"] for row in await queries.rows_of_team(runner, owner_id))}
        raise errors.PresetNotFound(f"The team has no preset {name[:40]!r}.", nearest=nearest(name, names))
    return found


async def put_preset(
    transaction: Transaction,
    actor: Actor,
    team_id: UUID | None,
    name: str,
    values: dict[str, Any],
    most: int | None,
    if_match: str | None,
) -> Changed:
    """Create a preset, or replace it.

    Args:
        transaction: the request's.
        actor: the caller.
        team_id: the team that an admin names.
        name: of the preset.
        values: columns of the row.
        most: maximum number of presets of a team besides the built-in ones; None for no limit.
        if_match: entity tag that the preset must have.

    Raises:
        errors.TeamNotFound, errors.TeamRequired, errors.TeamBeingRemoved, errors.RequestInvalid, errors.ETagMismatch.
        errors.TooManyPresets: The team has the maximum already.
    """
    _check_name(name)
    owner_id = await teams.receiving_team(transaction, actor, team_id)
    # Before the team, which those who store pictures lock after the presets.
    await lock_presets(transaction, owner_id)
    # Presets of a team are counted and changed one request at a time.
    await teams.lock(transaction, owner_id)
    row = await queries.find(transaction, owner_id, name)
    old = _built_in(name) if row is None else _shown(row)
    check_if_match(if_match, old.revision if old else 0)
    if old is None and most is not None:
        own = {row["name"] for row in await queries.rows_of_team(transaction, owner_id)} - BUILT_IN.keys()
        if len(own) >= most:
            raise errors.TooManyPresets(f"Too many presets: the limit is {most}. Remove one first.", limit=most)
    before, remake = old.preset if old else None, _must_be_remade(old.preset if old else None, values)
    changed = await queries.put(transaction, owner_id, name, values, remake=remake)
    if changed is None:
        raise errors.TeamNotFound
    new = _shown(changed)
    await audit.record(
        transaction, actor, "preset.changed", ("team", owner_id), team_id=owner_id,
        before=None if before is None else _audited(before), after=_audited(new.preset),
    )  # fmt: skip
    count = await queries.count_public_images(transaction, owner_id) if _is_seen(before, new.preset) else None
    return Changed(new, owner_id, count)


def _must_be_remade(old: Preset | None, values: dict[str, Any]) -> bool:
    """Return whether pictures that are made early differ from those made before."""
    if not values["eager"]:
        return False
    new = from_row({"name": "", **values})  # type: ignore[arg-type]
    return old is None or not old.is_eager or (old.recipe, set(old.formats)) != (new.recipe, set(new.formats))


def _is_seen(old: Preset | None, new: Preset) -> bool:
    """Return whether an open preset was opened, or shows other pixels."""
    return new.is_open and (old is None or not old.is_open or old.recipe != new.recipe)


def _audited(preset: Preset) -> dict[str, Any]:
    return {
        "name": preset.name, "spec": preset.spec, "formats": list(preset.formats), "open": preset.is_open,
        "eager": preset.is_eager,
    }  # fmt: skip


def _check_name(name: str) -> None:
    reserved = name in RESERVED_NAMES or name.startswith(TRANSFORM_PREFIX)
    if reserved or len(name) > MOST_NAME_LENGTH or _NAME.fullmatch(name) is None:
        message = (
            f"The name {name[:40]!r} is reserved."
            if reserved
            else f"Begin with a letter; use lowercase letters, digits and single hyphens, at most {MOST_NAME_LENGTH}."
        )
        raise errors.invalid_fields([{"field": "name", "code": "preset-name", "message": message}])


async def remove_preset(
    transaction: Transaction, actor: Actor, team_id: UUID | None, name: str, if_match: str | None
) -> UUID:
    """Remove a preset and return its team.

    Raises:
        errors.TeamNotFound, errors.TeamRequired, errors.PresetNotFound, errors.ETagMismatch.
        errors.PresetBuiltIn: Every team has it.
        errors.PresetInUse: Share links show it.
    """
    owner_id = await teams.owning_team(transaction, actor, team_id)
    await lock_presets(transaction, owner_id)
    await teams.lock(transaction, owner_id)
    old = await get_preset(transaction, actor, team_id, name)
    check_if_match(if_match, old.revision)
    if name in BUILT_IN:
        raise errors.PresetBuiltIn("Every team has this preset. Change it instead.")
    # Whoever adds a link shares the lock of the presets.
    if count := await queries.count_links(transaction, owner_id, name):
        raise errors.PresetInUse(
            f"Open share links show this preset: {count}. Change or delete them first.", links=count
        )
    removed_at = await queries.remove(transaction, owner_id, name)
    await events.record(transaction, discard_request(owner_id, name, removed_at))
    await audit.record(
        transaction, actor, "preset.removed", ("team", owner_id), team_id=owner_id, before=_audited(old.preset)
    )
    return owner_id
