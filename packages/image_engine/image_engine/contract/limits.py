"""The limits of a picture, checked from its header before anything is decoded."""

from dataclasses import dataclass
from typing import Any

from image_core.images.picture_header import PictureFormat, PictureHeader, describe_unknown, detect
from image_engine.contract.rejections import PictureRejected, unsupported

ALL_FORMATS: tuple[PictureFormat, ...] = ("jpeg", "png", "webp", "gif", "avif", "heic", "tiff")


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """The limits of one picture.

    Attributes:
        max_pixels: width times height of one frame.
        max_side_px: larger sizes are considered invalid. 65,535 is the maximum of JPEG.
        max_decoded_bytes: samples of all frames of an animation that are decoded, together, in their stored depth.
        max_frames: of a longer animation the first frames are used.
        allowed_formats: any other format is rejected.
    """

    max_pixels: int = 50_000_000
    max_side_px: int = 65_535
    max_decoded_bytes: int = 256 * 1024 * 1024
    max_frames: int = 500
    allowed_formats: tuple[PictureFormat, ...] = ALL_FORMATS

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "PictureLimits":
        """Rebuild limits from plain values."""
        return cls(**{**values, "allowed_formats": tuple(values["allowed_formats"])})

    def identify(self, prefix: bytes) -> PictureHeader:
        """Identify the first bytes, and check the size that they declare.

        Raises:
            PictureRejected: It is not a picture, or its format or size is not allowed.
        """
        header = detect(prefix)
        if header is None:
            kind = describe_unknown(prefix)
            if kind is None:
                raise PictureRejected("not-an-image")
            raise PictureRejected("image-format-not-allowed", f"Format not supported: the file is {kind}.")
        if header.format not in self.allowed_formats:
            raise PictureRejected("image-format-not-allowed", f"Format not allowed: {header.format.upper()}.")
        if header.unsupported is not None:
            raise unsupported(header.unsupported)
        if header.width_px is not None and header.height_px is not None:
            self.check_size(header.width_px, header.height_px, header.max_pixels)
        return header

    def check_size(self, width_px: int, height_px: int, own_max_pixels: int | None = None) -> None:
        """Check the size of a frame.

        `own_max_pixels` is a limit of the picture's kind.

        Raises:
            PictureRejected: With `image-dimensions-invalid` or `image-too-many-pixels`.
        """
        if not (0 < width_px <= self.max_side_px and 0 < height_px <= self.max_side_px):
            raise PictureRejected(
                "image-dimensions-invalid",
                f"Dimensions not valid: {width_px} × {height_px} pixels. Both sides must be 1 to {self.max_side_px}.",
            )
        max_pixels = min(self.max_pixels, own_max_pixels or self.max_pixels)
        if width_px * height_px > max_pixels:
            raise PictureRejected(
                "image-too-many-pixels",
                f"Too many pixels: {width_px} × {height_px}; the limit is {max_pixels / 1e6:g} million. "
                "Scale the image down.",
            )

    def frames_to_decode(self, width_px: int, height_px: int, bytes_per_pixel: int, frame_count: int) -> int:
        """Count the first frames that fit within the limits. A still picture is never held whole.

        Raises:
            PictureRejected: Not even one frame of an animation fits (`picture-too-much-memory`).
        """
        frame_bytes = max(1, width_px * height_px * bytes_per_pixel)
        if frame_count == 1:
            return 1
        if frame_bytes > self.max_decoded_bytes:
            raise PictureRejected("picture-too-much-memory")
        return max(1, min(frame_count, self.max_frames, self.max_decoded_bytes // frame_bytes))
