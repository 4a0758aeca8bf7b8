import base64
import math
import struct
from typing import Any

import numpy as np
import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from image_engine.picture.blurhash import blurhash
from image_engine.picture.dominant_colors import dominant_colors
from image_engine.picture.icc_profile import describe_profile, is_srgb, profile_color_space
from image_engine.picture.perceptual_hash import perceptual_hash
from image_engine.picture.pixels import all_pixels, opaque_squares
from image_engine.testing.pictures import photograph, scene

SQUARE = opaque_squares(scene())


def slow_blurhash(pixels: Any, columns: int, rows: int) -> str:
    """The algorithm as its description gives it, pixel by pixel."""
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"

    def text(value: int, length: int) -> str:
        return "".join(alphabet[value // 83 ** (length - 1 - i) % 83] for i in range(length))

    def linear(value: float) -> float:
        value /= 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    def srgb(value: float) -> int:
        value = min(1.0, max(0.0, value))
        encoded = value * 12.92 if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
        return int(encoded * 255 + 0.5)

    height, width = pixels.shape[:2]
    factors = []
    for j in range(rows):
        for i in range(columns):
            total = [0.0, 0.0, 0.0]
            for y in range(height):
                for x in range(width):
                    basis = math.cos(math.pi * i * x / width) * math.cos(math.pi * j * y / height)
                    for band in range(3):
                        total[band] += basis * linear(float(pixels[y, x, band]))
            scale = (1 if i == j == 0 else 2) / (width * height)
            factors.append([scale * value for value in total])
    strongest = max(abs(value) for factor in factors[1:] for value in factor)
    step = max(0, min(82, math.floor(strongest * 166 - 0.5)))
    maximum = (step + 1) / 166
    red, green, blue = (srgb(value) for value in factors[0])
    result = text(columns - 1 + (rows - 1) * 9, 1) + text(step, 1) + text(red << 16 | green << 8 | blue, 4)
    for factor in factors[1:]:
        levels = [
            max(0, min(18, math.floor(math.copysign(math.sqrt(abs(value / maximum)), value) * 9 + 9.5)))
            for value in factor
        ]
        result += text(levels[0] * 361 + levels[1] * 19 + levels[2], 2)
    return result


def test_blurhash_is_what_its_description_gives() -> None:
    assert blurhash(SQUARE, 320, 240) == slow_blurhash(SQUARE, 4, 3)
    assert blurhash(SQUARE, 240, 320) == slow_blurhash(SQUARE, 3, 4)


@pytest.mark.parametrize("value", [0, 255])
def test_flat_pictures_have_a_blurhash_and_a_hash(value: int) -> None:
    flat = np.full((32, 32, 3), value, dtype=np.uint8)
    assert len(blurhash(flat, 10, 10)) == 28
    assert len(perceptual_hash(flat)) == 16


def test_perceptual_hash_stays_near_under_noise_and_is_stable() -> None:
    noisy = np.clip(SQUARE + np.random.default_rng(1).normal(0, 6, SQUARE.shape), 0, 255).astype(np.uint8)
    first, second = int(perceptual_hash(SQUARE), 16), int(perceptual_hash(noisy), 16)
    assert (first ^ second).bit_count() <= 6
    y, x = np.mgrid[:32, :32]
    ramp = np.broadcast_to(np.arange(32, dtype=np.uint8)[:, None, None] * 8, (32, 32, 3))
    pattern = ((x * x * 3 + y * 7 + x * y * 5) % 251).astype(np.uint8)[..., None].repeat(3, 2)
    # Stored hashes are compared with new ones: this value may only change with the algorithm's name.
    assert perceptual_hash(ramp) == "8000000000000000"
    assert perceptual_hash(pattern) == "850402438ff36ff7"


def test_colors_have_shares_that_add_up() -> None:
    pixels = all_pixels(pyvips.Image.new_from_buffer(photograph(400, 300), ""))
    colors = dominant_colors(pixels)
    assert 2 <= len(colors) <= 5
    shares = [float(color["share"]) for color in colors]
    assert shares == sorted(shares, reverse=True)
    assert 0.5 < sum(shares) <= 1.001


def test_profiles_of_both_versions_are_named() -> None:
    p3 = scene(8, 8).icc_transform("p3").get("icc-profile-data")
    assert profile_color_space(p3) == "RGB "
    assert "P3" in (describe_profile(p3) or "")
    name = b"sRGB IEC61966-2.1\x00"
    content = b"desc" + bytes(4) + struct.pack(">I", len(name)) + name
    version_2 = bytearray(128) + struct.pack(">I4sII", 1, b"desc", 144, len(content)) + content
    version_2[16:20], version_2[36:40] = b"RGB ", b"acsp"
    assert describe_profile(bytes(version_2)) == "sRGB IEC61966-2.1"
    # A name without content is not believed.
    assert not is_srgb(bytes(version_2))
    assert not is_srgb(p3)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_as_a_profile_without_an_error(content: bytes) -> None:
    describe_profile(content)
    profile_color_space(content)
    is_srgb(content)
    describe_profile(base64.b16encode(content) + content)
