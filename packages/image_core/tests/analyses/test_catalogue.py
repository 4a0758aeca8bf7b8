import json

import pytest
from pydantic import ValidationError

from image_core.analyses.catalogue import CATALOGUE, canonical_parameters, canonical_result, rounded
from image_core.analyses.results import PaletteColor

COLORS = CATALOGUE["colors"]


def colors_result(**changes: object) -> dict[str, object]:
    palette = [PaletteColor(hex="#ff0000", name="red", share=1 / 3).model_dump()]
    return {
        "palette": palette, "transparency": 0, "grey": False, "mean_chroma": 2 / 3, "warmth": -0.00001,
        "temperature": "neutral", **changes,
    }  # fmt: skip


def test_defaults_and_values_equal_to_them_are_the_same_parameters() -> None:
    assert canonical_parameters(COLORS, {}) == canonical_parameters(COLORS, {"colors": 6})
    assert canonical_parameters(COLORS, {})[1] != canonical_parameters(COLORS, {"colors": 5})[1]
    labels = CATALOGUE["labels"]
    assert canonical_parameters(labels, {"min_score": 0}) == canonical_parameters(labels, {"min_score": 0.0})


@pytest.mark.parametrize("given", [{"colours": 6}, {"colors": 0}, {"colors": 17}, {"colors": "many"}])
def test_unknown_and_impossible_parameters_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        canonical_parameters(COLORS, given)


def test_every_analyzer_can_be_asked_without_parameters() -> None:
    for name, spec in CATALOGUE.items():
        assert spec.name == name
        values, digest = canonical_parameters(spec, {})
        assert (json.loads(json.dumps(values)), len(digest)) == (values, 32)


def test_result_has_one_spelling_that_survives_being_read_and_written_again() -> None:
    content = canonical_result(COLORS, colors_result())
    assert b'"mean_chroma":0.6667' in content
    assert b'"share":0.3333' in content
    assert b'"transparency":0.0,"warmth":0.0}' in content
    assert canonical_result(COLORS, json.loads(content)) == content
    assert canonical_result(COLORS, dict(reversed(colors_result().items()))) == content
    assert canonical_result(COLORS, COLORS.result.model_validate(colors_result())) == content


def test_what_is_no_result_is_refused() -> None:
    for changes in ({"transparency": 2.0}, {"more": 1}, {"warmth": float("nan")}):
        with pytest.raises(ValidationError):
            canonical_result(COLORS, colors_result(**changes))


def test_floats_are_rounded_everywhere_and_zero_has_no_sign() -> None:
    assert rounded({"a": [0.00024, {"b": 0.00026}, 1, "x", None]}) == {"a": [0.0002, {"b": 0.0003}, 1, "x", None]}
    assert str(rounded(-0.00001)) == "0.0"
