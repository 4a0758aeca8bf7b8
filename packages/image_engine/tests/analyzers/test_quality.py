import numpy as np
import pytest
import pyvips

from image_engine.analyzers import quality
from image_engine.testing.pictures import analyzed, photograph, png, scene

FLAT = scene(1600, 1200).numpy().astype(float)
DETAILED = pyvips.Image.new_from_buffer(photograph(1200, 900), "").copy_memory()


def grey(level: float, width: int = 200, height: int = 160) -> bytes:
    return png(np.full((height, width, 3), level))


def halves(left: float, right: float) -> bytes:
    pixels = np.full((160, 200, 3), left)
    pixels[:, 100:] = right
    return png(pixels)


def test_more_blur_is_less_sharpness() -> None:
    measured = [analyzed(DETAILED.gaussblur(sigma).pngsave_buffer(), "quality") for sigma in (0.3, 1, 2, 4, 8)]
    values = [each["sharpness"] for each in measured]
    assert values == sorted(values, reverse=True)
    assert values[0] > 2 * values[-1]
    assert ["blurred" in each["issues"] for each in (measured[0], measured[-1])] == [False, True]


def test_blur_in_one_direction_counts() -> None:
    across = DETAILED.conv(pyvips.Image.new_from_array([[1.0] * 15], scale=15), precision="float").cast("uchar")
    along = across.rot90()
    values = [analyzed(image.pngsave_buffer(), "quality")["sharpness"] for image in (DETAILED, across, along)]
    assert values[1] < values[0] / 2
    assert values[2] == pytest.approx(values[1], abs=0.02)


def test_sharpness_does_not_depend_on_contrast() -> None:
    faint = (DETAILED * 0.3 + 90).cast("uchar").copy(interpretation="srgb")
    values = [analyzed(image.pngsave_buffer(), "quality")["sharpness"] for image in (DETAILED, faint)]
    assert values[1] == pytest.approx(values[0], abs=0.03)


@pytest.mark.parametrize("sigma", [1, 2, 4, 8])
def test_noise_is_estimated_within_15_percent(sigma: float) -> None:
    noise = np.random.default_rng(5).normal(0, sigma, (1200, 1600, 1))
    result = analyzed(png(FLAT + noise), "quality")
    assert result["noise"] == pytest.approx(sigma, rel=0.15)
    assert ("noisy" in result["issues"]) == (result["noise"] > quality.NOISY_ABOVE)


def test_stronger_compression_is_more_blockiness() -> None:
    values = [analyzed(DETAILED.jpegsave_buffer(Q=q), "quality")["blockiness"] for q in (95, 70, 40, 10)]
    assert values == sorted(values)
    assert values[0] < 0.1
    assert values[-1] > quality.BLOCKY_ABOVE


def test_blocks_are_found_in_a_large_picture_kept_in_another_format() -> None:
    blocky = pyvips.Image.new_from_buffer(pyvips.Image.new_from_array(FLAT).cast("uchar").jpegsave_buffer(Q=8), "")
    assert analyzed(blocky.pngsave_buffer(), "quality")["blockiness"] > quality.BLOCKY_ABOVE
    # Half of a block further the borders are elsewhere.
    assert analyzed(blocky.crop(4, 4, 1500, 1100).pngsave_buffer(), "quality")["blockiness"] == 0


def test_exposure_is_mean_lightness() -> None:
    # L* of sRGB's middle grey. Source: IEC 61966-2-1 and CIE 15.
    assert analyzed(grey(119), "quality")["exposure"] == pytest.approx(50.0, abs=0.2)
    dark, bright = analyzed(grey(0), "quality"), analyzed(grey(255), "quality")
    assert (dark["exposure"], dark["clipped_dark"], dark["clipped_bright"]) == (0, 1, 0)
    assert (bright["exposure"], bright["clipped_dark"], bright["clipped_bright"]) == (100, 0, 1)
    assert "underexposed" in dark["issues"]
    assert "overexposed" in bright["issues"]


def test_contrast_is_the_deviation_of_luma() -> None:
    assert analyzed(halves(0, 255), "quality")["contrast"] == 0.5
    assert analyzed(halves(100, 151), "quality")["contrast"] == pytest.approx(0.1, abs=0.001)
    assert analyzed(grey(128), "quality")["issues"] == ["blurred", "low-contrast"]


def test_dynamic_range_counts_stops_of_linear_light() -> None:
    # 188 is half of the light of 255, and 137 a quarter of it.
    assert analyzed(halves(188, 255), "quality")["dynamic_range"] == pytest.approx(1, abs=0.02)
    assert analyzed(halves(137, 255), "quality")["dynamic_range"] == pytest.approx(2, abs=0.02)
    assert analyzed(halves(0, 255), "quality")["dynamic_range"] == pytest.approx(11.69, abs=0.01)


def test_colorfulness_is_as_defined() -> None:
    assert analyzed(grey(90), "quality")["colorfulness"] == 0
    pixels = np.zeros((160, 200, 3))
    pixels[:, :100], pixels[:, 100:] = (255, 0, 0), (0, 0, 255)
    # By hand: rg is 255 and 0, yb is 127.5 and −255.
    spread, distance = np.hypot(127.5, 191.25), np.hypot(127.5, 63.75)
    assert analyzed(png(pixels), "quality")["colorfulness"] == pytest.approx(spread + 0.3 * distance, abs=0.01)


def test_picture_too_small_for_blocks_has_neither_noise_nor_blockiness() -> None:
    result = analyzed(grey(128, 63, 200), "quality")
    assert (result["noise"], result["blockiness"]) == (None, None)
