"""The delivery addresses of an image, as its body shows them."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from image_api.images.columns import tag_of
from image_api.images.placeholder import data_uri
from image_api.lookups.team_delivery import TeamDelivery
from image_api.services import Services
from image_core.db import Record
from image_core.delivery import grant, link_grant
from image_core.delivery.encoding import image_text
from image_core.delivery.grant import ScopeKind
from image_core.delivery.link_grant import LinkScope
from image_core.delivery.spec import Recipe, output_size
from image_core.images.presets import Preset
from image_core.states import HOLDS_BYTES, ImageStatus, Visibility

DEFAULT_EXPIRES_IN_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class AddressSigner:
    """Signs the addresses of one team's images.

    Attributes:
        base_url: where image-delivery answers, without a slash at the end.
        key_number: number of the team's signing key.
        key: its 32 bytes.
    """

    base_url: str
    key_number: int
    key: bytes

    def exact(self, image_id: UUID, tag: str, file: str, expiry_minutes: int) -> str:
        """Return the address of one spec and extension."""
        return f"{self._signed(image_id, tag, file, expiry_minutes, ScopeKind.EXACT)}/{file}"

    def presets(self, image_id: UUID, tag: str, expiry_minutes: int) -> str:
        """Return the part of the addresses of all open presets that precedes the file."""
        return self._signed(image_id, tag, None, expiry_minutes, ScopeKind.PRESETS)

    def shared(self, link: LinkScope, image_id: UUID, tag: str, expiry_minutes: int) -> str:
        """Return the part of the addresses of an image in a share link that precedes the file."""
        signed = link_grant.sign(self.key_number, self.key, link, image_id, tag, expiry_minutes)
        return f"{self.base_url}{grant.PREFIX}{signed}"

    def _signed(self, image_id: UUID, tag: str, file: str | None, expiry_minutes: int, scope: ScopeKind) -> str:
        signed = grant.sign(
            self.key_number, self.key, image_id, tag, file=file, expiry_minutes=expiry_minutes, scope=scope.value
        )
        return f"{self.base_url}{grant.PREFIX}{signed}"


def expires_at(expiry_minutes: int) -> datetime | None:
    """Return the time at which a grant expires; None if it does not."""
    return datetime.fromtimestamp(expiry_minutes * 60, UTC) if expiry_minutes else None


async def signer_of(services: Services, team: TeamDelivery) -> AddressSigner | None:
    """Return what signs a team's addresses; None if this deployment issues none.

    Raises:
        errors.MasterSecretUnavailable: The master secret cannot be read.
    """
    if services.settings.delivery_url is None or services.delivery_master is None:
        return None
    key = grant.key_bytes(await services.delivery_master.get(), team.key_number)
    return AddressSigner(services.settings.delivery_base_url, team.key_number, key)


async def delivery_of(
    services: Services,
    row: Record,
    *,
    requested: bool,
    expiry_minutes: int | None = None,
    now: Callable[[], float] = time.time,
) -> tuple[dict[str, Any] | None, bool]:
    """Return the `delivery` member of an image, and whether it may be stored by caches.

    Public images always have one, private ones if it was requested. It is None if the image cannot be delivered. Signed
    addresses last for about a week, or until `expiry_minutes` after 1970.

    Raises:
        errors.MasterSecretUnavailable: The addresses need a signature, and the secret cannot be read.
        errors.DatabaseUnavailable.
    """
    if services.settings.delivery_url is None or not (requested or row["visibility"] != Visibility.PRIVATE):
        return None, True
    team = await services.team_delivery.get(row["team_id"])
    is_public = (row["visibility"] or team.default_visibility) == Visibility.PUBLIC
    if not (requested or is_public):
        return None, True
    tag = tag_of(row)
    if tag is None or not _is_deliverable(row):
        return None, is_public
    if is_public:
        prefix = f"{services.settings.delivery_base_url}{grant.PREFIX}{grant.PUBLIC}/{image_text(row['id'])}.{tag}"
        return _body(prefix, 0, row, team.presets.values()), True
    signer = await signer_of(services, team)
    if signer is None:
        return None, False
    expiry = expiry_minutes or grant.expiry_of(now(), DEFAULT_EXPIRES_IN_SECONDS)
    return _body(signer.presets(row["id"], tag, expiry), expiry, row, team.presets.values()), False


def _is_deliverable(row: Record) -> bool:
    return row["deleted_at"] is None and row["status"] in HOLDS_BYTES and row["status"] != ImageStatus.FAILED


class PresetAddress(NamedTuple):
    """The address of an image in a preset.

    Attributes:
        url: of the picture, in the format that the browser prefers.
        srcset: every preset that shows the same picture, by width; None if the image's size is not known.
        size: width and height in pixels; None if the image's size is not known.
    """

    url: str
    srcset: str | None
    size: tuple[int, int] | None


def preset_addresses(prefix: str, row: Record, presets: Iterable[Preset]) -> dict[str, PresetAddress]:
    """Return the addresses of an image in these presets, by name.

    `prefix` precedes the file; of the row, `width`, `height` and `frames` are read.
    """
    shown = list(presets)
    shapes = {preset.name: _shape(preset.recipe, row) for preset in shown}
    sizes = {preset.name: _size(preset.recipe, row) for preset in shown}

    def url(preset: Preset) -> str:
        return f"{prefix}/{preset.spec}.auto"

    def srcset(preset: Preset) -> str | None:
        alike = [each for each in shown if shapes[each.name] == shapes[preset.name]]
        by_width = {size[0]: each for each in alike if (size := sizes[each.name]) is not None}
        return ", ".join(f"{url(by_width[width])} {width}w" for width in sorted(by_width)) or None

    return {preset.name: PresetAddress(url(preset), srcset(preset), sizes[preset.name]) for preset in shown}


def _body(prefix: str, expiry_minutes: int, row: Record, presets: Iterable[Preset]) -> dict[str, Any]:
    def entry(address: PresetAddress) -> dict[str, Any]:
        width, height = address.size or (None, None)
        return {"url": address.url, "srcset": address.srcset, "width": width, "height": height}

    addresses = preset_addresses(prefix, row, (preset for preset in presets if preset.is_open))
    return {
        "template": f"{prefix}/{{spec}}.{{ext}}",
        "presets": {name: entry(address) for name, address in addresses.items()},
        "placeholder": placeholder_of(row),
        "expires_at": expires_at(expiry_minutes),
    }


def _size(recipe: Recipe, row: Record) -> tuple[int, int] | None:
    return None if row["width"] is None else output_size(recipe, row["width"], row["height"])


def _shape(recipe: Recipe, row: Record) -> tuple[object, ...]:
    """Return what is equal for presets that show the same picture in different sizes."""
    moves = (row["frames"] or 1) > 1 and recipe.animated
    if recipe.fit == "inside" or recipe.width_px is None or recipe.height_px is None:
        return "inside", moves
    return recipe.fit, recipe.gravity, recipe.background, recipe.width_px / recipe.height_px, moves


def placeholder_of(row: Record) -> str | None:
    """Return a few pixels of an image as a `data:` URI; None if there are none, or the image has transparency."""
    if row["width"] is None or row["placeholder"] is None:
        return None
    return data_uri(row["placeholder"], row["width"], row["height"])
