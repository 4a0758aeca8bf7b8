import io
import json
import time
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter, ImageSequence

from image_core.delivery.spec import FORMATS, WIDTHS_PX, FocalPoint, Format, Recipe, output_size, parse_transforms
from image_engine.contract.limits import PictureLimits
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.rejections import PictureRejected
from image_engine.contract.renditions import Rendition, RenditionRequest
from image_engine.contract.requests import ProcessingRequest
from image_engine.picture.encode import avif_quality
from image_engine.picture.xmp import read_xmp
from image_engine.testing.pictures import (
    ORIENTATIONS,
    animation,
    exif_block,
    jpeg,
    palette_png,
    photograph,
    png_header,
    scene,
    turned_for,
    with_metadata,
)
from image_engine.testing.stills import SCENE, STILLS, display_p3
from image_engine.worker.pipeline import process_picture
from image_engine.worker.rendition import render_picture

Samples = npt.NDArray[np.float64]

PIL_NAMES = {"webp": "WEBP", "avif": "AVIF", "jpeg": "JPEG", "png": "PNG"}
# Mean difference of samples that encoding at quality 80 leaves in the scene; PNG loses nothing but what scaling rounds.
ENCODING = {"webp": 3.0, "avif": 2.5, "jpeg": 2.5, "png": 0.6}


def render(
    content: bytes, spec: str | Recipe = "t-w160", image_format: Format = "png", seconds: float = 60, **options: Any
) -> Rendition:
    recipe = parse_transforms(spec) if isinstance(spec, str) else spec
    with open_picture_file() as picture:
        picture.write(content)
        request = RenditionRequest(recipe, image_format, **options)
        return render_picture(picture.fileno(), request, time.monotonic() + seconds)


def opened(rendition: Rendition) -> Image.Image:
    """Decode by another library than the one that encoded."""
    image = Image.open(io.BytesIO(rendition.content))
    assert image.format == PIL_NAMES[rendition.format]
    assert image.size == (rendition.width_px, rendition.height_px)
    return image


def rgb(image: Image.Image) -> Samples:
    return np.asarray(image.convert("RGB"), dtype=np.float64)


def rgba(image: Image.Image) -> Samples:
    return np.asarray(image.convert("RGBA"), dtype=np.float64)


def from_vips(image: pyvips.Image) -> Image.Image:
    return Image.fromarray(image.numpy())


def mean_difference(first: Image.Image, second: Image.Image) -> float:
    return float(np.abs(rgb(first) - rgb(second)).mean())


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("kind", STILLS)
def test_every_kind_of_still_comes_out_right_in_every_format(kind: str, image_format: Format) -> None:
    expected = from_vips(SCENE)
    if "gray" in kind:
        expected = expected.convert("L")
    expected = expected.resize((160, 120), Image.Resampling.LANCZOS)
    # Print has no pure red, and 256 colours no gradients.
    source = 6.0 if "cmyk" in kind else 2.0 if "gif" in kind else 0.7
    made = render(STILLS[kind](), "t-w160", image_format)
    assert (made.width_px, made.height_px, made.frames) == (160, 120, 1)
    assert mean_difference(opened(made), expected) < source + ENCODING[image_format]


def test_wide_gamut_is_converted() -> None:
    made = opened(render(STILLS["display p3 jpeg"](), "t-w320"))
    # Without a conversion the numbers would stay as they are in the file.
    assert mean_difference(made, from_vips(display_p3())) > mean_difference(made, from_vips(SCENE)) + 2


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_sides_and_points_are_those_of_the_picture_as_shown(orientation: int) -> None:
    content = jpeg(turned_for(SCENE, orientation), exif=exif_block(orientation))
    whole = opened(render(content, "t-w160"))
    assert whole.size == (160, 120)
    assert mean_difference(whole, from_vips(SCENE).resize((160, 120), Image.Resampling.LANCZOS)) < 2
    corner = opened(render(content, "t-w96-h96-cover-x0y0"))
    assert mean_difference(corner, from_vips(SCENE).resize((128, 96)).crop((0, 0, 96, 96))) < 3


