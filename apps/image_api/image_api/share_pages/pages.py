"""The pages of share links as HTML: what templates read, and the headers that go with it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from fastapi import Response

from image_api.http.paths import STATIC_PREFIX
from image_api.images.columns import tag_of
from image_api.images.delivery import PresetAddress, placeholder_of, preset_addresses
from image_api.share_pages import service
from image_api.share_pages.service import Gallery, Signing
from image_api.web_pages.content_security import SELF, content_security_policy
from image_api.web_pages.static_files import StaticFiles
from image_api.web_pages.templates import Templates
from image_core import errors
from image_core.db import Record
from image_core.delivery import grant
from image_core.errors.problem_documents import status_of
from image_core.images.presets import Preset
from image_core.states import LinkDownload

_PACKAGE = "image_api.share_pages"
static_files = StaticFiles(_PACKAGE, f"{STATIC_PREFIX}/share")
_templates = Templates(_PACKAGE, static_files)

_DEFAULT_TITLE = "Shared pictures"
_GRID_WIDTH_PX, _PREVIEW_WIDTH_PX = 320, 1200
"""Least widths of pictures in a gallery, and of those that other sites show beside the link."""
RATIO_STEP, LOWEST_RATIO, HIGHEST_RATIO = 1.06, -14, 22
"""The style sheet has a class for each of these powers of the step, as it cannot read a picture's size."""
_WHOLE_FILES = {LinkDownload.STRIPPED: "full", LinkDownload.ORIGINAL: "original"}
ROBOTS = {"x-robots-tag": "noindex"}
"""Sent with every response: links are not for search engines."""


class Picture(NamedTuple):
    """A picture as a page shows it.

    Attributes:
        number: its place in the link, from 1.
        alt: its text alternative, never its filename.
        language: of `alt`, where it is known.
        address: of the picture; None if the team has none of the link's presets any more.
        ratio_class: the class of the style sheet for its ratio.
        placeholder: a few pixels as a `data:` URI; None if there are none.
        path: of its own page.
    """

    number: int
    alt: str
    language: str | None
    address: PresetAddress | None
    ratio_class: str
    placeholder: str | None
    path: str


def gallery(token: str, link: Record, shown: Gallery, signing: Signing) -> Response:
    """Return a page of a link's gallery."""
    first = (shown.page - 1) * service.PER_PAGE + 1
    pictures = [
        _picture(token, row, number, signing, _GRID_WIDTH_PX) for number, row in enumerate(shown.rows, start=first)
    ]
    values = {
        "link_title": link["title"] or _DEFAULT_TITLE,
        "pictures": pictures,
        "total": shown.total,
        "page": shown.page,
        "pages": shown.pages,
        "previous_path": _gallery_path(token, shown.page - 1) if shown.page > 1 else None,
        "next_path": _gallery_path(token, shown.page + 1) if shown.page < shown.pages else None,
        "expires_at": link["expires_at"],
        "expiry_text": link["expires_at"] and f"{link['expires_at']:%-d %B %Y, %H:%M} UTC",
        "preview": _preview(shown.rows[0], signing) if shown.rows else None,
    }
    return _page_with_pictures("gallery.html", values, signing)


def picture(token: str, link: Record, row: Record, signing: Signing) -> Response:
    """Return the page of one picture."""
    number, total = row["number"], row["total"]
    previous_id, next_id = row["previous_id"], row["next_id"]
    page = (number - 1) // service.PER_PAGE + 1
    values = {
        "link_title": link["title"] or _DEFAULT_TITLE,
        "picture": _picture(token, row, number, signing),
        "total": total,
        "gallery_path": f"{_gallery_path(token, page)}#picture-{number}",
        "previous_path": service.path_of(token, previous_id) if previous_id else None,
        "next_path": service.path_of(token, next_id) if next_id else None,
        "download_url": _download_url(link, row, signing),
        "preview": _preview(row, signing),
    }
    return _page_with_pictures("picture.html", values, signing)


def password(token: str, status: int = 200, message: str | None = None, retry_after: int | None = None) -> Response:
    """Return the page that asks for a link's password, and shows nothing of the link."""
    headers = ROBOTS | ({"retry-after": str(retry_after)} if retry_after is not None else {})
    values = {"action": service.path_of(token), "message": message}
    policy = content_security_policy(style_src=(SELF,), img_src=(SELF,), form_action=(SELF,))
    return _templates.page("password.html", values, policy=policy, status=status, headers=headers)


