"""The presets of teams, as addresses name them."""

from collections.abc import Collection, Mapping
from uuid import UUID

from image_core.db import Database
from image_core.images.presets import BUILT_IN, Preset, presets_of_teams
from image_delivery.grants.lookups import Lookups

_MOST_KEPT = 20_000


class TeamPresets:
    """The presets of teams by name, the built-in ones included, from a few seconds ago at most."""

    def __init__(self, database: Database, outage_seconds: float) -> None:
        self._database = database
        self.rows: Lookups[UUID, Mapping[str, Preset]] = Lookups(
            self._read, outage_seconds=outage_seconds, most_kept=_MOST_KEPT, weight=len
        )

    async def of(self, team_id: UUID) -> Mapping[str, Preset]:
        """Return the presets of a team.

        Raises:
            errors.DatabaseUnavailable: they were never read, or too long ago.
        """
        return await self.rows.get(team_id) or BUILT_IN

    async def since(self, team_id: UUID, moment: float) -> Mapping[str, Preset]:
        """Return the presets of a team, read at a moment of the clock or later; raises what `of` raises."""
        return await self.rows.get_since(team_id, moment) or BUILT_IN

    async def _read(self, team_ids: Collection[UUID]) -> Mapping[UUID, Mapping[str, Preset]]:
        return await presets_of_teams(self._database, team_ids)
