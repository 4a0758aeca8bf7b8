import io
import struct
import time
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import pyvips
from PIL import Image

from image_engine.contract.answers import ProcessedPicture
from image_engine.contract.limits import PictureLimits
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.rejections import PictureRejected
from image_engine.contract.requests import ProcessingRequest
from image_engine.picture.analysis_picture import prepare_picture
from image_engine.picture.open_stored import decode_errors_as_rejections
from image_engine.testing.pictures import animation, difference, exif_block, heic, scene, with_metadata
from image_engine.testing.renditions import rendered
from image_engine.worker.pipeline import process_picture

SCENE = scene()


def process(content: bytes) -> ProcessedPicture:
    with open_picture_file() as picture:
        picture.write(content)
        with decode_errors_as_rejections():
            prepare_picture(picture.fileno(), PictureLimits(), detail=True, camera=False)
        return process_picture(picture.fileno(), ProcessingRequest(), time.monotonic() + 60)


def assert_whole(content: bytes, frames: int = 1) -> None:
    picture = process(content)
    assert picture.facts.frames == frames
    large = next(item.content for item in picture.derivatives if item.preset == "large")
    if frames == 1:
        assert difference(pyvips.Image.webpload_buffer(large), SCENE) < 6
        assert difference(pyvips.Image.new_from_array(np.asarray(rendered(content).convert("RGB"))), SCENE) < 6
    else:
        assert getattr(rendered(content, "webp"), "n_frames", 1) == frames


def assert_truncated(content: bytes) -> None:
    with pytest.raises(PictureRejected) as raised:
        process(content)
    assert raised.value.code == "image-truncated"


def gif() -> bytes:
    target = io.BytesIO()
    Image.fromarray(SCENE.numpy()).convert("P").save(target, "GIF")
    return target.getvalue()


def sequence(picture_format: str) -> bytes:
    target = io.BytesIO()
    frames = [Image.fromarray(np.roll(SCENE.numpy(), 9 * index, axis=0)) for index in range(3)]
    frames[0].save(target, picture_format, save_all=True, append_images=frames[1:])
    return target.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: SCENE.jpegsave_buffer(Q=92),
    "jpeg without subsampling": lambda: SCENE.jpegsave_buffer(Q=92, subsample_mode="off"),
    "jpeg with restarts": lambda: SCENE.jpegsave_buffer(Q=92, restart_interval=5),
    "progressive jpeg": lambda: SCENE.jpegsave_buffer(Q=92, interlace=True),
    "png": SCENE.pngsave_buffer,
    "interlaced png": lambda: SCENE.pngsave_buffer(interlace=True),
    "webp": lambda: SCENE.webpsave_buffer(Q=92),
    "gif": gif,
    "tiff": SCENE.tiffsave_buffer,
    "avif": lambda: SCENE.heifsave_buffer(compression="av1", Q=80, effort=0),
    "heic": lambda: heic(SCENE),
}
JPEGS = [name for name in FILES if "jpeg" in name]


@pytest.mark.parametrize(
    "trailer", [bytes(100), b"SEFHe\x00\x00\x00" * 9 + b"SEFT", b"\x00\x00\x10\x00mdat" + bytes(4088)]
)
@pytest.mark.parametrize("kind", FILES)
def test_what_follows_the_end_does_not_matter(kind: str, trailer: bytes) -> None:
    assert_whole(FILES[kind]() + trailer)


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_without_its_end_mark_is_whole(kind: str) -> None:
    content = FILES[kind]()
    assert content.endswith(b"\xff\xd9")
    assert_whole(content[:-2])
    assert_whole(content[:-1])
    assert_whole(content[:-2] + bytes(40))
    assert_whole(content[:-2] + bytes(4096))


@pytest.mark.parametrize("kind", JPEGS)
def test_another_jpeg_behind_it_is_not_the_end_of_one(kind: str) -> None:
    content, other = FILES[kind](), FILES["jpeg"]()
    assert_whole(content + other)
    assert_whole(content[:-2] + other)
    assert_whole(content[:-2] + other[:-200])
    for part in (0.5, 0.9):
        assert_truncated(content[: int(len(content) * part)] + other)


