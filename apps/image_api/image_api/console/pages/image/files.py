"""The files of an image: the original, one of its size without metadata, and its derivatives."""

from typing import NamedTuple
from urllib.parse import quote

import orjson

from image_api.actor import Actor, Scope
from image_api.console.pictures import hourly_expiry
from image_api.delivery_addresses.service import FILE
from image_api.http.paths import API_PREFIX
from image_api.images.columns import tag_of
from image_api.images.delivery import signer_of
from image_api.services import Services
from image_core.db import Record
from image_core.states import HOLDS_BYTES, ImageStatus
from image_core.storage.sizes import format_size

# The compressed data of these are copied; all others are made in the background.
_COPIED = ("jpeg", "png", "webp")
_BROWSERS_SHOW = frozenset(f"image/{name}" for name in ("jpeg", "png", "webp", "gif", "avif"))


class File(NamedTuple):
    """A file to download; what is not known of it is null."""

    name: str
    url: str
    width: int | None
    height: int | None
    size: str | None
    content_type: str | None
    note: str = ""


async def files_of(services: Services, actor: Actor, row: Record, now_seconds: float) -> list[File]:
    """Return the files that the caller can download, none of an image in the trash.

    Raises:
        errors.MasterSecretUnavailable, errors.DatabaseUnavailable.
    """
    if row["deleted_at"] or row["status"] not in HOLDS_BYTES:
        return []
    derivatives = orjson.loads(row["derivatives"] or b"[]")
    return [
        File(
            "Original", original_path(row), row["width"], row["height"], format_size(row["size_bytes"]),
            row["content_type"], "with everything that its camera wrote into it",
        ),
        *([whole] if (whole := await _without_metadata(services, actor, row, now_seconds)) else []),
        *(
            File(
                each["preset"], f"{API_PREFIX}/images/{row['id']}/derivatives/{quote(each['preset'])}", each["width"],
                each["height"], format_size(each["size_bytes"]), each["content_type"],
            )
            for each in derivatives
        ),
    ]  # fmt: skip


def original_path(row: Record) -> str:
    """Return the path of the original."""
    return f"{API_PREFIX}/images/{row['id']}/content"


def browsers_show(row: Record) -> bool:
    """Return whether browsers show the original."""
    return row["deleted_at"] is None and row["content_type"] in _BROWSERS_SHOW and row["status"] == ImageStatus.READY


async def _without_metadata(services: Services, actor: Actor, row: Record, now_seconds: float) -> File | None:
    """Return the picture at full size without metadata; None for callers who may not sign its address."""
    tag = tag_of(row)
    if Scope.DELIVERY_MANAGE not in actor.scopes or tag is None or row["status"] == ImageStatus.FAILED:
        return None
    if services.settings.delivery_url is None:
        return None
    signer = await signer_of(services, await services.team_delivery.get(row["team_id"]))
    if signer is None:
        return None
    url = signer.exact(row["id"], tag, f"full.{FILE}", hourly_expiry(now_seconds))
    waits = "" if row["format"] in _COPIED else "; made at the first request: if nothing comes, try again"
    return File(
        "Without metadata", url, row["width"], row["height"], None, None,
        f"neither place nor camera, at full size{waits}",
    )  # fmt: skip
