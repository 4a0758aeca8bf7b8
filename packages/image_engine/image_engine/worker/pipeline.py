"""From a picture's file to its derivatives and facts: the ordered steps, and their runner.

A picture is decoded once, at a reduced size if its format allows that, and each derivative is made from the next larger
one. Calculations that need no detail use the smallest one. (An animation is decoded twice: its first frame for stills,
all of its frames for animated derivatives.)
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import pyvips

from image_core.delivery.spec import output_size
from image_core.images.picture_header import PREFIX_BYTES, PictureHeader
from image_core.images.similarity import DESCRIPTOR_MODEL
from image_engine.analyzers.analyzer import Analyzer
from image_engine.contract.answers import Derivative, PictureFacts, ProcessedPicture
from image_engine.contract.facts import fitting_facts
from image_engine.contract.presets import Preset
from image_engine.contract.requests import ProcessingRequest
from image_engine.models.description import ModelBroken
from image_engine.picture.blurhash import blurhash
from image_engine.picture.decode import decode_moving, decode_still
from image_engine.picture.dominant_colors import dominant_colors
from image_engine.picture.encode import encode
from image_engine.picture.exif import CameraData, camera_data_of
from image_engine.picture.icc_profile import describe_profile
from image_engine.picture.open_stored import decode_errors_as_rejections, open_stored
from image_engine.picture.orient import orient
from image_engine.picture.perceptual_hash import perceptual_hash
from image_engine.picture.pixels import Pixels, all_pixels, opaque_squares
from image_engine.picture.resize import shrink
from image_engine.picture.stored_picture import StoredPicture
from image_engine.picture.visual_descriptor import visual_descriptor
from image_engine.worker.analysis import BUILT_IN, analyze_on_arrival
from image_engine.worker.step_clock import StepClock

if TYPE_CHECKING:
    # onnxruntime is imported only if there is a model.
    from image_engine.analyzers.onnx_embedding import OnnxEmbedding

_FACTS = Preset("facts", 256, animated=False)


def process_picture(
    descriptor: int,
    request: ProcessingRequest,
    deadline_at: float,
    analyzers: Mapping[str, Analyzer] = BUILT_IN,
    embedding: "OnnxEmbedding | None" = None,
) -> ProcessedPicture:
    """Make every derivative and fact of the picture in an open file; the file's position changes.

    `deadline_at` is a time of the monotonic clock. Without `embedding` the built-in descriptor is the only vector.

    Raises:
        PictureRejected: It is not a picture, not allowed, damaged, or over a limit.
    """
    with decode_errors_as_rejections():
        return _run_steps(descriptor, request, StepClock(deadline_at), analyzers, embedding)


def _run_steps(
    descriptor: int,
    request: ProcessingRequest,
    clock: StepClock,
    analyzers: Mapping[str, Analyzer],
    embedding: "OnnxEmbedding | None",
) -> ProcessedPicture:
    with clock.step("identify"):
        header = request.limits.identify(os.pread(descriptor, PREFIX_BYTES, 0))
    with clock.step("open"):
        stored = open_stored(descriptor, header.format)
        frames = _check_limits(stored, request)
    with clock.step("inspect"):
        camera = camera_data_of(descriptor, stored)
    with clock.step("decode"):
        first = _largest(_still_presets(request, frames))
        still = decode_still(stored, output_size(first.recipe, *stored.shown_size))
    with clock.step("orient"):
        still = orient(still, stored.orientation).copy_memory()
    derivatives, smallest = _derive(clock, still, stored, _still_presets(request, frames), 1)
    if frames > 1:
        derivatives |= _derive_animations(descriptor, stored, request, frames, clock)
    with clock.step("describe"):
        if max(smallest.width, smallest.height) > _FACTS.longest_side_px:
            smallest = shrink(smallest, *output_size(_FACTS.recipe, *stored.shown_size))
        square = opaque_squares(smallest)
        facts = _describe(stored, header, camera, smallest, square, keep_location=request.keep_location)
        vectors = {DESCRIPTOR_MODEL: visual_descriptor(square)}
    trace = None
    if embedding is not None and request.embed:
        trace = _embed(clock, embedding, still, vectors)
    ordered = tuple(derivatives[preset.name] for preset in request.presets)
    del still, smallest
    analyses = analyze_on_arrival(descriptor, request.analyses, request.limits, clock, analyzers)
    return ProcessedPicture(
        facts=facts, derivatives=ordered, step_seconds=clock.seconds, vectors=vectors, analyses=analyses, trace=trace
    )


def _embed(
    clock: StepClock, embedding: "OnnxEmbedding", image: pyvips.Image, vectors: dict[str, list[float]]
) -> str | None:
    """Add the model's vector. A model never fails the image: its error is returned for the log."""
    try:
        with clock.step("embed"):
            vectors[embedding.model] = embedding.embed(image)
    except ModelBroken as error:
        return f"embedding: {error}"
    return None