@pytest.mark.parametrize(
    ("gravity", "left"), [("ce", 16), ("x0y0", 0), ("x1000y1000", 32), ("x250y500", 0), ("x500y0", 16)]
)
def test_cover_keeps_what_gravity_names(gravity: str, left: int) -> None:
    recipe = Recipe(width_px=96, height_px=96, fit="cover", gravity=gravity)
    made = opened(render(SCENE.pngsave_buffer(), recipe))
    expected = from_vips(SCENE).resize((128, 96), Image.Resampling.LANCZOS).crop((left, 0, left + 96, 96))
    assert mean_difference(made, expected) < 1


@pytest.mark.parametrize("at", [40, 440])
def test_attention_keeps_what_draws_the_eye(at: int) -> None:
    pixels = np.full((120, 600, 3), 128, dtype=np.uint8)
    pixels[30:90, at : at + 60] = np.random.default_rng(1).integers(0, 255, (60, 60, 3))
    pixels[40:80, at + 10 : at + 50, 0] = 255
    content = pyvips.Image.new_from_array(pixels).copy(interpretation="srgb").pngsave_buffer()
    kept = rgb(opened(render(content, Recipe(width_px=120, height_px=120, fit="cover", gravity="at"))))
    assert np.abs(kept - 128).mean() > 15
    middle = rgb(opened(render(content, Recipe(width_px=120, height_px=120, fit="cover"))))
    assert np.abs(middle - 128).mean() < 1


def test_point_of_the_image_takes_the_place_of_the_focal_point() -> None:
    recipe = Recipe(width_px=96, height_px=96, fit="cover", gravity="fo")
    with pytest.raises(ValueError, match="focal point"):
        RenditionRequest(recipe, "webp")
    corner = Recipe(width_px=96, height_px=96, fit="cover", gravity="x1000y0")
    assert recipe.focused(FocalPoint(1000, 0)) == corner
    assert recipe.focused(None) == Recipe(width_px=96, height_px=96, fit="cover")
    assert corner.focused(FocalPoint(0, 0)) == corner
    # Of what is not cut every point is the same picture.
    assert Recipe(width_px=96, gravity="fo").focused(FocalPoint(1000, 0)) == Recipe(width_px=96)


def test_cover_of_a_smaller_picture_keeps_the_ratio() -> None:
    made = render(scene(200, 152).pngsave_buffer(), "t-w640-h320-cover")
    assert (made.width_px, made.height_px) == (200, 100)
    assert mean_difference(opened(made), from_vips(scene(200, 152)).crop((0, 26, 200, 126))) == 0


@pytest.mark.parametrize("image_format", FORMATS)
def test_pad_leaves_a_smaller_picture_unscaled_on_its_border(image_format: Format) -> None:
    made = opened(render(scene(200, 152).pngsave_buffer(), "t-w640-h320-pad", image_format))
    assert made.size == (640, 320)
    inner = made.crop((220, 84, 420, 236))
    assert mean_difference(inner, from_vips(scene(200, 152))) < ENCODING[image_format]
    border = rgba(made)[:60, :200]
    if image_format == "jpeg":
        assert np.abs(border - 255).max() <= 4
    else:
        assert border[..., 3].max() <= 2
        assert rgba(made)[120:200, 260:380, 3].min() >= 253


@pytest.mark.parametrize("image_format", FORMATS)
def test_pad_makes_a_larger_picture_fit_on_the_background(image_format: Format) -> None:
    made = opened(render(SCENE.pngsave_buffer(), "t-w160-h200-pad-bgff8000", image_format))
    assert made.size == (160, 200)
    assert np.abs(rgba(made)[:30] - (255, 128, 0, 255)).mean() < 3
    expected = from_vips(SCENE).resize((160, 120), Image.Resampling.LANCZOS)
    assert mean_difference(made.crop((0, 40, 160, 160)), expected) < ENCODING[image_format] + 0.5


@pytest.mark.parametrize("image_format", FORMATS)
def test_transparency_stays_where_the_format_has_it_and_is_flattened_elsewhere(image_format: Format) -> None:
    content = palette_png(SCENE, transparent_part=0.5)
    plain = rgba(opened(render(content, "t-w160", image_format)))
    upper = plain[:50]
    if image_format == "jpeg":
        assert np.abs(upper - 255).mean() < 1
    else:
        assert upper[..., 3].max() <= 4
    assert plain[70:, :, 3].min() >= 250
    colored = rgba(opened(render(content, "t-w160-bg204080", image_format)))
    assert np.abs(colored[:50] - (0x20, 0x40, 0x80, 255)).mean() < 3
    assert colored[..., 3].min() >= 253


