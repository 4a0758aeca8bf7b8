import io
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image

from image_core.analyses.catalogue import CATALOGUE, AnalyzerSpec, canonical_result
from image_core.analyses.results import QualityParameters, QualityResult
from image_engine.contract.answers import AnalysisOutcome
from image_engine.contract.limits import PictureLimits
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.rejections import PictureRejected
from image_engine.contract.requests import AnalysisOrder, AnalysisRequest, ProcessingRequest
from image_engine.picture.analysis_picture import DETAIL_SIDE_PX, WORKING_SIDE_PX, AnalysisPicture, prepare_picture
from image_engine.pool.pool import WorkerPool
from image_engine.testing.pictures import (
    ORIENTATIONS,
    animation,
    exif_block,
    heic,
    jpeg,
    palette_png,
    photograph,
    png,
    png_header,
    scene,
    turned_for,
)
from image_engine.worker.analysis import BUILT_IN, analyze_picture
from image_engine.worker.pipeline import process_picture

ALL = tuple(AnalysisOrder(name) for name in CATALOGUE)
SCENE = scene()


def analyze(content: bytes, *orders: AnalysisOrder, seconds: float = 60) -> tuple[AnalysisOutcome, ...]:
    with open_picture_file() as picture:
        picture.write(content)
        request = AnalysisRequest(orders or ALL)
        return analyze_picture(picture.fileno(), request, time.monotonic() + seconds).outcomes


def prepared(content: bytes, *, detail: bool = True, camera: bool = True) -> AnalysisPicture:
    with open_picture_file() as picture:
        picture.write(content)
        return prepare_picture(picture.fileno(), PictureLimits(), detail=detail, camera=camera)


def pil(mode: str, picture_format: str, image: Image.Image | None = None) -> bytes:
    target = io.BytesIO()
    (image or Image.fromarray(SCENE.numpy())).convert(mode).save(target, picture_format)
    return target.getvalue()


def written_down(outcomes: tuple[AnalysisOutcome, ...]) -> list[bytes]:
    return [canonical_result(CATALOGUE[outcome.analyzer], outcome.result or {}) for outcome in outcomes]


ODD: dict[str, Callable[[], bytes]] = {
    "one pixel": lambda: png(np.full((1, 1, 3), 200.0)),
    "one transparent pixel": lambda: png(np.zeros((1, 1, 4))),
    "one pixel wide": lambda: png(np.full((3000, 1, 3), 90.0)),
    "one pixel high": lambda: png(np.full((1, 3000, 3), 90.0)),
    "five pixels": lambda: png(np.full((5, 5, 3), (200.0, 150, 120))),
    "black": lambda: png(np.zeros((300, 400, 3))),
    "white": lambda: png(np.full((300, 400, 3), 255.0)),
    "transparent": lambda: png(np.zeros((300, 400, 4))),
    "half transparent palette": lambda: palette_png(SCENE),
    "grey": lambda: pil("L", "JPEG"),
    "grey with alpha": lambda: pil("LA", "PNG"),
    "bilevel": lambda: pil("1", "PNG"),
    "16 bit": lambda: SCENE.colourspace("rgb16").pngsave_buffer(),
    "cmyk": lambda: SCENE.icc_transform("cmyk").jpegsave_buffer(Q=95),
    "lab": lambda: SCENE.colourspace("lab").tiffsave_buffer(),
    "animation": lambda: animation("GIF"),
    "webp": lambda: SCENE.webpsave_buffer(Q=90),
    "avif": lambda: SCENE.heifsave_buffer(compression="av1", Q=80, effort=0),
    "heic": lambda: heic(SCENE),
}


@pytest.mark.parametrize("kind", ODD)
def test_every_kind_of_picture_has_results(kind: str) -> None:
    content = ODD[kind]()
    outcomes = analyze(content)
    assert [outcome.failure for outcome in outcomes] == [None] * len(ALL)
    # Written down without a number that JSON has not, and the same each time.
    assert written_down(outcomes) == written_down(analyze(content))


@pytest.mark.parametrize("kind", ["16 bit", "cmyk", "lab", "webp", "avif", "heic"])
def test_kinds_of_one_picture_have_about_the_same_results(kind: str) -> None:
    order = AnalysisOrder("quality")
    (expected,), (found,) = analyze(SCENE.pngsave_buffer(), order), analyze(ODD[kind](), order)
    assert expected.result is not None
    assert found.result is not None
    tolerances = {"exposure": 1.5, "contrast": 0.02, "colorfulness": 16 if kind == "cmyk" else 3}
    for measure, tolerance in tolerances.items():
        assert found.result[measure] == pytest.approx(expected.result[measure], abs=tolerance), measure


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_picture_is_seen_as_it_is_shown(orientation: int) -> None:
    content = jpeg(turned_for(SCENE, orientation), exif=exif_block(orientation))
    picture = prepared(content)
    assert (picture.width_px, picture.height_px) == (320, 240)
    assert np.abs(picture.srgb.astype(int) - SCENE.numpy()).mean() < 3
    assert picture.exif["camera_model"] == "Model One"


