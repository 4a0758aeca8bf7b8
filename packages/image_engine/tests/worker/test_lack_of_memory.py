"""Large flat pictures in a worker that has little memory: what it lacks is not to be called damage."""

from collections.abc import Callable

import pytest
import pyvips

from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.rejections import PictureRejected
from image_engine.contract.requests import ProcessingRequest
from image_engine.pool.pool import WorkerPool
from image_engine.pool.worker_limits import MIB, WorkerLimits
from image_engine.testing.pictures import heic

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