def not_found() -> Response:
    """Return the one page for every link that opens nothing."""
    return _message("This link does not work", "It may have expired, or it was not copied completely.", 404)


def failed(error: errors.AppError) -> Response:
    """Return the page for an error."""
    if isinstance(error, errors.NotFound):
        return not_found()
    seconds = getattr(error, "retry_after_seconds", None)
    headers = {} if seconds is None else {"retry-after": str(seconds)}
    title = "Please wait a moment" if seconds is not None else "This did not work"
    text = "Load the page again in a few seconds." if seconds is not None else "Go back and try again."
    return _message(title, text, status_of(error), headers)


def _message(title: str, text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    policy = content_security_policy(style_src=(SELF,), img_src=(SELF,))
    values = {"title": title, "text": text}
    return _templates.page("message.html", values, policy=policy, status=status, headers=ROBOTS | dict(headers or {}))


def _page_with_pictures(template: str, values: Mapping[str, Any], signing: Signing) -> Response:
    pictures = f"{signing.signer.base_url}{grant.PREFIX}"
    policy = content_security_policy(style_src=(SELF,), img_src=(SELF, pictures, "data:"))
    headers = ROBOTS | {"refresh": str(signing.refresh_seconds)}
    parts = urlsplit(signing.signer.base_url)
    origin = f"{parts.scheme}://{parts.netloc}"
    return _templates.page(template, {**values, "pictures_origin": origin}, policy=policy, headers=headers)


def _gallery_path(token: str, page: int) -> str:
    return service.path_of(token) if page == 1 else f"{service.path_of(token)}?page={page}"


def _picture(token: str, row: Record, number: int, signing: Signing, least_width: int | None = None) -> Picture:
    alt, language = row["alt_text"], row["alt_text_language"]
    if not alt:
        alt, language = row["description"] or f"Picture {number}", None
    address = _address(row, signing, least_width)
    size = (address.size if address else None) or (1, 1)
    return Picture(
        number=number,
        alt=alt,
        language=language,
        address=address,
        ratio_class=ratio_class(*size),
        placeholder=placeholder_of(row),
        path=service.path_of(token, row["id"]),
    )


def _address(row: Record, signing: Signing, least_width: int | None) -> PresetAddress | None:
    """Return the smallest picture of this width, or the largest one there is."""
    presets = _suitable(signing.presets, moves=(row["frames"] or 1) > 1)
    addresses = preset_addresses(_prefix(row, signing), row, presets).values()
    by_width: Sequence[PresetAddress] = sorted(addresses, key=lambda address: (address.size or (0, 0))[0])
    if not by_width:
        return None
    wide = [address for address in by_width if least_width is not None and (address.size or (0, 0))[0] >= least_width]
    return wide[0] if wide else by_width[-1]


def _suitable(presets: Sequence[Preset], *, moves: bool) -> Sequence[Preset]:
    """Return the presets that show all of a picture: uncut and, of an animation, every frame; else the others."""
    uncut = [preset for preset in presets if preset.recipe.fit == "inside"] or presets
    return [preset for preset in uncut if preset.recipe.animated or not moves] or uncut


def _prefix(row: Record, signing: Signing) -> str:
    return signing.signer.shared(signing.link, row["id"], tag_of(row) or "", signing.expiry_minutes)


def _preview(row: Record, signing: Signing) -> PresetAddress | None:
    return _address(row, signing, _PREVIEW_WIDTH_PX)


def _download_url(link: Record, row: Record, signing: Signing) -> str | None:
    spec = _WHOLE_FILES.get(LinkDownload(link["download"]))
    return None if spec is None else f"{_prefix(row, signing)}/{spec}.file"


def ratio_class(width: int, height: int) -> str:
    """Return the class of the style sheet for the ratio that is closest to this one."""
    power = round(math.log(width / height) / math.log(RATIO_STEP))
    return f"ratio-{min(max(power, LOWEST_RATIO), HIGHEST_RATIO) - LOWEST_RATIO}"
