"""Make one picture for delivery: from a picture's file to one file of the size and format that is asked for."""

import os

from image_core.delivery.spec import output_size, scaled_size
from image_core.images.picture_header import PREFIX_BYTES
from image_engine.contract.renditions import DEFAULT_EFFORT, Rendition, RenditionRequest
from image_engine.picture.compose import compose
from image_engine.picture.credit import credit_of
from image_engine.picture.decode import decode_moving, decode_still
from image_engine.picture.encode import encode
from image_engine.picture.exif import camera_data_of
from image_engine.picture.open_stored import decode_errors_as_rejections, open_stored, reporting_lack_of_memory
from image_engine.picture.orient import orient
from image_engine.picture.stored_picture import StoredPicture
from image_engine.worker.step_clock import StepClock

# Formats that decode to half, a quarter or an eighth do so by averaging blocks. At this factor what they give differs
# from the full size, made smaller, by less than encoding changes it (46 to 52 dB; 37 to 44 without any to spare).
_DETAIL = 1.4


def render_picture(descriptor: int, request: RenditionRequest, deadline_at: float) -> Rendition:
    """Make one picture of the picture in an open file; the file's position changes.

    `deadline_at` is a time of the monotonic clock.

    Raises:
        PictureRejected: it is not a picture, not an allowed one, broken, or over a limit.
    """
    with decode_errors_as_rejections():
        return _render(descriptor, request, StepClock(deadline_at))


def _render(descriptor: int, request: RenditionRequest, clock: StepClock) -> Rendition:
    recipe = request.recipe
    with clock.step("open"):
        header = request.limits.identify(os.pread(descriptor, PREFIX_BYTES, 0))
        stored = open_stored(descriptor, header.format)
        frames = _frames_to_make(stored, request)
    size = output_size(recipe, *stored.shown_size)
    scaled = scaled_size(recipe, *stored.shown_size)
    with clock.step("decode"):
        image = (
            decode_moving(descriptor, stored, frames, scaled) if frames > 1 else decode_still(stored, scaled, _DETAIL)
        )
    with clock.step("compose"):
        image = orient(image, stored.orientation, frames)
        image = compose(image, recipe, size, frames, keeps_alpha=request.format != "jpeg").copy_memory()
    with clock.step("encode"), reporting_lack_of_memory(stored):
        effort = DEFAULT_EFFORT[request.format] if request.effort is None else request.effort
        xmp = credit_of(camera_data_of(descriptor, stored).exif) if recipe.metadata == "copyright" else b""
        content = encode(image, request.format, recipe.quality, effort, xmp)
    return Rendition(request.format, *size, frames, content, clock.seconds)


def _frames_to_make(stored: StoredPicture, request: RenditionRequest) -> int:
    """Check what the codec itself reads in the header, and count the frames to make."""
    request.limits.check_size(stored.width_px, stored.height_px)
    frames = stored.frames if request.format == "webp" and request.recipe.animated else 1
    return request.limits.frames_to_decode(stored.width_px, stored.height_px, stored.bytes_per_pixel, frames)
