"""The presets that the processor makes of every picture, and those that addresses of every team may name."""

from image_core.images.presets import BUILT_IN
from image_engine.contract.presets import DEFAULT_PRESETS


def test_the_built_in_presets_are_those_that_the_processor_makes() -> None:
    assert list(BUILT_IN) == [each.name for each in DEFAULT_PRESETS]
    for each in DEFAULT_PRESETS:
        assert BUILT_IN[each.name].recipe == each.recipe
        assert BUILT_IN[each.name].is_open
        assert BUILT_IN[each.name].is_eager
