"""The rules of signing delivery addresses."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from image_api.actor import Actor
from image_api.delivery_addresses import queries
from image_api.images.columns import tag_of
from image_api.images.delivery import AddressSigner, expires_at, signer_of
from image_api.lookups.team_delivery import TeamDelivery
from image_api.services import Services
from image_core import errors
from image_core.db import Record
from image_core.delivery import grant
from image_core.delivery.spec import (
    FORMATS,
    PresetSpec,
    Recipe,
    SpecInvalid,
    output_size,
    parse,
    parse_transforms,
)
from image_core.errors.nearest import nearest
from image_core.images.presets import Preset
from image_core.states import HOLDS_BYTES

AUTO, FILE = "auto", "file"
WHOLE_FILES = ("original", "full")
"""Specs that deliver a file instead of a picture in one format; their extension is `file`."""
PREVIEW_SECONDS = 3600


class Refused(Exception):
    """An item for which no address is signed: an error's code, a sentence, and what helps to fix it."""

    def __init__(self, error: errors.AppError) -> None:
        super().__init__(error.detail)
        self.error = error

    def body(self) -> dict[str, Any]:
        """Return the error as an item of a response shows it."""
        return {
            "code": self.error.code,
            "detail": self.error.detail or f"{self.error.title()}.",
            "canonical": self.error.extra.get("canonical"),
            "nearest": self.error.extra.get("nearest"),
        }


class Item(NamedTuple):
    """What to sign."""

    image_id: UUID
    spec: str
    format: str


class Address(NamedTuple):
    """A signed address."""

    url: str
    expires_at: datetime | None


@dataclass(frozen=True)
class Team:
    """What signs the addresses of one team, and its presets."""

    signer: AddressSigner
    presets: Mapping[str, Preset]


async def teams_of(services: Services, team_ids: Collection[UUID]) -> dict[UUID, Team]:
    """Return what signs the addresses of each team.

    Raises:
        errors.DeliveryNotConfigured: This deployment issues no addresses.
        errors.MasterSecretUnavailable, errors.DatabaseUnavailable.
    """
    if services.settings.delivery_url is None or services.delivery_master is None:
        raise errors.DeliveryNotConfigured
    found: dict[UUID, Team] = {}
    for team_id in team_ids:
        delivery: TeamDelivery = await services.team_delivery.get(team_id)
        signer = await signer_of(services, delivery)
        if signer is not None:
            found[team_id] = Team(signer, delivery.presets)
    return found


async def sign(
    services: Services,
    actor: Actor,
    items: Sequence[Item],
    expires_in_seconds: int | None,
    now: Callable[[], float] = time.time,
) -> list[Address | Refused]:
    """Sign an address for each item, in order.

    Raises:
        errors.DeliveryNotConfigured, errors.MasterSecretUnavailable, errors.DatabaseUnavailable.
    """
    rows = await queries.find_images(services.database, actor.visible_team_id, {item.image_id for item in items})
    teams = await teams_of(services, {row["team_id"] for row in rows.values()})
    expiry = grant.expiry_of(now(), expires_in_seconds)
    signed: list[Address | Refused] = []
    for item in items:
        try:
            row, tag = deliverable(rows.get(item.image_id))
            team = teams[row["team_id"]]
            url = team.signer.exact(row["id"], tag, file_of(team.presets, item.spec, item.format), expiry)
            signed.append(Address(url, expires_at(expiry)))
        except Refused as refused:
            signed.append(refused)
    return signed


def deliverable(row: Record | None) -> tuple[Record, str]:
    """Return an image with its tag.

    Raises:
        Refused: It is absent, another team's, in the trash, or not stored.
    """
    if row is None or row["deleted_at"] is not None:
        raise Refused(errors.ImageNotFound())
    tag = tag_of(row)
    if tag is None or row["status"] not in HOLDS_BYTES:
        raise Refused(errors.ImageNotStored(f"The image has no stored bytes: its status is {row['status']}."))
    return row, tag


