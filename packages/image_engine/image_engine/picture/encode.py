"""Write a derivative."""

import pyvips

from image_engine.contract.answers import Derivative
from image_engine.contract.presets import Preset


def encode(image: pyvips.Image, preset: Preset, frames: int = 1) -> Derivative:
    """Encode sRGB pixels as WebP, without EXIF, XMP, IPTC or ICC profile.

    Of an animation the frames stand below one another; delays and loop count travel with the image.
    """
    content: bytes = image.webpsave_buffer(Q=preset.quality, effort=preset.effort, keep="none")
    return Derivative(preset.name, image.width, image.height // frames, frames, content)
