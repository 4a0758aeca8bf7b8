"""What an address opens: its signature first, which costs no query, then key, image, time, team, tag and preset."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from image_core import errors
from image_core.delivery import spec
from image_core.delivery.grant import Address, ScopeKind, is_signed_by, parse
from image_core.delivery.spec import FORMATS, PresetSpec, Recipe, SpecInvalid
from image_core.errors.nearest import nearest
from image_core.images.presets import Preset
from image_core.states import ImageStatus
from image_delivery.grants.images import DeliveredImage, DeliveredImages
from image_delivery.grants.keys import DeliveryKey, DeliveryKeys
from image_delivery.grants.presets import TeamPresets

AUTO, FILE = "auto", "file"
_WHOLE_FILES = ("original", "full")
READY_PATIENCE_SECONDS = 5.0
"""How long a signed request waits for an image that is not ready: browsers never repeat it."""
_MOST_REMEMBERED = 20_000
"""Addresses and stored objects of their images that are remembered as judged: about 16 MiB."""


class Unknown(Exception):
    """The address is unsigned or wrong, and is not told why."""


class ImageFailed(Exception):
    """The image of a correctly signed address failed for good, by the image's own code."""

    title = "The image failed"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code, self.message = code, message


class PictureNotMade(ImageFailed):
    """The image is ready, but what a correctly signed address asks for cannot be made of it."""

    title = "The picture cannot be made"


class Permit(NamedTuple):
    """What an address asks for, and may have.

    Attributes:
        image: the image, ready to be shown.
        name: the preset's name, `original`, `full`, or the transforms as the address spells them.
        preset: the preset; None for everything else.
        recipe: what to make; None for the original's bytes, and for the whole picture without metadata.
        extension: a format, `auto`, or `file`.
        expires_at: Unix time at which the grant ends; None where it does not.
        is_lasting: whether the same address gives the same bytes for as long as it is good.
        is_exact: whether the signature covers the spec, so that whoever signed has asked for just this.
        is_signed: whether there is a signature, rather than a public image.
        lists_avif: whether it is a preset that is to be made in AVIF too.
    """

    image: DeliveredImage
    name: str
    preset: str | None
    recipe: Recipe | None
    extension: str
    expires_at: float | None
    is_lasting: bool
    is_exact: bool
    is_signed: bool
    lists_avif: bool = False


class _Judged(NamedTuple):
    """What an address opens, by these rows."""

    address: Address
    key: DeliveryKey | None
    presets: Mapping[str, Preset]
    permit: Permit