def file_of(presets: Mapping[str, Preset], spec: str, extension: str) -> str:
    """Return the last part of an address, with the current hash of a preset.

    Raises:
        Refused: The spec is not valid, the preset does not exist, or the format does not suit.
    """
    try:
        parsed = parse(spec)
    except SpecInvalid as invalid:
        raise Refused(errors.DeliverySpecInvalid(invalid.detail, canonical=invalid.canonical)) from None
    if isinstance(parsed, PresetSpec) and parsed.name in WHOLE_FILES and parsed.short_hash is None:
        if extension != FILE:
            raise Refused(errors.DeliverySpecInvalid(f"`{spec}` has the format `{FILE}`."))
        return f"{spec}.{FILE}"
    if extension not in (*FORMATS, AUTO):
        raise Refused(errors.DeliverySpecInvalid(f"Pictures have one of the formats {', '.join(FORMATS)} and {AUTO}."))
    return f"{spec if isinstance(parsed, Recipe) else _current(presets, parsed).spec}.{extension}"


def _current(presets: Mapping[str, Preset], spec: PresetSpec) -> Preset:
    preset = presets.get(spec.name)
    if preset is None:
        close = nearest(spec.name, presets)
        raise Refused(errors.PresetNotFound(f"The team has no preset {spec.name!r}.", nearest=close))
    if spec.short_hash not in (None, preset.recipe.short_hash()):
        raise Refused(
            errors.DeliverySpecInvalid("The preset has changed. Send its name without `@`.", canonical=preset.spec)
        )
    return preset


class Preview(NamedTuple):
    """What transforms make of an image."""

    spec: str
    size: tuple[int, int] | None
    urls: dict[str, str]
    expires_at: datetime | None


def recipe_of(spec: str) -> Recipe:
    """Return what transforms make of a picture.

    Raises:
        errors.DeliverySpecInvalid: The text is no transforms, or not in canonical form.
    """
    try:
        recipe = parse_transforms(spec) if spec.startswith("t-") else None
    except SpecInvalid as invalid:
        raise errors.DeliverySpecInvalid(invalid.detail, canonical=invalid.canonical) from None
    if recipe is None:
        raise errors.DeliverySpecInvalid("Send transforms, which begin with `t-`, for example `t-w640-h480-cover`.")
    return recipe


async def preview(
    services: Services, actor: Actor, image_id: UUID, spec: str, now: Callable[[], float] = time.time
) -> Preview:
    """Check transforms and sign an address for an hour in each format.

    Raises:
        errors.ImageNotFound, errors.ImageNotStored, errors.DeliverySpecInvalid, errors.DeliveryNotConfigured,
        errors.MasterSecretUnavailable, errors.DatabaseUnavailable.
    """
    return await _preview(services, actor, image_id, spec, recipe_of(spec), FORMATS, now)


async def preview_preset(
    services: Services, actor: Actor, image_id: UUID, preset: Preset, now: Callable[[], float] = time.time
) -> Preview:
    """Sign an address for an hour in each format of a preset, whose box may be one that transforms do not offer.

    Raises:
        errors.PresetNotFound, errors.DeliverySpecInvalid: The image's team has no such preset, or another one.
        errors.ImageNotFound, errors.ImageNotStored, errors.DeliveryNotConfigured, errors.MasterSecretUnavailable,
        errors.DatabaseUnavailable.
    """
    return await _preview(services, actor, image_id, preset.spec, preset.recipe, preset.formats, now)


async def _preview(
    services: Services,
    actor: Actor,
    image_id: UUID,
    spec: str,
    recipe: Recipe,
    formats: Sequence[str],
    now: Callable[[], float],
) -> Preview:
    rows = await queries.find_images(services.database, actor.visible_team_id, [image_id])
    try:
        row, tag = deliverable(rows.get(image_id))
        team = (await teams_of(services, [row["team_id"]]))[row["team_id"]]
        files = {name: file_of(team.presets, spec, name) for name in formats}
    except Refused as refused:
        raise refused.error from None
    expiry = grant.expiry_of(now(), PREVIEW_SECONDS)
    urls = {name: team.signer.exact(image_id, tag, file, expiry) for name, file in files.items()}
    size = None if row["width"] is None else output_size(recipe, row["width"], row["height"])
    return Preview(spec, size, urls, expires_at(expiry))
