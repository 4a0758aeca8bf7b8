import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core.delivery.spec import (
    FITS,
    GRAVITIES,
    MOST_UNBOUNDED_SIDE_PX,
    WIDTHS_PX,
    PresetSpec,
    Recipe,
    SpecInvalid,
    output_size,
    parse,
    parse_transforms,
    scaled_size,
    spell,
)

POINTS = st.tuples(st.integers(0, 1000), st.integers(0, 1000)).map(lambda point: f"x{point[0]}y{point[1]}")


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    fit = draw(st.sampled_from(FITS))
    width, height = draw(st.sampled_from(WIDTHS_PX)), draw(st.integers(1, 4096))
    absent = draw(st.sampled_from(["w", "h", ""])) if fit == "inside" else ""
    return Recipe(
        width_px=None if absent == "w" else width,
        height_px=None if absent == "h" else height,
        fit=fit,
        gravity=draw(st.one_of(st.sampled_from(GRAVITIES), POINTS)) if fit == "cover" else "ce",
        quality=draw(st.integers(1, 100)),
        background=draw(st.none() | st.from_regex(r"[0-9a-f]{6}", fullmatch=True)),
        blur_tenths=draw(st.none() | st.integers(1, 100)),
    )


@given(recipes())
def test_every_recipe_has_one_spelling_that_is_read_back(recipe: Recipe) -> None:
    assert parse(spell(recipe)) == recipe


@given(recipes(), st.randoms())
def test_another_order_is_refused_with_the_canonical_spelling(recipe: Recipe, random: object) -> None:
    canonical = spell(recipe)
    parts = canonical.removeprefix("t-").split("-")
    for other in (parts[::-1], [*parts[1:], parts[0]]):
        spelling = "t-" + "-".join(other)
        if spelling != canonical:
            with pytest.raises(SpecInvalid) as raised:
                parse(spelling)
            assert raised.value.canonical == canonical


@given(st.text(string.ascii_letters + string.digits + "@_.-", max_size=80))
def test_whatever_is_read_is_spelled_as_it_was(text: str) -> None:
    try:
        read = parse("t-" + text)
    except SpecInvalid:
        return
    assert isinstance(read, Recipe)
    assert spell(read) == "t-" + text


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("t-h480-w640", "t-w640-h480"),
        ("t-w640-inside", "t-w640"),
        ("t-w640-q80", "t-w640"),
        ("t-w640-at", "t-w640"),
        ("t-w640-h480-cover-ce", "t-w640-h480-cover"),
        ("t-W640", "t-w640"),
        ("t-w640-bgFFFFFF", "t-w640-bgffffff"),
        ("t-w0640", "t-w640"),
        ("t-w640-h480-cover-x0300y05", "t-w640-h480-cover-x300y5"),
    ],
)
def test_a_second_spelling_names_the_first(spelling: str, canonical: str) -> None:
    with pytest.raises(SpecInvalid) as raised:
        parse(spelling)
    assert raised.value.canonical == canonical


@pytest.mark.parametrize(
    "spelling",
    [
        "t-", "t-cover", "t-w640-cover", "t-h480-pad", "t-w641", "t-w0", "t-w640-h0", "t-w640-h4097",
        "t-w640-w640", "t-w640-cover-pad-h2", "t-w640-q0", "t-w640-q101", "t-w640-blur0", "t-w640-blur101",
        "t-w640-bgfff", "t-w640-h480-cover-x1001y0", "t-w640--h480", "t-w640-rot90", "t-w99999999999999",
    ],
)  # fmt: skip
def test_what_cannot_be_made_has_no_canonical_spelling(spelling: str) -> None:
    with pytest.raises(SpecInvalid) as raised:
        parse(spelling)
    assert raised.value.canonical is None
    assert raised.value.detail


