"""Share links as their addresses need them: what a link shows, and under which names it is downloaded."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, FromClause, Uuid, and_, bindparam, func, or_, select

from image_core import errors
from image_core.db import Database, Query
from image_core.images.transitions import IS_SHOWN
from image_core.models import collection_member, image, share_link, share_link_image
from image_core.states import LinkDownload
from image_delivery.grants.lookups import Lookups

_MOST_KEPT = 20_000
"""Images in links: about 20 MiB."""
_MOST_NAMES_KEPT = 5_000


class LinkedImage(NamedTuple):
    """A link and one of the images that it shows."""

    link_id: UUID
    image_id: UUID


@dataclass(frozen=True, slots=True)
class SharedImage:
    """What a link shows of one of its images.

    Attributes:
        team_id: of the link.
        presets: names of the presets in which it shows its images.
        download: what its visitors may download.
        epoch: which addresses name if the link has not changed since they were signed.
        expires_at: Unix time at which the link ends; None where it does not.
        has_ended: whether its end has been recorded, which no later time takes back.
    """

    team_id: UUID
    presets: frozenset[str]
    download: LinkDownload
    epoch: int
    expires_at: float | None
    has_ended: bool

    def is_over(self, now_seconds: float) -> bool:
        """Tell whether the link has ended; `now_seconds` is Unix time."""
        return self.has_ended or (self.expires_at is not None and now_seconds >= self.expires_at)


class DownloadName(NamedTuple):
    """How a download from a link is named: by the link's title, if it has one, and the image's number on its pages."""

    title: str | None
    number: int


_asked = func.unnest(
    bindparam("link_ids", type_=ARRAY(Uuid)), bindparam("image_ids", type_=ARRAY(Uuid))
).table_valued("link_id", "image_id").render_derived()  # fmt: skip
_shown = (
    share_link.join(_asked, share_link.c.id == _asked.c.link_id)
    .outerjoin(
        share_link_image,
        and_(share_link_image.c.link_id == share_link.c.id, share_link_image.c.image_id == _asked.c.image_id),
    )
    .outerjoin(
        collection_member,
        and_(
            collection_member.c.collection_id == share_link.c.collection_id,
            collection_member.c.image_id == _asked.c.image_id,
        ),
    )
)
_is_shown = or_(share_link_image.c.link_id.is_not(None), collection_member.c.collection_id.is_not(None))
_shared = Query(
    select(
        *_asked.c, share_link.c.team_id, share_link.c.presets, share_link.c.download, share_link.c.epoch,
        share_link.c.expires_at, share_link.c.ended_at,
    ).select_from(_shown).where(_is_shown)
)  # fmt: skip

_listed, _collected = share_link_image.alias("listed"), collection_member.alias("collected")


def _number(members: FromClause, *conditions: ColumnElement[bool]) -> ColumnElement[int]:
    """Return how many images the link's pages show up to this one."""
    shown = members.join(image, and_(image.c.id == members.c.image_id, image.c.team_id == members.c.team_id))
    return select(func.count()).select_from(shown).where(*conditions, IS_SHOWN).scalar_subquery()


_number_in_list = _number(
    _listed, _listed.c.link_id == share_link.c.id, _listed.c.position <= share_link_image.c.position
)
_number_in_collection = _number(
    _collected,
    _collected.c.collection_id == share_link.c.collection_id,
    _collected.c.position <= collection_member.c.position,
)
_names = Query(
    select(*_asked.c, share_link.c.title, func.greatest(_number_in_list, _number_in_collection).label("number"))
    .select_from(_shown)
    .where(_is_shown)
)


class SharedImages:
    """Images in share links, from a few seconds ago at most; one that its link does not show is absent."""

    def __init__(self, database: Database, outage_seconds: float) -> None:
        self._database = database
        self.rows: Lookups[LinkedImage, SharedImage] = Lookups(
            self._read, outage_seconds=outage_seconds, most_kept=_MOST_KEPT
        )
        self.names: Lookups[LinkedImage, DownloadName] = Lookups(
            self._read_names, outage_seconds=outage_seconds, most_kept=_MOST_NAMES_KEPT
        )

    async def name_of(self, linked: LinkedImage) -> DownloadName | None:
        """Return how a download is named; None if that cannot be read, which is no reason to refuse it."""
        try:
            return await self.names.get(linked)
        except errors.DatabaseUnavailable:
            return None

    async def _read(self, keys: Collection[LinkedImage]) -> Mapping[LinkedImage, SharedImage]:
        rows = await self._database.fetch(_shared, **_columns(keys))
        return {
            LinkedImage(row["link_id"], row["image_id"]): SharedImage(
                team_id=row["team_id"],
                presets=frozenset(row["presets"]),
                download=LinkDownload(row["download"]),
                epoch=row["epoch"],
                expires_at=None if row["expires_at"] is None else row["expires_at"].timestamp(),
                has_ended=row["ended_at"] is not None,
            )
            for row in rows
        }

    async def _read_names(self, keys: Collection[LinkedImage]) -> Mapping[LinkedImage, DownloadName]:
        rows = await self._database.fetch(_names, **_columns(keys))
        return {LinkedImage(row["link_id"], row["image_id"]): DownloadName(row["title"], row["number"]) for row in rows}


def _columns(keys: Collection[LinkedImage]) -> dict[str, list[UUID]]:
    return {"link_ids": [key.link_id for key in keys], "image_ids": [key.image_id for key in keys]}
