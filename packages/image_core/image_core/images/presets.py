"""Presets: the named recipes of a team. Three exist for every team; a team's own rows add to them or replace them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from uuid import UUID

from sqlalchemy import ARRAY, Integer, Uuid, bindparam, func, literal_column, select

from image_core.db import Query, Record, Runner, Transaction
from image_core.delivery.spec import FocalPoint, Format, Recipe
from image_core.models import preset


@dataclass(frozen=True, slots=True)
class Preset:
    """One preset of a team.

    Attributes:
        name: as in addresses.
        recipe: the transforms that produce its pixels.
        formats: the formats in which grants of scope `p` and addresses of public images may ask for it.
        is_open: whether those grants and addresses include the preset.
        is_eager: whether it is made when an image is processed: WebP as the derivative, other formats as renditions.
    """

    name: str
    recipe: Recipe
    formats: tuple[Format, ...] = ("webp",)
    is_open: bool = False
    is_eager: bool = False

    @property
    def spec(self) -> str:
        """The preset in an address: its name with the short hash of its recipe."""
        return f"{self.name}@{self.recipe.short_hash()}"


def _built_in(name: str, longest_side_px: int, *, animated: bool) -> Preset:
    recipe = Recipe(width_px=longest_side_px, height_px=longest_side_px, animated=animated)
    return Preset(name, recipe, is_open=True, is_eager=True)


BUILT_IN = MappingProxyType(
    {
        each.name: each
        for each in (
            _built_in("thumb", 256, animated=True),
            _built_in("preview", 1024, animated=True),
            _built_in("large", 2048, animated=False),
        )
    }
)
"""The presets of every team, by name, until the team changes them."""

NEWEST_ID = UUID(int=2**128 - 1)
"""Larger than every id: where work on all images of a team begins."""
COLUMNS = (
    preset.c.name, preset.c.width, preset.c.height, preset.c.fit, preset.c.gravity, preset.c.quality, preset.c.formats,
    preset.c.background, preset.c.animated, preset.c.metadata, preset.c.open, preset.c.eager,
)  # fmt: skip
"""The columns that `from_row` reads."""

_of_teams = Query(
    select(preset.c.team_id, *COLUMNS).where(preset.c.team_id == func.any(bindparam("team_ids", type_=ARRAY(Uuid))))
)
# Any number that no other lock begins with.
_LOCK_SPACE = literal_column("1886544244", Integer)
_lock = Query(select(func.pg_advisory_xact_lock(_LOCK_SPACE, bindparam("lock_key", type_=Integer))))
_share = Query(select(func.pg_advisory_xact_lock_shared(_LOCK_SPACE, bindparam("lock_key", type_=Integer))))


def from_row(row: Record) -> Preset:
    """Return the preset that a row of the table holds."""
    recipe = Recipe(
        width_px=row["width"],
        height_px=row["height"],
        fit=row["fit"],
        gravity=row["gravity"],
        quality=row["quality"],
        background=row["background"],
        animated=row["animated"],
        metadata=row["metadata"],
    )
    return Preset(row["name"], recipe, tuple(row["formats"]), row["open"], row["eager"])


async def presets_of_teams(connection: Runner, team_ids: Collection[UUID]) -> dict[UUID, dict[str, Preset]]:
    """Return the presets of each team by name, including the built-in ones, in one query."""
    found = {team_id: dict(BUILT_IN) for team_id in team_ids}
    for row in await connection.fetch(_of_teams, team_ids=list(team_ids)):
        found[row["team_id"]][row["name"]] = from_row(row)
    return found


async def presets_of_team(connection: Runner, team_id: UUID) -> dict[str, Preset]:
    """Return the presets of one team by name, including the built-in ones."""
    return (await presets_of_teams(connection, [team_id]))[team_id]


def focal_point_of(row: Record) -> FocalPoint | None:
    """Return the focal point of an image from its row, `focal_x` and `focal_y`; None if it has none."""
    return None if row["focal_x"] is None else FocalPoint(row["focal_x"], row["focal_y"])


def eager_recipes(presets: Mapping[str, Preset], focal_point: FocalPoint | None) -> dict[str, Recipe]:
    """Return what is made early of an image with this focal point, by preset."""
    return {preset.name: preset.recipe.focused(focal_point) for preset in presets.values() if preset.is_eager}


async def lock_presets(transaction: Transaction, team_id: UUID) -> None:
    """Keep what was made of a team's presets from being stored until the transaction, which changes them, ends."""
    await transaction.execute(_lock, lock_key=_lock_key(team_id))


async def share_presets(transaction: Transaction, team_id: UUID) -> dict[str, Preset]:
    """Return the presets of a team, which nobody changes until the transaction ends.

    Whoever stores a picture checks its recipe so. Otherwise a change could be committed after the check, find the image
    as it was, and be lost.
    """
    await transaction.execute(_share, lock_key=_lock_key(team_id))
    return await presets_of_team(transaction, team_id)


def _lock_key(team_id: UUID) -> int:
    """Return 31 bits of the random part of an id; teams that share them wait for each other."""
    return team_id.int & 2**31 - 1
