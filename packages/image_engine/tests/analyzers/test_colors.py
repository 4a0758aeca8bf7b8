import numpy as np
import pytest

from image_engine.analyzers.colors import nearest_name
from image_engine.analyzers.css_colors import CSS_COLORS
from image_engine.picture.oklab import from_oklab, to_oklab
from image_engine.testing.pictures import analyzed, photograph, png, scene


def stripes(**shares: int) -> bytes:
    """Vertical stripes of CSS colours, each so many of 200 columns wide."""
    columns = [rgb(name) for name, width in shares.items() for _ in range(width)]
    return png(np.broadcast_to(np.array(columns), (150, len(columns), 3)))


def rgb(name: str) -> tuple[int, int, int]:
    value = CSS_COLORS[name]
    return value >> 16, value >> 8 & 255, value & 255


def test_palette_has_the_colors_and_shares_that_were_painted() -> None:
    palette = analyzed(stripes(tomato=100, navy=60, gold=30, white=10), "colors")["palette"]
    assert palette == [
        {"hex": "#ff6347", "name": "tomato", "share": 0.5},
        {"hex": "#000080", "name": "navy", "share": 0.3},
        {"hex": "#ffd700", "name": "gold", "share": 0.15},
        {"hex": "#ffffff", "name": "white", "share": 0.05},
    ]


def test_palette_of_a_large_picture_has_the_same_shares() -> None:
    pixels = np.empty((1500, 2000, 3))
    pixels[:, :1000], pixels[:, 1000:1600], pixels[:, 1600:] = rgb("tomato"), rgb("navy"), rgb("gold")
    palette = analyzed(png(pixels), "colors")["palette"]
    assert [color["name"] for color in palette] == ["tomato", "navy", "gold"]
    assert [color["share"] for color in palette] == pytest.approx([0.5, 0.3, 0.2], abs=0.005)


def test_palette_is_no_longer_than_asked_and_sums_up_to_the_whole() -> None:
    for colors in (1, 3, 16):
        palette = analyzed(photograph(900, 600), "colors", colors=colors)["palette"]
        assert len(palette) <= colors
        assert sum(color["share"] for color in palette) == pytest.approx(1, abs=0.05)
        assert [color["share"] for color in palette] == sorted((color["share"] for color in palette), reverse=True)


def test_shades_that_look_the_same_are_one_color() -> None:
    pixels = np.full((150, 200, 3), 120.0)
    pixels[:, 100:] = 124
    assert [color["share"] for color in analyzed(png(pixels), "colors")["palette"]] == [1]


@pytest.mark.parametrize("name", CSS_COLORS)
def test_every_named_color_has_its_own_name(name: str) -> None:
    point = to_oklab(np.array([rgb(name)], dtype=float))[0]
    assert nearest_name(point) == name
    assert np.rint(from_oklab(point)).tolist() == list(rgb(name))


def test_named_colors_are_those_of_the_standard() -> None:
    from PIL import ImageColor

    assert len(CSS_COLORS) == 139
    # Pillow puts a tuple in the place of a text once a name has been used.
    assert {rgb(name) for name in CSS_COLORS} == {ImageColor.getrgb(name) for name in ImageColor.colormap}


def test_transparency_counts_and_hides_colors() -> None:
    pixels = np.zeros((100, 200, 4))
    pixels[:, :50], pixels[:, 50:] = (255, 0, 0, 255), (0, 0, 255, 0)
    result = analyzed(png(pixels), "colors")
    assert result["transparency"] == 0.75
    assert result["palette"] == [{"hex": "#ff0000", "name": "red", "share": 1}]
    pixels[..., 3] = 0
    result = analyzed(png(pixels), "colors")
    assert (result["palette"], result["transparency"], result["grey"], result["warmth"]) == ([], 1, True, 0)


@pytest.mark.parametrize(
    ("name", "temperature"),
    [("orange", "warm"), ("red", "warm"), ("deepskyblue", "cool"), ("teal", "cool"), ("gray", "neutral")],
)
def test_warm_and_cool_are_told_apart(name: str, temperature: str) -> None:
    result = analyzed(stripes(**{name: 200}), "colors")
    assert result["temperature"] == temperature
    assert result["grey"] == (name == "gray")


def test_warm_and_cool_halves_are_neutral() -> None:
    result = analyzed(stripes(orange=90, deepskyblue=110), "colors")
    assert abs(result["warmth"]) < 0.25
    assert analyzed(stripes(orange=200), "colors")["warmth"] > 0.8


def test_noise_and_compression_leave_a_grey_photograph_grey() -> None:
    noise = np.random.default_rng(2).normal(0, 2, (300, 400, 3))
    luma = scene(400, 300).numpy().mean(axis=2, keepdims=True)
    assert analyzed(png(luma + noise), "colors")["grey"]
    assert not analyzed(png(scene(400, 300).numpy()), "colors")["grey"]