@pytest.mark.parametrize("lacking", [6, 12, 40])
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_that_lacks_its_last_pixels_is_truncated(kind: str, lacking: int) -> None:
    assert_truncated(FILES[kind]()[:-lacking])


@pytest.mark.parametrize("kind", [*JPEGS, "jpeg with a restart for each row"])
def test_a_jpeg_whose_end_was_never_written_is_truncated(kind: str) -> None:
    # As of a download into a file that was made as long as it should become.
    content = FILES[kind]() if kind in FILES else SCENE.jpegsave_buffer(Q=92, restart_interval=20)
    for part in (0.5, 0.9):
        written = content[: int(len(content) * part)]
        assert_truncated(written.ljust(len(content), b"\x00"))


def scan_starts(content: bytes) -> list[int]:
    return [place for place in range(len(content)) if content[place : place + 2] == b"\xff\xda"]


def test_a_progressive_jpeg_that_lacks_a_scan_is_truncated() -> None:
    content = FILES["progressive jpeg"]()
    starts = scan_starts(content)
    assert len(starts) > 4
    for start in starts[1:]:
        assert_truncated(content[:start])
        assert_truncated(content[: start + 30])


def test_a_png_without_its_end_chunk_is_whole() -> None:
    for kind in ("png", "interlaced png"):
        content = FILES[kind]()
        for lacking in (1, 4, 8, 12):
            assert_whole(content[:-lacking])


def test_a_png_that_lacks_a_chunk_of_pixels_is_truncated() -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\x00" + row.tobytes() for row in SCENE.numpy())
    stream = zlib.compress(rows)
    half = len(stream) // 2
    head = struct.pack(">IIBBBBB", 320, 240, 8, 2, 0, 0, 0)
    first = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", stream[:half])
    assert_truncated(first)
    assert_truncated(first + chunk(b"IDAT", stream[half:-20]))
    assert_whole(first + chunk(b"IDAT", stream[half:]))


@pytest.mark.parametrize("lacking", [1, 2, 3])
def test_a_gif_without_its_trailer_is_whole(lacking: int) -> None:
    assert_whole(gif()[:-lacking])
    assert_whole(animation("GIF")[:-1], frames=5)


def test_a_gif_that_lacks_pixels_is_truncated() -> None:
    content = animation("GIF")
    frame = content.rindex(b"\x00\x2c\x00\x00") + 1
    # In the middle of its head, behind it, and where only the control of a frame is there.
    for end in (frame, frame + 5, frame + 10, frame + 12):
        assert_truncated(content[:end])
    for lacking in (8, 30):
        assert_truncated(gif()[:-lacking])


@pytest.mark.parametrize("options", [{"Q": 92}, {"lossless": True}])
def test_a_webp_that_lacks_only_texts_is_whole(options: dict[str, object]) -> None:
    dressed = with_metadata(SCENE, exif=exif_block(), xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>" * 9)
    content = dressed.webpsave_buffer(**options)
    for end in (len(content) - 1, content.index(b"XMP ") + 20, content.index(b"XMP "), content.index(b"EXIF") + 30):
        assert_whole(content[:end])
    assert_truncated(content[: content.index(b"EXIF") - 9])


@pytest.mark.parametrize("picture_format", ["GIF", "WEBP", "AVIF"])
def test_a_sequence_that_lacks_a_frame_is_truncated(picture_format: str) -> None:
    content = sequence(picture_format)
    for part in (0.5, 0.9, 0.98):
        assert_truncated(content[: int(len(content) * part)])


def test_an_animated_webp_may_announce_less_than_a_frame_too_much() -> None:
    content = sequence("WEBP")
    for more in (1, 2, 8):
        assert_whole(content[:4] + struct.pack("<I", len(content) - 8 + more) + content[8:], frames=3)
    assert_truncated(content[: content.rindex(b"ANMF")])


@pytest.mark.parametrize("part", [0.5, 0.9])
@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_breaks_off_is_truncated(kind: str, part: float) -> None:
    content = FILES[kind]()
    assert_truncated(content[: int(len(content) * part)])
