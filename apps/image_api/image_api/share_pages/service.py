"""The rules of the pages of share links: who may see what of a link."""

import re
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple
from uuid import UUID

from image_api.images.delivery import AddressSigner, signer_of
from image_api.links import tokens
from image_api.links.viewing import find_open_link
from image_api.services import Services
from image_api.share_pages import cookies, queries
from image_core import errors
from image_core.db import Record
from image_core.delivery import link_grant
from image_core.delivery.encoding import image_id_of, image_text
from image_core.delivery.link_grant import LinkScope
from image_core.images.presets import Preset

PER_PAGE = 60
REFRESH_BEFORE_SECONDS = 300
"""How long before its addresses expire a page is loaded again."""
_IMAGE = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]", re.ASCII)


class Gallery(NamedTuple):
    """A page of the images that a link shows.

    Attributes:
        rows: the images.
        page: its number, from 1.
        pages: number of pages, at least 1.
        total: number of images on all pages.
    """

    rows: Sequence[Record]
    page: int
    pages: int
    total: int


class Signing(NamedTuple):
    """What signs the addresses of a view of a link.

    Attributes:
        signer: of the link's team.
        link: the link and its present epoch.
        expiry_minutes: of the addresses, in minutes since 1970.
        refresh_seconds: until the page is to be loaded again.
        presets: in which the link shows its images and which the team still has.
    """

    signer: AddressSigner
    link: LinkScope
    expiry_minutes: int
    refresh_seconds: int
    presets: Sequence[Preset]


async def find_link(services: Services, token: str) -> Record | None:
    """Return the link of a token; None for every token that opens nothing.

    Raises:
        errors.DatabaseUnavailable.
    """
    return await find_open_link(services.database, token)


async def may_see(services: Services, link: Record, cookie: str | None, now: Callable[[], float] = time.time) -> bool:
    """Tell whether a visitor with this cookie, or with none, may see what a link shows.

    Raises:
        errors.MasterSecretUnavailable: The master secret cannot be read.
    """
    if link["password_hash"] is None:
        return True
    return cookie is not None and cookies.is_valid(await services.require_delivery_master(), link, cookie, now())


async def issue_cookie(services: Services, link: Record, now: Callable[[], float] = time.time) -> str:
    """Return the value of the cookie for a visitor who has given the password.

    Raises:
        errors.MasterSecretUnavailable: The master secret cannot be read.
    """
    return cookies.issue(await services.require_delivery_master(), link, now())


async def gallery(services: Services, link: Record, page: int) -> Gallery:
    """Return a page of the images of a link; the first one if there is no such page.

    Raises:
        errors.DatabaseUnavailable.
    """
    rows = await queries.page_images(services.database, link, (page - 1) * PER_PAGE, PER_PAGE)
    if not rows and page > 1:
        page, rows = 1, await queries.page_images(services.database, link, 0, PER_PAGE)
    total = rows[0]["total"] if rows else 0
    return Gallery(rows, page, max(1, -(-total // PER_PAGE)), total)


async def find_image(services: Services, link: Record, text: str) -> Record | None:
    """Return the image of a page's address, with its place in the link; None if the link does not show it.

    Raises:
        errors.DatabaseUnavailable.
    """
    if _IMAGE.fullmatch(text) is None:
        return None
    return await queries.find_image(services.database, link, image_id_of(text))


def path_of(token: str, image_id: UUID | None = None) -> str:
    """Return the path of a link's gallery, or of the page of one of its images."""
    gallery_path = tokens.path_of(token)
    return gallery_path if image_id is None else f"{gallery_path}/{image_text(image_id)}"


async def signing_of(services: Services, link: Record, now: Callable[[], float] = time.time) -> Signing:
    """Return what signs the addresses of a view.

    Raises:
        errors.DeliveryNotConfigured: This deployment issues no addresses.
        errors.TeamNotFound: The team was removed.
        errors.MasterSecretUnavailable: The master secret cannot be read.
        errors.DatabaseUnavailable.
    """
    team = await services.team_delivery.get(link["team_id"])
    signer = await signer_of(services, team)
    if signer is None:
        raise errors.DeliveryNotConfigured
    now_seconds = now()
    expiry = link_grant.expiry_of(now_seconds)
    presets = [team.presets[name] for name in link["presets"] if name in team.presets]
    refresh_seconds = int(expiry * 60 - now_seconds) - REFRESH_BEFORE_SECONDS
    return Signing(signer, LinkScope(link["id"], link["epoch"]), expiry, refresh_seconds, presets)