# --- Check --------------------------------------------------------------------------------------------------------


def _check_limits(stored: StoredPicture, request: ProcessingRequest) -> int:
    """Check the header as the codec reads it, and count the frames that may be decoded."""
    request.limits.check_size(stored.width_px, stored.height_px)
    return request.limits.frames_to_decode(stored.width_px, stored.height_px, stored.bytes_per_pixel, stored.frames)


# --- Derive -------------------------------------------------------------------------------------------------------


def _largest(presets: tuple[Preset, ...]) -> Preset:
    return max(presets, key=lambda preset: preset.longest_side_px, default=_FACTS)


def _still_presets(request: ProcessingRequest, frames: int) -> tuple[Preset, ...]:
    return tuple(preset for preset in request.presets if frames == 1 or not preset.animated)


def _derive(
    clock: StepClock, image: pyvips.Image, stored: StoredPicture, presets: tuple[Preset, ...], frames: int
) -> tuple[dict[str, Derivative], pyvips.Image]:
    """Make the derivatives from the largest to the smallest, each from the previous one; return the last pixels."""
    derivatives: dict[str, Derivative] = {}
    encoded: dict[tuple[int, int], Derivative] = {}
    for preset in sorted(presets, key=lambda preset: -preset.longest_side_px):
        width_px, height_px = output_size(preset.recipe, *stored.shown_size)
        if (width_px, height_px) != (image.width, image.height // frames):
            with clock.step("resize"):
                image = shrink(image, width_px, height_px)
            encoded = {}
        # A picture smaller than two presets gives the same bytes for both.
        settings = (preset.quality, preset.effort)
        if settings not in encoded:
            with clock.step(f"encode_{preset.name}"):
                content = encode(image, "webp", *settings)
            encoded[settings] = Derivative(preset.name, width_px, height_px, frames, content)
        derivatives[preset.name] = replace(encoded[settings], preset=preset.name)
    return derivatives, image


def _derive_animations(
    descriptor: int, stored: StoredPicture, request: ProcessingRequest, frames: int, clock: StepClock
) -> dict[str, Derivative]:
    presets = tuple(preset for preset in request.presets if preset.animated)
    if not presets:
        return {}
    with clock.step("decode_frames"):
        moving = decode_moving(descriptor, stored, frames, output_size(_largest(presets).recipe, *stored.shown_size))
    with clock.step("orient"):
        moving = orient(moving, stored.orientation, frames).copy_memory()
    return _derive(clock, moving, stored, presets, frames)[0]


# --- Describe -----------------------------------------------------------------------------------------------------


def _describe(
    stored: StoredPicture,
    header: PictureHeader,
    camera: CameraData,
    smallest: pyvips.Image,
    square: Pixels,
    *,
    keep_location: bool,
) -> PictureFacts:
    width_px, height_px = stored.shown_size
    return PictureFacts(
        format=stored.format,
        content_type=header.content_type,
        width_px=width_px,
        height_px=height_px,
        frames=stored.frames,
        duration_ms=sum(stored.delays_ms) if stored.frames > 1 else None,
        loop_count=stored.loop_count,
        bit_depth=stored.bit_depth,
        has_alpha=stored.has_alpha,
        color_space=stored.color_space,
        icc_profile=describe_profile(stored.icc_profile) if stored.icc_profile else None,
        orientation=stored.orientation,
        exif=fitting_facts(camera.exif),
        location=camera.location if keep_location else None,
        colors=dominant_colors(all_pixels(smallest)),
        blurhash=blurhash(square, width_px, height_px),
        perceptual_hash=perceptual_hash(square),
    )
