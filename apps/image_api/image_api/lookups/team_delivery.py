"""What the delivery addresses of a team depend on, cached for a few seconds."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, func, select

from image_api.lookups.fresh_cache import FreshCache
from image_core import errors
from image_core.db import Database, Query
from image_core.images.presets import Preset, presets_of_team
from image_core.models import delivery_key, team
from image_core.states import DeliveryKeyState, Visibility

SETTLED_AFTER = timedelta(seconds=10)
"""Age at which a key signs: every instance of image-delivery has read it by then."""

_settled = delivery_key.c.created_at < func.now() - SETTLED_AFTER
_signing_number = (
    select(delivery_key.c.number)
    .where(delivery_key.c.team_id == team.c.id, delivery_key.c.state != DeliveryKeyState.RETIRED)
    # In the first seconds after a rotation the key that was replaced still signs.
    .order_by(
        _settled.desc(), (delivery_key.c.state == DeliveryKeyState.ACTIVE).desc(), delivery_key.c.created_at.desc()
    )
    .limit(1)
    .correlate(team)
    .scalar_subquery()
)
_team = Query(
    select(team.c.default_visibility, _signing_number.label("number")).where(team.c.id == bindparam("team_id"))
)


class TeamDelivery(NamedTuple):
    """The delivery settings of a team.

    Attributes:
        default_visibility: of images that have no visibility of their own.
        key_number: number of the delivery key that signs now.
        presets: by name, including the built-in ones.
    """

    default_visibility: Visibility
    key_number: int
    presets: dict[str, Preset]


class TeamDeliveries:
    """The delivery settings of teams, read at most once in 5 seconds each."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self.known: FreshCache[UUID, TeamDelivery] = FreshCache(self._load, clock)

    async def get(self, team_id: UUID) -> TeamDelivery:
        """Return the settings of a team.

        Raises:
            errors.TeamNotFound: The team was removed.
            errors.DatabaseUnavailable.
        """
        return await self.known.get(team_id)

    def forget(self, team_id: UUID) -> None:
        """Drop what is cached of a team, after a change."""
        self.known.forget(team_id)

    async def _load(self, team_id: UUID) -> TeamDelivery:
        row = await self._database.fetch_one(_team, team_id=team_id)
        if row is None or row["number"] is None:
            raise errors.TeamNotFound
        presets = await presets_of_team(self._database, team_id)
        return TeamDelivery(Visibility(row["default_visibility"]), row["number"], presets)