def test_blur_is_of_the_size_that_comes_out() -> None:
    made = opened(render(SCENE.pngsave_buffer(), "t-w160-blur40"))
    scaled = from_vips(SCENE).resize((160, 120), Image.Resampling.LANCZOS)
    assert mean_difference(made, scaled.filter(ImageFilter.GaussianBlur(4))) < 1.5
    assert mean_difference(made, scaled) > 3


def test_blur_shows_no_colour_of_what_is_transparent() -> None:
    pixels = np.zeros((64, 64, 4), dtype=np.uint8)
    pixels[..., 0] = 255
    pixels[20:44, 20:44] = (0, 0, 255, 255)
    content = pyvips.Image.new_from_array(pixels).copy(interpretation="srgb").pngsave_buffer()
    made = rgba(opened(render(content, "t-w64-blur30")))
    assert made[made[..., 3] > 20][:, 0].max() <= 12


def test_a_rendition_is_as_near_to_the_original_as_the_derivative_of_the_same_size() -> None:
    content = photograph(3000, 2250)
    with open_picture_file() as picture:
        picture.write(content)
        derivatives = process_picture(picture.fileno(), ProcessingRequest(), time.monotonic() + 60).derivatives
    by_width = {each.width_px: each for each in derivatives}
    whole, errors, errors_of_derivatives = Image.open(io.BytesIO(content)), {}, {}
    for side in (256, 1024, 2048):
        made, derivative = render(content, Recipe(width_px=side, height_px=side), "webp"), by_width[side]
        assert (made.width_px, made.height_px) == (derivative.width_px, derivative.height_px)
        original = rgb(whole.resize((made.width_px, made.height_px), Image.Resampling.LANCZOS))
        errors[side] = np.sqrt(((rgb(opened(made)) - original) ** 2).mean())
        of_derivative = rgb(Image.open(io.BytesIO(derivative.content)))
        errors_of_derivatives[side] = np.sqrt(((of_derivative - original) ** 2).mean())
    assert errors == pytest.approx(errors_of_derivatives, rel=0.05)


SIZES = st.tuples(st.integers(1, 700), st.integers(1, 700))


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    fit = draw(st.sampled_from(["inside", "cover", "pad"]))
    width: int | None = draw(st.sampled_from([width for width in WIDTHS_PX if width <= 640]))
    height: int | None = draw(st.integers(1, 640))
    if fit == "inside":
        missing = draw(st.sampled_from(["width", "height", "both", "none"]))
        width = None if missing in {"width", "both"} else width
        height = None if missing in {"height", "both"} else height
    gravity = draw(st.sampled_from(["ce", "at", "x0y0", "x1000y333", "x500y1000"])) if fit == "cover" else "ce"
    return Recipe(width_px=width, height_px=height, fit=fit, gravity=gravity)


@given(size=SIZES, recipe=recipes(), kind=st.sampled_from(["jpeg", "webp", "png"]), orientation=st.sampled_from([1, 6]))
@settings(max_examples=150, deadline=None)
def test_every_size_is_the_one_that_was_foretold(
    size: tuple[int, int], recipe: Recipe, kind: str, orientation: int
) -> None:
    target = io.BytesIO()
    Image.new("RGB", size, (90, 120, 150)).save(target, kind, exif=exif_block(orientation))
    shown = size if orientation == 1 else size[::-1]
    made = render(target.getvalue(), recipe, "webp")
    assert opened(made).size == output_size(recipe, *shown)
    if recipe.fit != "pad":
        assert made.width_px <= shown[0]
        assert made.height_px <= shown[1]


@pytest.mark.parametrize("picture_format", ["GIF", "WEBP"])
@pytest.mark.parametrize(
    ("spec", "size"),
    [("t-w64", (64, 48)), ("t-w64-h64-cover", (64, 64)), ("t-w64-h64-pad", (64, 64)), ("t-w160-blur5", (160, 120))],
)
def test_animation_stays_animated_in_webp(picture_format: str, spec: str, size: tuple[int, int]) -> None:
    content = animation(picture_format, frames=5, loop=3, delay_ms=80)
    made = render(content, spec, "webp")
    assert (made.width_px, made.height_px, made.frames) == (*size, 5)
    moving = opened(made)
    assert getattr(moving, "n_frames", 1) == 5
    frames = [rgb(frame.copy()) for frame in ImageSequence.Iterator(moving)]
    assert moving.info["duration"] == 80
    still = [rgb(opened(render(content_of_frame(content, number), spec, "webp"))) for number in (0, 4)]
    for number, expected in ((0, still[0]), (4, still[1])):
        assert np.abs(frames[number] - expected).mean() < 6
    # The square that wanders is somewhere else.
    assert np.abs(frames[4] - still[0]).max() > 100


