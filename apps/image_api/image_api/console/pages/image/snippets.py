"""An image as people put it into programs and pages: what its page offers to copy."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from html import escape
from typing import Any, NamedTuple

from image_api.http.paths import API_PREFIX
from image_api.images.delivery import delivery_of
from image_api.services import Services
from image_core.db import Record
from image_core.delivery.spec import Format
from image_core.images.presets import Preset

_SIZES = "(max-width: 1024px) 100vw, 1024px"
_SHOWN = "preview"
_SMALLEST_FIRST: tuple[Format, ...] = ("avif", "webp")


class Snippet(NamedTuple):
    """A text to copy, and what it is."""

    title: str
    text: str


class Snippets(NamedTuple):
    """What to copy; `expires_at` is when the addresses within end, null if they do not."""

    programs: list[Snippet]
    elements: list[Snippet]
    expires_at: datetime | None


async def snippets_of(services: Services, row: Record, base_url: str, alt: str) -> Snippets:
    """Return how programs read an image, and the elements of pages that show it while it can be delivered.

    Raises:
        errors.MasterSecretUnavailable, errors.DatabaseUnavailable.
    """
    url = f"{base_url}{API_PREFIX}/images/{row['id']}"
    programs = [Snippet("Python", _python(url)), Snippet("TypeScript", _typescript(url))]
    delivery, _ = await delivery_of(services, row, requested=True)
    picture = delivery and (delivery["presets"].get(_SHOWN) or next(iter(delivery["presets"].values()), None))
    if not delivery or not picture:
        return Snippets(programs, [], None)
    presets = (await services.team_delivery.get(row["team_id"])).presets
    elements = [Snippet("<img>", _img(picture, alt)), Snippet("<picture>", _picture(picture, presets, alt))]
    return Snippets(programs, elements, delivery["expires_at"])


def _python(url: str) -> str:
    return f"""import os

import httpx

response = httpx.get("{url}", headers={{"X-API-KEY": os.environ["KEY"]}})
response.raise_for_status()
image = response.json()"""


def _typescript(url: str) -> str:
    return f"""const response = await fetch("{url}", {{
  headers: {{ "X-API-KEY": process.env.KEY ?? "" }},
}});
if (!response.ok) throw new Error(await response.text());
const image = await response.json();"""


def _img(picture: Mapping[str, Any], alt: str, indent: str = "") -> str:
    names = ("width", "height")
    size = [(name, picture[name]) for name in names if picture[name] is not None]
    srcset = [("srcset", picture["srcset"]), ("sizes", _SIZES)] if picture["srcset"] else []
    return f"{indent}{_tag('img', [('src', picture['url']), *srcset, *size, ('alt', alt), ('loading', 'lazy')])}"


def _picture(picture: Mapping[str, Any], presets: Mapping[str, Preset], alt: str) -> str:
    """Return the element that names formats, which caches keep apart better than `auto`."""
    found = {
        each: ", ".join(_in_format(picture["srcset"] or picture["url"], presets, each)) for each in _SMALLEST_FIRST
    }
    lines = [
        f"  {_tag('source', [('type', f'image/{each}'), ('srcset', srcset), ('sizes', _SIZES)])}"
        for each, srcset in found.items()
        if srcset
    ]
    return "\n".join(["<picture>", *lines, _img(picture, alt, "  "), "</picture>"])


def _in_format(srcset: str, presets: Mapping[str, Preset], wanted: Format) -> Iterable[str]:
    """Yield those parts of a `srcset` whose presets are made in a format, with their addresses in it."""
    for part in srcset.split(", "):
        url, _, width = part.partition(" ")
        preset = presets.get(url.rpartition("/")[2].partition("@")[0])
        if preset is not None and wanted in preset.formats:
            yield f"{url.removesuffix('auto')}{wanted} {width}".strip()


def _tag(name: str, attributes: list[tuple[str, Any]]) -> str:
    texts = [f'{key}="{escape(str(value))}"' for key, value in attributes]
    return f"<{name} {' '.join(texts)}>"
