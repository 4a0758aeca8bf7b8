"""What an address opens by the rows that it was looked up by. Nothing is read here."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from image_core import errors
from image_core.delivery import spec
from image_core.delivery.grant import Address, ScopeKind
from image_core.delivery.link_grant import link_of
from image_core.delivery.spec import FORMATS, PresetSpec, Recipe, SpecInvalid
from image_core.errors.nearest import nearest
from image_core.images.presets import Preset
from image_core.states import ImageStatus, LinkDownload
from image_delivery.grants.images import DeliveredImage
from image_delivery.grants.keys import DeliveryKey
from image_delivery.grants.links import DownloadName, LinkedImage, SharedImage

AUTO, FILE = "auto", "file"
_ORIGINAL, _FULL = "original", "full"
_WHOLE_FILES = (_ORIGINAL, _FULL)
_DOWNLOADS: Mapping[LinkDownload, Collection[str]] = {
    LinkDownload.NONE: (), LinkDownload.STRIPPED: (_FULL,), LinkDownload.ORIGINAL: _WHOLE_FILES,
}  # fmt: skip


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


class Rows(NamedTuple):
    """The rows that decide about an address: each None, or empty, where there is none."""

    key: DeliveryKey | None
    image: DeliveredImage | None
    presets: Mapping[str, Preset]
    shared: SharedImage | None = None


class Permit(NamedTuple):
    """What an address asks for, and may have.

    Attributes:
        image: the image, ready to be shown.
        name: the preset's name, `original`, `full`, or the transforms as the address spells them.
        preset: the preset; None for everything else.
        recipe: what to make; None for the original's bytes, and for the whole picture without metadata.
        extension: a format, `auto`, or `file`.
        expires_at: Unix time at which the grant or its share link ends; None where neither does.
        is_lasting: whether the same address gives the same bytes for as long as it is good.
        is_exact: whether the signature covers the spec, so that whoever signed has asked for just this.
        is_signed: whether there is a signature, rather than a public image.
        lists_avif: whether it is a preset that is to be made in AVIF too.
        linked: the share link that shows the image; None for all other addresses.
        download_name: how a whole file is named that is downloaded from a share link; None for everything else.
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
    linked: LinkedImage | None = None
    download_name: DownloadName | None = None


class _Rights(NamedTuple):
    """What a grant opens, and how a holder is told that it opens no more.

    Attributes:
        presets: by name.
        whole_files: `original` and `full`, where they are opened.
        holder: what is said to have no preset of a name.
        others: the refusal of whole files, and of transforms.
    """

    presets: Mapping[str, Preset]
    whole_files: Collection[str]
    holder: str
    others: str


def check_public(address: Address, image: DeliveredImage) -> PresetSpec:
    """Return the preset that the address of a public image asks for.

    Raises:
        Unknown: the image is not public, or the address cannot be one of it.
    """
    if not image.is_public or image.is_gone or not image.is_ready:
        raise Unknown
    if address.tag not in (None, image.tag):
        raise Unknown
    try:
        asked = spec.parse(address.spec)
    except SpecInvalid:
        raise Unknown from None
    if not isinstance(asked, PresetSpec):
        raise Unknown
    return asked


def open_public(address: Address, image: DeliveredImage, asked: PresetSpec, presets: Mapping[str, Preset]) -> Permit:
    """Return what an address opens that `check_public` let pass.

    Raises:
        Unknown: there is no such open preset, or it does not list the format.
    """
    preset = presets.get(asked.name)
    if preset is None or not preset.is_open or not _lists(preset, address.extension):
        raise Unknown
    return _preset_permit(address, image, asked, preset)


def open_signed(address: Address, rows: Rows, now_seconds: float) -> Permit:
    """Return what a correctly signed address opens.

    Raises:
        Unknown: there is no such image, or it is another team's.
        ImageFailed: the image has failed.
        errors.AppError: the address is refused, for a reason that its holder may know.
    """
    key, image = rows.key, rows.image
    if key is None or image is None or image.team_id != key.team_id:
        raise Unknown
    if key.is_retired:
        raise errors.DeliveryRevoked("The delivery key that signed the address has been retired. Sign it again.")
    linked = linked_image(address)
    if linked is not None:
        _check_link(address, key, rows.shared, now_seconds)
    if image.is_gone or image.status is ImageStatus.EXPIRED:
        raise errors.ImageNotFound("The image does not exist any more.")
    if image.tag is not None and address.tag != image.tag:
        raise errors.DeliveryRevoked(
            "The image's addresses have been revoked, or its file has been replaced. Sign the address again."
        )
    permit = _spec_permit(address, image, _rights(address, rows))
    if image.status is ImageStatus.FAILED:
        raise ImageFailed(image.failure_code or "", image.failure_message or "")
    if not image.is_ready:
        raise errors.ImageNotReady("The image is still being processed. Try again.")
    return permit if linked is None else _ending_with_link(permit, linked, rows.shared)


