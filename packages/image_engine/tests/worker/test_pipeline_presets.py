"""Derivatives of presets that teams made: the same pictures that are made for delivery, and the same facts."""

import io
import time

import numpy as np
import pytest
import pyvips
from PIL import Image

from image_core.delivery.spec import FocalPoint, Recipe
from image_engine.contract.answers import ProcessedPicture
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.presets import DEFAULT_PRESETS, Preset
from image_engine.contract.renditions import RenditionRequest
from image_engine.contract.requests import ProcessingRequest
from image_engine.testing.pictures import animation, difference, exif_block, jpeg, palette_png, scene, turned_for
from image_engine.testing.stills import SCENE
from image_engine.worker.pipeline import process_picture
from image_engine.worker.rendition import render_picture

RECIPES = {
    "wide": Recipe(width_px=300),
    "high": Recipe(height_px=50, quality=60),
    "square": Recipe(160, 160, "cover", "at"),
    "corner": Recipe(160, 160, "cover", "x0y0"),
    "framed": Recipe(200, 200, "pad"),
    "on-green": Recipe(200, 200, "pad", background="00ff00"),
    "credited": Recipe(width_px=160, metadata="copyright"),
    "still": Recipe(width_px=96, animated=False),
    "tiny": Recipe(16, 16),
}
PRESETS = tuple(Preset(name, recipe) for name, recipe in RECIPES.items())


def credited() -> bytes:
    exif = Image.Exif()
    exif.load(exif_block(6, place=(48.1, 11.5)))
    exif[0x013B] = "Anna"
    return jpeg(turned_for(SCENE, 6), exif=exif.tobytes())


PICTURES = {
    "jpeg": credited,
    "transparent png": lambda: palette_png(SCENE, transparent_part=0.5),
    "animation": lambda: animation("WEBP"),
    "large jpeg": lambda: scene(1300, 1000).jpegsave_buffer(),
}


def process(content: bytes, request: ProcessingRequest) -> ProcessedPicture:
    with open_picture_file() as picture:
        picture.write(content)
        return process_picture(picture.fileno(), request, time.monotonic() + 60)


@pytest.mark.parametrize("kind", PICTURES)
def test_a_derivative_is_what_delivery_would_make_of_the_preset(kind: str) -> None:
    content = PICTURES[kind]()
    processed = process(content, ProcessingRequest(DEFAULT_PRESETS, optional_presets=PRESETS))
    assert [made.preset for made in processed.derivatives] == ["thumb", "preview", "large", *RECIPES]
    for made in processed.derivatives[len(DEFAULT_PRESETS) :]:
        with open_picture_file() as picture:
            picture.write(content)
            request = RenditionRequest(RECIPES[made.preset], "webp")
            expected = render_picture(picture.fileno(), request, time.monotonic() + 60)
        assert (made.width_px, made.height_px, made.frames) == (
            expected.width_px, expected.height_px, expected.frames,
        )  # fmt: skip
        images = [pyvips.Image.webpload_buffer(each, n=-1) for each in (made.content, expected.content)]
        assert images[0].bands == images[1].bands, made.preset
        # The smallest are scaled once more than those for delivery.
        assert difference(images[0], images[1]) < 6, made.preset
        assert (b"Anna" in made.content) == (kind == "jpeg" and made.preset == "credited")
        assert b"EXIF" not in made.content


@pytest.mark.parametrize("orientation", [1, 6])
def test_early_pictures_and_those_on_demand_are_cut_around_the_same_focal_point(orientation: int) -> None:
    content = jpeg(turned_for(SCENE, orientation), exif=exif_block(orientation))
    recipe = Recipe(96, 96, "cover", "fo").focused(FocalPoint(600, 250))
    (early,) = process(content, ProcessingRequest((Preset("card", recipe),))).derivatives
    with open_picture_file() as picture:
        picture.write(content)
        on_demand = render_picture(picture.fileno(), RenditionRequest(recipe, "webp"), time.monotonic() + 60)
    # As shown, 320 × 240 becomes 128 × 96, and the square around 0.6 of the width begins at 77 - 48.
    scaled = Image.fromarray(SCENE.numpy()).resize((128, 96), Image.Resampling.LANCZOS)
    for made in (early, on_demand):
        found = np.asarray(Image.open(io.BytesIO(made.content)).convert("RGB"), dtype=float)
        apart = [np.abs(found - np.asarray(scaled.crop((left, 0, left + 96, 96)))).mean() for left in range(33)]
        # Pillow and libvips scale a little differently, and both compressed the picture.
        assert min(apart) < 4
        assert int(np.argmin(apart)) == 29


def test_presets_do_not_change_the_facts_of_a_picture() -> None:
    content = scene(1300, 1000).jpegsave_buffer()
    usual = process(content, ProcessingRequest())
    for presets in ((), PRESETS, (Preset("tiny", Recipe(16, 16)),)):
        processed = process(content, ProcessingRequest(presets))
        assert processed.facts.perceptual_hash == usual.facts.perceptual_hash
        assert processed.facts.width_px == 1300
        assert len(processed.derivatives) == len(presets)


def test_metrics_do_not_learn_the_names_of_presets() -> None:
    with io.BytesIO() as target:
        Image.new("RGB", (40, 30), "red").save(target, "PNG")
        steps = process(target.getvalue(), ProcessingRequest(DEFAULT_PRESETS, optional_presets=PRESETS)).step_seconds
    assert "encode_other" in steps
    assert not {name for name in steps if name.removeprefix("encode_") in RECIPES}


def test_a_focal_point_must_be_known() -> None:
    with pytest.raises(ValueError, match="focal point"):
        Preset("card", Recipe(640, 480, "cover", "fo"))
    assert Preset("card", Recipe(640, 480, "cover", "fo").focused(None)).recipe.gravity == "ce"