@pytest.mark.parametrize("picture_format", ["jpeg", "png", "heic"])
def test_detail_is_the_middle_at_full_size_on_the_grid_of_blocks(picture_format: str) -> None:
    image = pyvips.Image.new_from_buffer(photograph(900, 700), "").copy_memory()
    save = {
        "jpeg": lambda: image.jpegsave_buffer(Q=98),
        "png": lambda: image.pngsave_buffer(compression=1),
        "heic": lambda: heic(image),
    }
    picture = prepared(save[picture_format]())
    assert max(picture.srgb.shape) == WORKING_SIDE_PX
    assert picture.detail is not None
    assert picture.detail.shape == (DETAIL_SIDE_PX, DETAIL_SIDE_PX)
    # (900 - 512) / 2 is 194, of which 192 is the block's beginning; (700 - 512) / 2 is 94, and 88.
    expected = image.numpy()[88:600, 192:704] @ np.array([0.299, 0.587, 0.114])
    assert np.abs(picture.detail - expected).mean() < 6
    assert np.abs(picture.detail - np.roll(expected, 8, axis=1)).mean() > 6


def test_what_no_analyzer_needs_is_not_decoded() -> None:
    picture = prepared(photograph(1900, 1400), detail=False, camera=False)
    assert (picture.detail, picture.exif) == (None, {})


def test_results_on_arrival_are_those_of_later() -> None:
    content = photograph(2600, 1700)
    with open_picture_file() as picture:
        picture.write(content)
        processed = process_picture(picture.fileno(), ProcessingRequest(analyses=ALL), time.monotonic() + 60)
    assert len(processed.derivatives) == 3
    assert written_down(processed.analyses) == written_down(analyze(content))


@pytest.mark.parametrize("saver", ["jpegsave", "pngsave", "webpsave", "tiffsave"])
def test_result_does_not_depend_on_what_else_is_asked(saver: str) -> None:
    image = pyvips.Image.new_from_buffer(photograph(1700, 1100), "")
    content = getattr(image, f"{saver}_buffer")()
    alone = tuple(analyze(content, order)[0] for order in ALL)
    assert written_down(analyze(content)) == written_down(alone)


class Broken:
    """An analyzer that fails in the middle of its work."""

    spec: AnalyzerSpec = CATALOGUE["quality"]
    version = "1"
    needs = spec.needs

    def analyze(self, picture: AnalysisPicture, parameters: Any) -> QualityResult:
        raise MemoryError("a message that quotes the picture")


def test_failing_analyzer_fails_alone_and_says_where() -> None:
    orders = (AnalysisOrder("quality"), AnalysisOrder("colors"), AnalysisOrder("colors", {"colors": 0}))
    with open_picture_file() as picture:
        picture.write(SCENE.pngsave_buffer())
        found = analyze_picture(
            picture.fileno(), AnalysisRequest(orders), time.monotonic() + 60, BUILT_IN | {"quality": Broken()}
        )
    assert [outcome.failure for outcome in found.outcomes] == ["analyzer-failed", None, "analyzer-failed"]
    assert (found.outcomes[0].place or "").startswith("MemoryError at test_analysis.py")
    assert "quotes" not in repr(found)


def test_no_analyzer_begins_after_the_deadline() -> None:
    with pytest.raises(PictureRejected) as raised:
        analyze(SCENE.pngsave_buffer(), seconds=-1)
    assert raised.value.code == "processing-timeout"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"not a picture", "not-an-image"),
        (png_header(30_000, 20_000), "image-too-many-pixels"),
        (photograph(1200, 900)[:9000], "image-truncated"),
        (SCENE.pngsave_buffer()[:2000], "image-truncated"),
    ],
)
def test_what_is_no_picture_is_rejected_as_when_it_is_processed(content: bytes, code: str) -> None:
    with pytest.raises(PictureRejected) as raised:
        analyze(content)
    assert raised.value.code == code


def test_catalogue_and_analyzers_are_the_same() -> None:
    assert {name: analyzer.spec for name, analyzer in BUILT_IN.items()} == CATALOGUE
    assert QualityParameters() == CATALOGUE["quality"].parameters()


async def test_real_worker_gives_the_same_bytes_alone_and_beside_processing() -> None:
    content = photograph(1600, 1200)
    pool = WorkerPool(size=1)
    await pool.start()
    try:
        with open_picture_file() as picture:
            picture.write(content)
            alone = await pool.analyze(picture, AnalysisRequest(ALL))
            beside = await pool.process(picture, ProcessingRequest(analyses=ALL))
            with pytest.raises(PictureRejected):
                await pool.analyze(picture, AnalysisRequest(ALL, PictureLimits(max_pixels=1000)))
        assert alone.worker_cpu_seconds > 0
        assert "analyze_skin" in alone.step_seconds
        assert written_down(alone.outcomes) == written_down(beside.analyses) == written_down(analyze(content))
        assert os.getpid() not in pool.process_ids
    finally:
        await pool.stop()
