"""Large flat pictures in a worker that has little memory: what it lacks is not to be called damage."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import pyvips

from image_core.delivery.spec import Format, Recipe
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.rejections import PictureRejected
from image_engine.contract.renditions import RenditionRequest
from image_engine.contract.requests import ProcessingRequest
from image_engine.pool.pool import WorkerPool
from image_engine.pool.worker_limits import MIB, WorkerLimits
from image_engine.testing.pictures import heic, photograph

SIZE = (6000, 4000)


def flat(bands: int = 3) -> pyvips.Image:
    return (pyvips.Image.black(*SIZE, bands=bands) + 128).cast("uchar").copy(interpretation="srgb")


LARGE: dict[str, Callable[[], bytes]] = {
    "progressive jpeg": lambda: flat().jpegsave_buffer(interlace=True, subsample_mode="off"),
    "interlaced png": lambda: flat(4).pngsave_buffer(interlace=True, compression=1),
    "webp": lambda: flat(4).webpsave_buffer(effort=0),
    "lossless webp": lambda: flat(4).webpsave_buffer(effort=0, lossless=True),
    "avif": lambda: flat().heifsave_buffer(compression="av1", effort=0, subsample_mode="off", bitdepth=10),
    "heic": lambda: heic(flat(), enc_params={"preset": "ultrafast"}),
}


@pytest.mark.large
@pytest.mark.parametrize("memory_mib", [120, 150, 180])
async def test_what_lacks_memory_is_not_called_damaged(memory_mib: int) -> None:
    pool = WorkerPool(1, WorkerLimits(memory_limit_bytes=memory_mib * MIB))
    await pool.start()
    codes = {}
    try:
        for kind, make in LARGE.items():
            with open_picture_file() as picture:
                picture.write(make())
                try:
                    await pool.process(picture, ProcessingRequest())
                except PictureRejected as rejection:
                    codes[kind] = rejection.code
    finally:
        await pool.stop()
    assert set(codes.values()) <= {"picture-too-much-memory"}, codes
    assert memory_mib > 120 or len(codes) == len(LARGE)


async def test_encoder_that_would_lack_memory_does_not_begin() -> None:
    is_made: dict[tuple[Format, int], bool] = {
        ("webp", 4): False, ("avif", 3): False, ("webp", 3): True, ("jpeg", 3): True, ("png", 4): True
    }  # fmt: skip
    pool = WorkerPool(1, WorkerLimits(memory_limit_bytes=210 * MIB))
    await pool.start()
    before, outcomes = pool.process_ids, {}
    try:
        for bands in (3, 4):
            content = (pyvips.Image.black(3000, 2400, bands=bands) + 128).cast("uchar").copy(interpretation="srgb")
            png = content.pngsave_buffer(compression=1)
            for image_format in (image_format for image_format, its_bands in is_made if its_bands == bands):
                outcomes[image_format, bands] = await outcome(pool, png, image_format)
        # No worker has died of it.
        assert pool.process_ids == before
    finally:
        await pool.stop()
    assert outcomes == {each: 3000 if made else "picture-too-much-memory" for each, made in is_made.items()}


async def outcome(pool: WorkerPool, content: bytes, image_format: Format) -> int | str:
    """The width of the rendition, or the code of its rejection."""
    with open_picture_file() as picture:
        picture.write(content)
        try:
            return (await pool.render(picture, RenditionRequest(Recipe(), image_format))).width_px
        except PictureRejected as rejected:
            return rejected.code


def data_bytes(process_id: int) -> int:
    """What counts against a worker's limit, whether it is touched or not."""
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData"))


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
async def test_large_picture_takes_no_memory_from_the_next() -> None:
    pool = WorkerPool(1)
    await pool.start()
    try:
        (process_id,) = pool.process_ids
        before = data_bytes(process_id)
        for image_format in ("avif", "webp"):
            with open_picture_file() as picture:
                picture.write(photograph(3000, 2400))
                await pool.render(picture, RenditionRequest(Recipe(), image_format))
        assert pool.process_ids == [process_id]
        assert data_bytes(process_id) - before < 40 * MIB
    finally:
        await pool.stop()
