from typing import Any
from uuid import UUID

from sqlalchemy import insert

from image_core import models, testing
from image_core.delivery.spec import Recipe
from image_core.images.presets import BUILT_IN, Preset, presets_of_team, presets_of_teams


async def add_preset(rows: Any, team_id: UUID, name: str, **columns: Any) -> None:
    await rows.execute(insert(models.preset).values(team_id=team_id, name=name, **columns))


async def test_every_team_has_the_built_in_presets(rows: Any) -> None:
    assert await presets_of_team(rows, await testing.add_team(rows)) == dict(BUILT_IN)


async def test_a_team_adds_presets_and_changes_built_in_ones_for_itself(rows: Any) -> None:
    team_id, other_id = await testing.add_team(rows), await testing.add_team(rows)
    await add_preset(
        rows,
        team_id,
        "card",
        width=640,
        height=480,
        fit="cover",
        gravity="x300y500",
        quality=70,
        formats=["avif", "webp"],
        background="00ff00",
        animated=False,
        metadata="copyright",
        open=True,
        eager=True,
    )
    await add_preset(rows, team_id, "thumb", height=100)
    found = await presets_of_teams(rows, [team_id, other_id])
    recipe = Recipe(640, 480, "cover", "x300y500", 70, "00ff00", None, animated=False, metadata="copyright")
    assert found[team_id] == {
        **BUILT_IN,
        "card": Preset("card", recipe, ("avif", "webp"), is_open=True, is_eager=True),
        "thumb": Preset("thumb", Recipe(height_px=100)),
    }
    assert found[other_id] == dict(BUILT_IN)


def test_the_spec_of_a_preset_changes_with_its_pixels() -> None:
    one = Preset("card", Recipe(width_px=640))
    assert one.spec == f"card@{one.recipe.hash().hex()[:4]}"
    assert Preset("card", Recipe(width_px=640, quality=81)).spec != one.spec
    assert Preset("card", Recipe(width_px=640), ("avif",), is_open=True).spec == one.spec