class Verification:
    """Decides what an address opens."""

    def __init__(
        self, keys: DeliveryKeys, images: DeliveredImages, presets: TeamPresets, now: Callable[[], float] = time.time
    ) -> None:
        self.now = now
        self._keys, self._images, self._presets = keys, images, presets
        self._judged: dict[str, _Judged] = {}
        self._judged_weight = 0

    async def permit(self, path: str) -> Permit:
        """Return what the path of an address opens.

        Raises:
            Unknown: nothing, and the caller is not told why.
            ImageFailed: correctly signed, and the image has failed.
            errors.AppError: correctly signed, and refused for a reason; or a part is away.
        """
        judged = self._judged.get(path)
        if judged is None or not await self._still_holds(judged):
            judged = await self._judge(path)
            self._remember(path, judged)
        return judged.permit

    async def _still_holds(self, judged: _Judged) -> bool:
        """Tell whether an address would be judged by the same rows as before, so that the answer is the same."""
        grant, image = judged.address.grant, judged.permit.image
        if grant is not None:
            if grant.has_expired(self.now()):
                return False
            if await self._keys.find(grant.key_number) is not judged.key:
                return False
        if await self._images.rows.get(image.id) is not image:
            return False
        return await self._presets.of(image.team_id) is judged.presets

    def _remember(self, path: str, judged: _Judged) -> None:
        # Rows are read again every few seconds, and an address is judged again then: no order of use is worth keeping.
        weight = judged.permit.image.weight
        if self._judged_weight + weight > _MOST_REMEMBERED:
            self._judged.clear()
            self._judged_weight = 0
        self._judged_weight += weight
        self._judged[path] = judged

    async def _judge(self, path: str) -> _Judged:
        address = parse(path)
        if address is None:
            raise Unknown
        if address.grant is None:
            return await self._judge_public(address)
        if not is_signed_by(await self._keys.bytes_of(address.grant.key_number), address):
            raise Unknown
        if address.grant.kind is ScopeKind.LINK:
            # Share links are not served yet.
            raise Unknown
        if address.grant.has_expired(self.now()):
            raise errors.DeliveryExpired("The address has expired. Sign it again.")
        key = await self._keys.find(address.grant.key_number)
        if key is None:
            raise Unknown
        return await self._judge_signed(address, key)

    async def _judge_public(self, address: Address) -> _Judged:
        image = await self._images.rows.get(address.image_id)
        if image is None or not image.is_public or image.is_gone or not image.is_ready:
            raise Unknown
        if address.tag not in (None, image.tag):
            raise Unknown
        try:
            asked = spec.parse(address.spec)
        except SpecInvalid:
            raise Unknown from None
        if not isinstance(asked, PresetSpec):
            raise Unknown
        presets = await self._presets.of(image.team_id)
        preset = presets.get(asked.name)
        if preset is None or not _opens(preset, address.extension):
            raise Unknown
        return _Judged(address, None, presets, _preset_permit(address, image, asked, preset))

    async def _judge_signed(self, address: Address, key: DeliveryKey) -> _Judged:
        began_at = self._images.rows.clock()
        image = await self._images.rows.get(address.image_id)
        try:
            presets = {} if image is None else await self._presets.of(image.team_id)
            return _Judged(address, key, presets, _open(address, key, image, presets))
        except (Unknown, ImageFailed, errors.Gone, errors.NotFound, errors.Conflict):
            # What was read may be older than the address.
            image = await self._images.rows.get_since(address.image_id, began_at)
        while True:
            presets = {} if image is None else await self._presets.since(image.team_id, began_at)
            try:
                return _Judged(address, key, presets, _open(address, key, image, presets))
            except errors.ImageNotReady:
                if self._images.rows.clock() - began_at >= READY_PATIENCE_SECONDS:
                    raise
            image = await self._images.rows.get_since(address.image_id, self._images.rows.clock())


def _open(address: Address, key: DeliveryKey, image: DeliveredImage | None, presets: Mapping[str, Preset]) -> Permit:
    """Return what a correctly signed address opens, as rows stand.

    Raises:
        Unknown: there is no such image, or it is another team's.
        ImageFailed: the image has failed.
        errors.AppError: the address is refused, for a reason that its holder may know.
    """
    if image is None or image.team_id != key.team_id:
        raise Unknown
    if key.is_retired:
        raise errors.DeliveryRevoked("The delivery key that signed the address has been retired. Sign it again.")
    if image.is_gone or image.status is ImageStatus.EXPIRED:
        raise errors.ImageNotFound("The image does not exist any more.")
    if image.tag is not None and address.tag != image.tag:
        raise errors.DeliveryRevoked(
            "The image's addresses have been revoked, or its file has been replaced. Sign the address again."
        )
    permit = _spec_permit(address, image, presets)
    if image.status is ImageStatus.FAILED:
        raise ImageFailed(image.failure_code or "", image.failure_message or "")
    if not image.is_ready:
        raise errors.ImageNotReady("The image is still being processed. Try again.")
    return permit


