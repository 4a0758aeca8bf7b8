"""Pictures in pages: addresses that repeat for an hour, and the names of pictures."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from image_api.images.delivery import delivery_of
from image_api.services import Services
from image_core.db import Record

_HOUR_SECONDS = 3600


class Picture(NamedTuple):
    """What an `<img>` shows; width and height are null until the image's size is known."""

    url: str
    srcset: str | None
    width: int | None
    height: int | None


def hourly_expiry(now_seconds: float) -> int:
    """Return an expiry in minutes since 1970, one to two hours ahead and the same for a whole hour.

    So an address repeats, and browsers show the picture that they have.
    """
    return (int(now_seconds) // _HOUR_SECONDS + 2) * 60


async def picture_of(
    services: Services, row: Record, preset: str, now: Callable[[], float] = time.time
) -> Picture | None:
    """Return the picture of an image in a preset; None if it cannot be shown now, or nothing delivers it.

    Raises:
        errors.MasterSecretUnavailable: The address needs a signature, and the secret cannot be read.
        errors.DatabaseUnavailable.
    """
    delivery, _ = await delivery_of(services, row, requested=True, expiry_minutes=hourly_expiry(now()))
    entry: dict[str, Any] | None = None if delivery is None else delivery["presets"].get(preset)
    return None if entry is None else Picture(**entry)


def name_of(row: Record) -> str:
    """Return the name of a picture: its alternative text, else its description, else its filename."""
    return str(row["alt_text"] or row["description"] or row["filename"] or f"Image {row['id']}")
