"""The descriptor: nearly the same for copies of a picture, far for another one, sane for a picture of nothing."""

import math
from typing import Any

import numpy as np
import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from image_core.images.similarity import DESCRIPTOR_DIMENSIONS
from image_engine.picture.pixels import opaque_squares
from image_engine.picture.visual_descriptor import visual_descriptor
from image_engine.testing.pictures import photograph, scene


def described(picture: pyvips.Image) -> list[float]:
    return visual_descriptor(opaque_squares(picture))


def distance(first: list[float], second: list[float]) -> float:
    return 1 - sum(a * b for a, b in zip(first, second, strict=True))


def compressed(picture: pyvips.Image, **options: Any) -> pyvips.Image:
    return pyvips.Image.new_from_buffer(picture.write_to_buffer(".jpg", **options), "")


SCENE = scene()
BASE = described(SCENE)
COPIES = {
    "half the size": lambda: SCENE.resize(0.5),
    "strongly compressed": lambda: compressed(SCENE, Q=25),
    "cropped by a tenth": lambda: SCENE.crop(
        SCENE.width // 20, SCENE.height // 20, SCENE.width * 9 // 10, SCENE.height * 9 // 10
    ),
    "a little brighter": lambda: (SCENE * 1.1).cast("uchar"),
}


@pytest.fixture(scope="module")
def nearest_other() -> float:
    others = [pyvips.Image.new_from_buffer(photograph(800, 600), ""), SCENE.rot180(), SCENE.invert()]
    return min(distance(BASE, described(other)) for other in others)


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_nearer_than_another_picture(name: str, nearest_other: float) -> None:
    copy = distance(BASE, described(COPIES[name]()))
    assert copy < 0.05
    assert nearest_other > 2 * copy


@given(st.lists(st.integers(0, 255), min_size=3, max_size=3))
def test_a_flat_picture_has_a_vector_of_length_one(color: list[int]) -> None:
    vector = visual_descriptor(np.full((32, 32, 3), color, dtype=np.uint8))
    assert len(vector) == DESCRIPTOR_DIMENSIONS
    assert math.hypot(*vector) == pytest.approx(1, abs=0.001)


def test_flat_pictures_of_unlike_colors_are_apart() -> None:
    red, blue, grey = (
        visual_descriptor(np.full((32, 32, 3), color, dtype=np.uint8))
        for color in ((220, 30, 30), (30, 30, 220), (128, 128, 128))
    )
    assert min(distance(red, blue), distance(red, grey), distance(blue, grey)) > 0.3