def _spec_permit(address: Address, image: DeliveredImage, presets: Mapping[str, Preset]) -> Permit:
    is_exact = address.grant is not None and address.grant.kind is ScopeKind.EXACT
    try:
        asked = spec.parse(address.spec)
    except SpecInvalid as invalid:
        if is_exact and address.spec.startswith(spec.TRANSFORM_PREFIX):
            raise _spec_invalid(invalid.detail, invalid.canonical) from None
        raise _no_preset(address.spec, presets, is_exact=is_exact) from None
    if not is_exact and (isinstance(asked, Recipe) or asked.name in _WHOLE_FILES):
        raise errors.PresetNotFound("The grant opens presets only: sign transforms, `original` and `full` one by one.")
    if isinstance(asked, Recipe):
        _check_format(address.extension)
        return _permit(address, image, address.spec, None, asked, is_lasting=True)
    if asked.is_reserved:
        return _original_permit(address, image, asked)
    preset = presets.get(asked.name)
    if preset is None or not (is_exact or preset.is_open):
        raise _no_preset(asked.name, presets, is_exact=is_exact)
    if not is_exact and not _opens(preset, address.extension):
        formats = ", ".join(preset.formats)
        raise errors.PresetNotFound(f"The preset {preset.name!r} does not list this format: use {formats} or {AUTO}.")
    _check_format(address.extension)
    return _preset_permit(address, image, asked, preset)


def _no_preset(name: str, presets: Mapping[str, Preset], *, is_exact: bool) -> errors.PresetNotFound:
    """Return the refusal of a name, with the nearest one among those that the grant could open."""
    meant = nearest(name, [each.name for each in presets.values() if is_exact or each.is_open])
    return errors.PresetNotFound(
        f"The team has no {'' if is_exact else 'open '}preset {name!r}.",
        **({} if meant is None else {"nearest": meant}),
    )


def _original_permit(address: Address, image: DeliveredImage, asked: PresetSpec) -> Permit:
    if asked.name not in _WHOLE_FILES or asked.short_hash is not None:
        raise errors.PresetNotFound(f"There is no preset {address.spec!r}.")
    if address.extension != FILE:
        raise _spec_invalid("`original` and `full` have the extension `file`.", f"{asked.name}.{FILE}")
    return _permit(address, image, asked.name, None, None, is_lasting=True)


def _preset_permit(address: Address, image: DeliveredImage, asked: PresetSpec, preset: Preset) -> Permit:
    # What a preset makes may change, so only an address that names its recipe gives the same bytes for long.
    is_lasting = asked.short_hash == preset.recipe.short_hash()
    permit = _permit(address, image, asked.name, asked.name, preset.recipe, is_lasting=is_lasting)
    return permit._replace(lists_avif="avif" in preset.formats)


def _permit(
    address: Address, image: DeliveredImage, name: str, preset: str | None, recipe: Recipe | None, *, is_lasting: bool
) -> Permit:
    grant = address.grant
    expires_at = None if grant is None or grant.expiry_minutes == 0 else grant.expiry_minutes * 60.0
    is_exact = grant is not None and grant.kind is ScopeKind.EXACT
    return Permit(
        image, name, preset, recipe, address.extension, expires_at,
        # Without a tag the address goes on when the image's file is replaced.
        is_lasting=is_lasting and address.tag is not None, is_exact=is_exact, is_signed=grant is not None,
    )  # fmt: skip


def _opens(preset: Preset, extension: str) -> bool:
    """Tell whether a preset may be shown in this format to whoever has no signature for just that."""
    return preset.is_open and (extension == AUTO or extension in preset.formats)


def _check_format(extension: str) -> None:
    if extension != AUTO and extension not in FORMATS:
        canonical = "jpeg" if extension == "jpg" else None
        raise _spec_invalid(f"Unknown format `{extension}`: use {', '.join(FORMATS)} or {AUTO}.", canonical)


def _spec_invalid(detail: str, canonical: str | None) -> errors.DeliverySpecInvalid:
    return errors.DeliverySpecInvalid(detail, **({} if canonical is None else {"canonical": canonical}))
