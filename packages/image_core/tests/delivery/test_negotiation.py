import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core.delivery.negotiation import choose_format, named_formats
from image_core.delivery.spec import FORMATS, Format

CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
SAFARI_14 = "image/webp,image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5"


@pytest.mark.parametrize(
    ("accept", "named"),
    [
        (None, set()),
        ("", set()),
        ("*/*", set()),
        ("image/*,*/*;q=0.8", set()),
        (CHROME, {"avif", "webp"}),
        (SAFARI_14, {"webp", "png"}),
        ("IMAGE/WebP", {"webp"}),
        ("image/webp;q=0", set()),
        ("image/webp;q=0.000, image/avif;q=0.001", {"avif"}),
        ("image/webp ; Q=0.5", {"webp"}),
        ("image/webp;level=1;q=0", set()),
        ("image/webp;q=2, image/avif;q=x, image/png;q=", set()),
        ("image/webp;q=1.000, image/avif;q=-1", {"webp"}),
        ("image/webp, image/webp;q=0", set()),
        ("text/html, image/webpx, xximage/webp", set()),
        (",,;q=1,image/jpeg,", {"jpeg"}),
        ("image/webp," * 1000, set()),
    ],
)
def test_a_format_counts_where_it_is_named_with_a_weight(accept: str | None, named: set[Format]) -> None:
    assert named_formats(accept) == named


@given(st.text(st.sampled_from("image/webpvfqjng*;,=. 01\t\x00é"), max_size=120))
def test_any_text_names_known_formats_only(accept: str) -> None:
    named = named_formats(accept)
    assert named <= set(FORMATS)
    assert all(f"image/{name}" in accept for name in named)


@pytest.mark.parametrize(
    ("named", "has_alpha", "is_animated", "avif", "chosen"),
    [
        (set(), False, False, False, "jpeg"),
        (set(), True, False, False, "png"),
        (set(), False, True, True, "jpeg"),
        ({"webp"}, True, True, False, "webp"),
        ({"webp"}, False, False, True, "webp"),
        ({"avif", "webp"}, False, False, True, "avif"),
        ({"avif", "webp"}, False, False, False, "webp"),
        ({"avif", "webp"}, False, True, True, "webp"),
        ({"avif"}, False, False, False, "jpeg"),
        ({"avif"}, True, True, True, "png"),
        ({"jpeg", "png"}, True, False, False, "png"),
        ({"png"}, False, False, False, "jpeg"),
    ],
)
def test_the_best_format_that_is_there_for_the_client_is_chosen(
    named: set[Format], has_alpha: bool, is_animated: bool, avif: bool, chosen: Format
) -> None:
    given_formats = frozenset(named)
    assert (
        choose_format(given_formats, has_alpha=has_alpha, is_animated=is_animated, avif_is_stored_and_smaller=avif)
        == chosen
    )