def test_border_of_an_animation_is_transparent_where_frames_are_not() -> None:
    red, green = (Image.new("RGB", (64, 32), color) for color in ("red", "green"))
    target = io.BytesIO()
    red.save(target, "GIF", save_all=True, append_images=[green])
    moving = opened(render(target.getvalue(), "t-w64-h64-pad", "webp"))
    assert getattr(moving, "n_frames", 1) == 2
    for frame in ImageSequence.Iterator(moving):
        assert rgba(frame)[:16, :, 3].max() == 0
        assert rgba(frame)[16:48, :, 3].min() == 255


def content_of_frame(content: bytes, number: int) -> bytes:
    image = Image.open(io.BytesIO(content))
    image.seek(number)
    target = io.BytesIO()
    image.convert("RGB").save(target, "PNG")
    return target.getvalue()


@pytest.mark.parametrize("image_format", ["avif", "jpeg", "png"])
def test_other_formats_show_the_first_frame(image_format: Format) -> None:
    content = animation("WEBP")
    made = render(content, "t-w160", image_format)
    assert made.frames == 1
    first = Image.open(io.BytesIO(content_of_frame(content, 0)))
    assert mean_difference(opened(made), first) < ENCODING[image_format] + 0.5


def test_recipe_may_ask_for_the_first_frame_in_webp() -> None:
    made = render(animation("GIF"), Recipe(width_px=160, animated=False), "webp")
    assert getattr(opened(made), "n_frames", 1) == made.frames == 1


@pytest.mark.parametrize("kind", ["png", "avif"])
def test_animation_that_libvips_takes_for_a_still_moves_too(kind: str) -> None:
    frames = [Image.new("RGB", (64, 48), color) for color in ("red", "green", "blue")]
    target = io.BytesIO()
    frames[0].save(target, kind, save_all=True, append_images=frames[1:], duration=100)
    made = render(target.getvalue(), "t-w32-h32-cover", "webp")
    assert made.frames == 3
    moving = opened(made)
    moving.seek(2)
    assert np.abs(rgb(moving) - (0, 0, 255)).mean() < 6


