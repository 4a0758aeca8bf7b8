"""From a picture's file to its derivatives and facts: the ordered steps, and their runner.

A picture is decoded once, at a reduced size if its format allows that, and each derivative is made from a larger one.
Calculations that need no detail use a small one. (An animation is decoded twice: its first frame for stills, all of its
frames for animated derivatives.)
"""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pyvips

from image_core.delivery.spec import output_size, scaled_size
from image_core.images.picture_header import PREFIX_BYTES, PictureHeader
from image_core.images.similarity import DESCRIPTOR_MODEL
from image_engine.analyzers.analyzer import Analyzer
from image_engine.contract.answers import Derivative, PictureFacts, ProcessedPicture
from image_engine.contract.facts import fitting_facts
from image_engine.contract.presets import DEFAULT_PRESETS, Preset, bounded
from image_engine.contract.requests import ProcessingRequest
from image_engine.models.description import ModelBroken
from image_engine.picture.blurhash import blurhash
from image_engine.picture.compose import compose
from image_engine.picture.credit import credit_of
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

_FACTS = bounded("facts", 256, animated=False)
"""The picture that facts are taken of. Nothing is encoded of it, so presets of a team do not change facts."""
# A smaller factor, time after time, would blur what is made last.
_LEAST_FACTOR = 1.9
_DEFAULT_NAMES = frozenset(preset.name for preset in DEFAULT_PRESETS)


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
        stills = (*_still_presets(request, frames), _FACTS)
        still = decode_still(stored, _largest_size(stills, stored))
    with clock.step("orient"):
        still = orient(still, stored.orientation).copy_memory()
    encoder, described = _Encoder(clock, stored, camera), still
    derivatives: dict[str, Derivative] = {}
    for preset, image in _scale(clock, still, stored, stills, 1):
        if preset is _FACTS:
            described = image
        else:
            derivatives[preset.name] = encoder.encode(preset, image, 1)
    moving = [preset for preset in request.all_presets if preset.name not in derivatives]
    if moving:
        animation = _moving(descriptor, stored, moving, frames, clock)
        for preset, image in _scale(clock, animation, stored, moving, frames):
            derivatives[preset.name] = encoder.encode(preset, image, frames)
        del animation
    with clock.step("describe"):
        square = opaque_squares(described)
        facts = _describe(stored, header, camera, described, square, keep_location=request.keep_location)
        vectors = {DESCRIPTOR_MODEL: visual_descriptor(square)}
    trace = None
    if embedding is not None and request.embed:
        trace = _embed(clock, embedding, still, vectors)
    ordered = tuple(derivatives[preset.name] for preset in request.all_presets)
    del still, described, image
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


def _still_presets(request: ProcessingRequest, frames: int) -> tuple[Preset, ...]:
    return tuple(preset for preset in request.all_presets if frames == 1 or not preset.recipe.animated)


def _largest_size(presets: Iterable[Preset], stored: StoredPicture) -> tuple[int, int]:
    return max((scaled_size(preset.recipe, *stored.shown_size) for preset in presets), key=math.prod)


def _scale(
    clock: StepClock, image: pyvips.Image, stored: StoredPicture, presets: Iterable[Preset], frames: int
) -> Iterator[tuple[Preset, pyvips.Image]]:
    """Scale a picture for each preset, from the largest to the smallest, each from one that is large enough."""
    source = image
    sized = [(scaled_size(preset.recipe, *stored.shown_size), preset) for preset in presets]
    for size, preset in sorted(sized, key=lambda each: -math.prod(each[0])):
        if size != (image.width, image.height // frames):
            if image.width >= size[0] * _LEAST_FACTOR:
                source = image
            with clock.step("resize"):
                image = shrink(source, *size)
        yield preset, image


class _Encoder:
    """Makes the files of derivatives from pixels that were scaled for them."""

    def __init__(self, clock: StepClock, stored: StoredPicture, camera: CameraData) -> None:
        self._clock, self._stored = clock, stored
        self._credit = credit_of(camera.exif)
        self._made: dict[tuple[object, ...], Derivative] = {}

    def encode(self, preset: Preset, image: pyvips.Image, frames: int) -> Derivative:
        """Cut or pad the pixels as the preset says, and encode them."""
        recipe = preset.recipe
        size = output_size(recipe, *self._stored.shown_size)
        # A picture smaller than two presets gives the same bytes for both.
        alike = (size, frames, preset.effort, replace(recipe, width_px=None, height_px=None, animated=True))
        if alike not in self._made:
            with self._clock.step("compose"):
                composed = compose(image, recipe, size, frames, keeps_alpha=True)
                if composed is not image:
                    composed = composed.copy_memory()
            # Names of other presets are a team's, and not to be found in metrics.
            with self._clock.step(f"encode_{preset.name if preset.name in _DEFAULT_NAMES else 'other'}"):
                xmp = self._credit if recipe.metadata == "copyright" else b""
                content = encode(composed, "webp", recipe.quality, preset.effort, xmp)
            self._made[alike] = Derivative(preset.name, *size, frames, content)
        return replace(self._made[alike], preset=preset.name)


def _moving(
    descriptor: int, stored: StoredPicture, presets: Sequence[Preset], frames: int, clock: StepClock
) -> pyvips.Image:
    """Decode the frames of an animation as large as its presets need them, one below the other."""
    with clock.step("decode_frames"):
        moving = decode_moving(descriptor, stored, frames, _largest_size(presets, stored))
    with clock.step("orient"):
        return orient(moving, stored.orientation, frames).copy_memory()


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
        exif=fitting_facts(camera.exif if keep_location else camera.without_place),
        location=camera.location if keep_location else None,
        colors=dominant_colors(all_pixels(smallest)),
        blurhash=blurhash(square, width_px, height_px),
        perceptual_hash=perceptual_hash(square),
    )