@pytest.mark.parametrize(
    ("spelling", "detail"),
    [
        ("t-w640-h480-cover-x1001y0", "Point `x1001y0` is out of range"),
        ("t-w640-h480-cover-x0y1001", "Point `x0y1001` is out of range"),
        ("t-", "A transform is empty"),
        ("t-w640--h480", "A transform is empty"),
        ("t-w640-zoom", "Unknown transform `zoom`"),
    ],
)
def test_the_detail_names_what_is_wrong(spelling: str, detail: str) -> None:
    with pytest.raises(SpecInvalid) as raised:
        parse(spelling)
    assert raised.value.detail.startswith(detail)


@pytest.mark.parametrize(
    ("spec", "name", "short_hash"),
    [("thumb", "thumb", None), ("card@7d1e", "card", "7d1e"), ("product-card-2", "product-card-2", None)],
)
def test_a_preset_is_a_name_with_or_without_its_hash(spec: str, name: str, short_hash: str | None) -> None:
    assert parse(spec) == PresetSpec(name, short_hash)


@pytest.mark.parametrize(
    "spec", ["Card", "card@7D1E", "card@7d1", "card@", "-card", "card-", "a--b", "2x", "a" * 33, "a_b"]
)
def test_what_is_no_preset_is_refused(spec: str) -> None:
    with pytest.raises(SpecInvalid):
        parse(spec)


def test_the_hash_follows_everything_that_changes_pixels() -> None:
    base = Recipe(width_px=640, height_px=480)
    others = [
        Recipe(width_px=320, height_px=480), Recipe(width_px=640, height_px=481),
        Recipe(width_px=640, height_px=480, fit="cover"), Recipe(width_px=640, height_px=480, gravity="at"),
        Recipe(width_px=640, height_px=480, quality=79), Recipe(width_px=640, height_px=480, background="ffffff"),
        Recipe(width_px=640, height_px=480, blur_tenths=3), Recipe(width_px=640, height_px=480, animated=False),
        Recipe(width_px=640, height_px=480, metadata="copyright"),
    ]  # fmt: skip
    assert len({recipe.hash() for recipe in [base, *others]}) == len(others) + 1
    assert base.short_hash() == base.hash().hex()[:4]


@pytest.mark.parametrize(
    ("spec", "picture", "size"),
    [
        ("t-w640-h320-cover", (200, 152), (200, 100)),
        ("t-w640-h320-cover", (4000, 3000), (640, 320)),
        ("t-w640-h320-pad", (200, 152), (640, 320)),
        ("t-w640-h480", (4000, 3000), (640, 480)),
        ("t-w640", (4000, 3000), (640, 480)),
        ("t-h480", (4000, 3000), (640, 480)),
        ("t-w640", (200, 152), (200, 152)),
        ("t-w16", (10_000, 3), (16, 1)),
        ("t-w768", (768, 40_000), (315, 16_383)),
    ],
)
def test_nothing_is_enlarged(spec: str, picture: tuple[int, int], size: tuple[int, int]) -> None:
    recipe = parse_transforms(spec)
    assert output_size(recipe, *picture) == size


PICTURES = st.tuples(st.integers(1, 20_000), st.integers(1, 20_000))


@given(recipes(), PICTURES)
def test_sizes_stay_within_box_and_picture(recipe: Recipe, picture: tuple[int, int]) -> None:
    width, height = output_size(recipe, *picture)
    assert 1 <= width <= (recipe.width_px or MOST_UNBOUNDED_SIDE_PX)
    assert 1 <= height <= (recipe.height_px or MOST_UNBOUNDED_SIDE_PX)
    scaled = scaled_size(recipe, *picture)
    assert scaled[0] <= picture[0]
    assert scaled[1] <= picture[1]
    if recipe.fit == "cover":
        # Something is cut off along one side at most.
        assert scaled[0] == width or scaled[1] == height
        assert scaled[0] >= width
        assert scaled[1] >= height
    elif recipe.fit == "pad":
        assert scaled[0] <= width
        assert scaled[1] <= height
    else:
        assert scaled == (width, height)


@given(PICTURES)
def test_without_sides_the_size_stays(picture: tuple[int, int]) -> None:
    assert output_size(Recipe(), *picture) == scaled_size(Recipe(), *picture) == picture