@pytest.mark.parametrize("image_format", FORMATS)
def test_no_metadata_comes_out(image_format: Format) -> None:
    dressed = with_metadata(display_p3(), xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>", iptc=b"8BIM" + bytes(40))
    for content in (
        jpeg(SCENE, exif=exif_block(6, place=(48.1, 11.5)), icc=display_p3().get("icc-profile-data")),
        dressed.jpegsave_buffer(),
        dressed.pngsave_buffer(),
    ):
        made = render(content, "t-w320", image_format)
        assert not {"exif", "xmp", "icc_profile", "photoshop"} & opened(made).info.keys()
        for mark in (b"Exif", b"EXIF", b"XMP", b"adobe:ns", b"ICC", b"8BIM", b"Maker"):
            assert mark not in made.content


def xmp_packet(rights: str) -> bytes:
    return (
        "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
        "<rdf:Description xmlns:dc='http://purl.org/dc/elements/1.1/'><dc:title>Title</dc:title><dc:rights><rdf:Alt>"
        f"<rdf:li>{escape(rights)}</rdf:li></rdf:Alt></dc:rights></rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


@pytest.mark.parametrize("image_format", FORMATS)
def test_copyright_is_all_that_stays_where_the_recipe_keeps_it(image_format: Format) -> None:
    exif = Image.Exif()
    exif.load(exif_block(6, place=(48.1, 11.5)))
    exif[0x013B] = "Anna <Agency> (London)"
    icc, packet = display_p3().get("icc-profile-data"), xmp_packet("© 写真 & Söhne")
    content = jpeg(turned_for(SCENE, 6), exif=exif.tobytes(), icc=icc, xmp=packet)
    made = opened(render(content, Recipe(width_px=160, metadata="copyright"), image_format))
    assert not {"exif", "icc_profile", "photoshop"} & made.info.keys()
    values, place = read_xmp(made.info["xmp"])
    assert {tag: value for tag, value in values.items() if value is not None} == {
        0x013B: "Anna <Agency> (London)",
        0x8298: "© 写真 & Söhne",
    }
    assert place is None
    assert made.size == (160, 120)
    bare = opened(render(jpeg(SCENE, exif=exif_block()), Recipe(width_px=160, metadata="copyright"), image_format))
    assert not {"exif", "xmp"} & bare.info.keys()


def test_copyright_of_an_animation_stays() -> None:
    frames = [Image.new("RGB", (64, 48), color) for color in ("red", "green")]
    target = io.BytesIO()
    frames[0].save(target, "WEBP", save_all=True, append_images=frames[1:], duration=100, xmp=xmp_packet("Someone"))
    made = opened(render(target.getvalue(), Recipe(width_px=32, metadata="copyright"), "webp"))
    assert read_xmp(made.info["xmp"])[0][0x8298] == "Someone"
    assert getattr(made, "n_frames", 1) == 2


@given(st.integers(1, 99))
def test_quality_of_avif_follows_that_of_other_formats(quality: int) -> None:
    assert 1 <= avif_quality(quality) <= avif_quality(quality + 1) <= 100
    assert [avif_quality(figure) for figure in (1, 50, 80, 100)] == [1, 50, 65, 100]


@pytest.mark.parametrize("image_format", ["webp", "avif", "jpeg"])
def test_quality_decides_about_size(image_format: Format) -> None:
    content = photograph(800, 600)
    sizes = [len(render(content, f"t-w640-q{quality}", image_format).content) for quality in (20, 50, 75, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] / 3


def test_more_effort_makes_a_smaller_file() -> None:
    content = photograph(800, 600)
    quick, slow = (len(render(content, "t-w320", "avif", effort=effort).content) for effort in (0, 3))
    assert slow < quick


def test_without_sides_the_picture_keeps_its_size() -> None:
    made = render(jpeg(turned_for(SCENE, 6), exif=exif_block(6)), Recipe(quality=92), "jpeg")
    assert (made.width_px, made.height_px) == (320, 240)
    assert mean_difference(opened(made), from_vips(SCENE)) < 2


@pytest.mark.parametrize("spec", ["t-w768", "t-w16"])
def test_open_side_stays_within_what_webp_holds(spec: str) -> None:
    content = pyvips.Image.black(768, 40_000, bands=3).copy(interpretation="srgb").pngsave_buffer()
    made = render(content, spec, "webp")
    assert (made.width_px, made.height_px) == output_size(parse_transforms(spec), 768, 40_000)
    assert made.height_px <= 16_383
    assert opened(made).size == (made.width_px, made.height_px)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"hello", "not-an-image"),
        (b"%PDF-1.7\n", "image-format-not-allowed"),
        (png_header(50_000, 1_001), "image-too-many-pixels"),
        (SCENE.jpegsave_buffer()[:3000], "image-truncated"),
    ],
)
def test_what_cannot_be_made_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(PictureRejected) as raised:
        render(content)
    assert raised.value.code == code


def test_limits_of_the_request_count() -> None:
    with pytest.raises(PictureRejected) as raised:
        render(SCENE.pngsave_buffer(), limits=PictureLimits(max_pixels=100))
    assert raised.value.code == "image-too-many-pixels"
    made = render(animation("GIF", frames=6), "t-w64", "webp", limits=PictureLimits(max_frames=4))
    assert made.frames == 4


def test_no_step_begins_after_the_deadline() -> None:
    with pytest.raises(PictureRejected) as raised:
        render(SCENE.jpegsave_buffer(), seconds=-1)
    assert raised.value.code == "processing-timeout"


def test_request_survives_the_way_to_a_worker() -> None:
    recipe = Recipe(64, 48, "cover", "x10y20", 70, "00ff00", 12, animated=False, metadata="copyright")
    request = RenditionRequest(recipe, "avif", 3, PictureLimits(max_frames=3, allowed_formats=("gif",)))
    assert RenditionRequest.from_json(json.loads(json.dumps(request.to_json()))) == request


@pytest.mark.parametrize("effort", [-1, 10])
def test_effort_has_a_range(effort: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        RenditionRequest(Recipe(), "avif", effort)
