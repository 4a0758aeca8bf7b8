import subprocess
import sys

import pytest

TRY_LOADERS = """
import pyvips
from image_engine.worker.loader_policy import restrict_libvips
svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
picture = pyvips.Image.black(9, 9, bands=3).copy(interpretation="srgb")
avif, jpeg = picture.heifsave_buffer(compression="av1", effort=0), picture.jpegsave_buffer()
restrict_libvips({formats!r})
def attempt(load):
    try:
        return str(load().avg())
    except pyvips.Error:
        return "blocked"
print(
    attempt(lambda: pyvips.Image.svgload_buffer(svg)),
    attempt(lambda: pyvips.Image.new_from_buffer(svg, "")),
    attempt(lambda: pyvips.Image.csvload("/etc/hostname")),
    attempt(lambda: pyvips.Image.rawload("/etc/hostname", 1, 1, 1)),
    attempt(lambda: pyvips.Image.vipsload("/etc/hostname")),
    attempt(lambda: pyvips.Image.uhdrload_buffer(jpeg)),
    attempt(lambda: pyvips.Image.heifload_buffer(avif)),
    attempt(lambda: pyvips.Image.jpegload_buffer(jpeg)),
)
"""


@pytest.mark.parametrize(("formats", "avif"), [(("jpeg", "avif"), "0.0"), (("jpeg",), "blocked")])
def test_only_listed_loaders_open_anything(formats: tuple[str, ...], avif: str) -> None:
    outcome = subprocess.run(
        [sys.executable, "-c", TRY_LOADERS.format(formats=formats)], capture_output=True, text=True, check=True
    )
    assert outcome.stdout.split() == [*["blocked"] * 6, avif, "0.0"]


def test_old_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyvips

    from image_engine.worker.loader_policy import restrict_libvips

    monkeypatch.setattr(pyvips, "version", lambda part: (8, 18, 6)[part])
    with pytest.raises(RuntimeError, match=r"8, 18, 7"):
        restrict_libvips(["jpeg"])
