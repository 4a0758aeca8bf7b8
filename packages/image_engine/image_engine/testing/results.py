"""Worker answers, for tests of their consumers."""

from image_engine.contract.answers import Derivative, PictureFacts, ProcessedPicture

FACTS = PictureFacts(
    format="png", content_type="image/png", width_px=40, height_px=30, frames=1, duration_ms=None, loop_count=None,
    bit_depth=8, has_alpha=False, color_space="rgb", icc_profile=None, orientation=1, exif={}, location=None,
    colors=[], blurhash="00OZZy", perceptual_hash="0" * 16,
)  # fmt: skip
PROCESSED = ProcessedPicture(
    FACTS,
    tuple(Derivative(name, 40, 30, 1, b"%s bytes" % name.encode()) for name in ("thumb", "preview", "large")),
    {"decode": 0.01},
)
