"""Views of share links, one a visitor and hour: counted in memory, and written once a minute.

A visitor is a keyed hash of link, network and browser, with a key that changes daily; neither address nor browser is
stored. Counts are approximate: an instance that is killed loses those of up to a minute.
"""

import asyncio
import hmac
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address, ip_network
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import DateTime, LargeBinary, Uuid, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert

from image_core import errors, telemetry
from image_core.db import Database, Query
from image_core.keys.derived_secrets import derive
from image_core.models import share_link, share_link_visit

FLUSH_SECONDS = 60.0
_MOST_KEPT = 10_000
_IPV4_PREFIX, _IPV6_PREFIX = 24, 48
# Programs that fetch a link to show a preview of it, and that collect pages.
_BOTS = re.compile(
    r"bot\b|bot/|crawl|spider|preview|facebookexternalhit|facebookcatalog|whatsapp|slack|embedly|vkshare|iframely",
    re.IGNORECASE,
)


class _Visit(NamedTuple):
    link_id: UUID
    hour: datetime
    visitor: bytes


_visits = func.unnest(
    bindparam("link_ids", type_=ARRAY(Uuid)),
    bindparam("hours", type_=ARRAY(DateTime(timezone=True))),
    bindparam("visitors", type_=ARRAY(LargeBinary)),
    bindparam("times", type_=ARRAY(DateTime(timezone=True))),
).table_valued("link_id", "hour", "visitor", "seen_at", name="seen").render_derived()  # fmt: skip
# Locked in one order, so that instances do not wait in a circle; a link that was removed meanwhile is not counted.
_live = (
    select(share_link.c.id)
    .where(share_link.c.id.in_(select(_visits.c.link_id)))
    .order_by(share_link.c.id)
    .with_for_update(key_share=True)
    .cte("live")
)
_added = (
    insert(share_link_visit)
    .from_select(
        ["link_id", "hour", "visitor"],
        select(_visits.c.link_id, _visits.c.hour, _visits.c.visitor).join(_live, _live.c.id == _visits.c.link_id),
    )
    .on_conflict_do_nothing()
    .returning(share_link_visit.c.link_id)
    .cte("added")
)
_new = (
    select(func.count()).select_from(_added).where(_added.c.link_id == share_link.c.id).correlate(share_link)
).scalar_subquery()
_last = (
    select(_visits.c.link_id, func.max(_visits.c.seen_at).label("seen_at"))
    .join(_live, _live.c.id == _visits.c.link_id)
    .group_by(_visits.c.link_id)
    .subquery("last")
)
_write = Query(
    update(share_link)
    .where(share_link.c.id == _last.c.link_id)
    .values(views=share_link.c.views + _new, last_viewed_at=func.greatest(share_link.c.last_viewed_at, _last.c.seen_at))
)


class ViewCounts:
    """The views that this instance has seen since it last wrote."""

    def __init__(self) -> None:
        self._seen: dict[_Visit, datetime] = {}

    def count(self, master: bytes, link_id: UUID, address: str, headers: Mapping[str, str]) -> None:
        """Note a view, unless a program asks for it or a browser that only loads ahead.

        Args:
            master: of delivery, from which the keys of days are derived.
            link_id: the link.
            address: the visitor's.
            headers: of the request.
        """
        agent = headers.get("user-agent", "")
        loads_ahead = "prefetch" in headers.get("sec-purpose", headers.get("purpose", ""))
        if loads_ahead or not agent or _BOTS.search(agent) or len(self._seen) >= _MOST_KEPT:
            return
        now = datetime.fromtimestamp(time.time(), UTC)
        key = derive(master, f"share-links/visitors/{now.date()}")
        visitor = hmac.digest(key, f"{link_id}\n{_network_of(address)}\n{agent}".encode(), "sha256")[:16]
        self._seen[_Visit(link_id, now.replace(minute=0, second=0, microsecond=0), visitor)] = now

    async def flush(self, database: Database) -> None:
        """Write what was seen. What cannot be written is kept for the next time."""
        seen, self._seen = self._seen, {}
        if not seen:
            return
        link_ids, hours, visitors = (list(column) for column in zip(*seen, strict=True))
        values = {"link_ids": link_ids, "hours": hours, "visitors": visitors, "times": list(seen.values())}
        try:
            await database.execute(_write, **values)
        except asyncio.CancelledError:
            # The service stops, and writes once more. What was written already does not count twice.
            self._keep(seen)
            raise
        except errors.DatabaseUnavailable:
            telemetry.log("views_not_written", severity="WARNING", views=len(seen))
            self._keep(seen)

    def _keep(self, seen: Mapping[_Visit, datetime]) -> None:
        self._seen = dict(islice({**seen, **self._seen}.items(), _MOST_KEPT))


def _network_of(address: str) -> str:
    """Return the network in which an address lies: about what one household or company has."""
    try:
        found = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    prefix = _IPV6_PREFIX if isinstance(found, IPv6Address) else _IPV4_PREFIX
    return str(ip_network((found, prefix), strict=False))