def linked_image(address: Address) -> LinkedImage | None:
    """Return the share link that an address names, with its image; None in other scopes."""
    if address.grant is None or address.grant.kind is not ScopeKind.LINK:
        return None
    return LinkedImage(link_of(address.grant).link_id, address.image_id)


def _check_link(address: Address, key: DeliveryKey, shared: SharedImage | None, now_seconds: float) -> None:
    """Let an address be served while its share link is there, and as it was when the address was signed.

    Raises:
        errors.DeliveryRevoked: the link is gone, another team's, changed, or does not show the image.
        errors.DeliveryExpired: the link is over.
    """
    if address.grant is None or shared is None or shared.team_id != key.team_id:
        raise errors.DeliveryRevoked("The share link is gone, or it does not show this image any more.")
    if shared.epoch != link_of(address.grant).epoch:
        raise errors.DeliveryRevoked("The share link has been changed. Load its page again.")
    if shared.is_over(now_seconds):
        raise errors.DeliveryExpired("The share link has expired.")


def _ending_with_link(permit: Permit, linked: LinkedImage, shared: SharedImage | None) -> Permit:
    expires_at = permit.expires_at
    if expires_at is not None and shared is not None and shared.expires_at is not None:
        expires_at = min(expires_at, shared.expires_at)
    return permit._replace(expires_at=expires_at, linked=linked)


def _rights(address: Address, rows: Rows) -> _Rights:
    presets = rows.presets
    if _is_exact(address):
        return _Rights(presets, _WHOLE_FILES, "The team has no preset", "")
    if rows.shared is None:
        return _Rights(
            {name: preset for name, preset in presets.items() if preset.is_open}, (), "The team has no open preset",
            "The grant opens presets only: sign transforms, `original` and `full` one by one.",
        )  # fmt: skip
    return _Rights(
        {name: preset for name, preset in presets.items() if name in rows.shared.presets},
        _DOWNLOADS[rows.shared.download], "The share link shows no preset",
        "The share link shows its presets only, and does not offer this download.",
    )  # fmt: skip


def _is_exact(address: Address) -> bool:
    """Tell whether the signature of an address covers the spec and the extension."""
    return address.grant is not None and address.grant.kind is ScopeKind.EXACT


def _spec_permit(address: Address, image: DeliveredImage, rights: _Rights) -> Permit:
    try:
        asked = spec.parse(address.spec)
    except SpecInvalid as invalid:
        if _is_exact(address) and address.spec.startswith(spec.TRANSFORM_PREFIX):
            raise _spec_invalid(invalid.detail, invalid.canonical) from None
        raise _no_preset(address.spec, rights) from None
    if isinstance(asked, Recipe):
        if not _is_exact(address):
            raise errors.PresetNotFound(rights.others)
        _check_format(address.extension)
        return _permit(address, image, address.spec, None, asked, is_lasting=True)
    if asked.is_reserved:
        return _whole_permit(address, image, asked, rights)
    preset = rights.presets.get(asked.name)
    if preset is None:
        raise _no_preset(asked.name, rights)
    if not _is_exact(address) and not _lists(preset, address.extension):
        formats = ", ".join(preset.formats)
        raise errors.PresetNotFound(f"The preset {preset.name!r} does not list this format: use {formats} or {AUTO}.")
    _check_format(address.extension)
    return _preset_permit(address, image, asked, preset)


def _no_preset(name: str, rights: _Rights) -> errors.PresetNotFound:
    """Return the refusal of a name, with the nearest one among those that the grant opens."""
    meant = nearest(name, list(rights.presets))
    return errors.PresetNotFound(f"{rights.holder} {name!r}.", **({} if meant is None else {"nearest": meant}))


def _whole_permit(address: Address, image: DeliveredImage, asked: PresetSpec, rights: _Rights) -> Permit:
    if asked.name not in _WHOLE_FILES or asked.short_hash is not None:
        raise errors.PresetNotFound(f"There is no preset {address.spec!r}.")
    if asked.name not in rights.whole_files:
        raise errors.PresetNotFound(rights.others)
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
    return Permit(
        image, name, preset, recipe, address.extension, expires_at,
        # Without a tag the address goes on when the image's file is replaced.
        is_lasting=is_lasting and address.tag is not None, is_exact=_is_exact(address), is_signed=grant is not None,
    )  # fmt: skip


def _lists(preset: Preset, extension: str) -> bool:
    """Tell whether a preset may be shown in this format to whoever has no signature for just that."""
    return extension == AUTO or extension in preset.formats


def _check_format(extension: str) -> None:
    if extension != AUTO and extension not in FORMATS:
        canonical = "jpeg" if extension == "jpg" else None
        raise _spec_invalid(f"Unknown format `{extension}`: use {', '.join(FORMATS)} or {AUTO}.", canonical)


def _spec_invalid(detail: str, canonical: str | None) -> errors.DeliverySpecInvalid:
    return errors.DeliverySpecInvalid(detail, **({} if canonical is None else {"canonical": canonical}))
