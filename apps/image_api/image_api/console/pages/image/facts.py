"""What the file of an image says, in words: its camera, when and where it was taken, and its format."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import orjson

from image_core.db import Record

Pairs = list[tuple[str, str]]
_MAP = "https://www.openstreetmap.org/"
_NEAR_METRES = 1000
_CAMERA = (
    "camera_make", "camera_model", "lens_make", "lens", "exposure_time", "f_number", "iso", "exposure_bias",
    "focal_length", "focal_length_35mm", "flash_fired", "software", "artist", "copyright", "description", "taken_at",
    "gps_time",
)  # fmt: skip
_FILE = (
    "format", "content_type", "width_px", "height_px", "frames", "duration_ms", "loop_count", "bit_depth", "has_alpha",
    "color_space", "icc_profile", "orientation", "exif", "location", "colors",
)  # fmt: skip
# They are for programs.
_FOR_PROGRAMS = ("blurhash", "perceptual_hash", "perceptual_hash_algorithm")
_COLOR_SPACES = {"rgb": "RGB", "gray": "grayscale", "cmyk": "CMYK", "lab": "Lab"}


class Place(NamedTuple):
    """Where a photograph was taken, where a map shows it, and the filter of the images from around it."""

    text: str
    map_url: str
    near: str


class Facts(NamedTuple):
    """The facts of an image as its page shows them; `place` is null if the file names none."""

    camera: Pairs
    file: Pairs
    place: Place | None
    colors: list[dict[str, Any]]


def facts_of(row: Record) -> Facts:
    """Return the facts of an image. Those that this page has no words for yet are shown by their names."""
    facts: dict[str, Any] = orjson.loads(row["facts"] or b"{}")
    exif: dict[str, Any] = facts.get("exif") or {}
    known = (*_FILE, *_FOR_PROGRAMS)
    others = flat({name: value for name, value in facts.items() if name not in known})
    of_camera = flat({name: value for name, value in exif.items() if name not in _CAMERA})
    return Facts(
        _camera(exif) + of_camera, _file(facts) + others, _place(facts.get("location")), facts.get("colors") or []
    )


def flat(values: Mapping[str, Any], within: str = "") -> Pairs:
    """Return names and values as texts; `place.name` for what is within another value."""
    found: Pairs = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += flat(value, f"{within}{name}.")
        elif value is not None and value != []:
            found.append((f"{within}{name}", value if isinstance(value, str) else orjson.dumps(value).decode()))
    return found


def zone_of(row: Record) -> str:
    """Return what is known of the time zone in which an image was taken."""
    if row["taken_at_source"] == "camera-clock" or row["taken_at"] is None:
        return "by the camera's clock; its time zone is unknown"
    minutes = round((row["taken_local"] - row["taken_at"].replace(tzinfo=None)).total_seconds() / 60)
    zone = f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    return f"{zone}, from the satellites' time" if row["taken_at_source"] == "gps" else zone


def _present(pairs: list[tuple[str, str | None]]) -> Pairs:
    return [(name, text) for name, text in pairs if text]


def _camera(exif: dict[str, Any]) -> Pairs:
    focal, equal = exif.get("focal_length"), exif.get("focal_length_35mm")
    lengths = [focal and f"{focal:g} mm", equal and f"as {equal} mm on 35 mm film"]
    return _present(
        [
            ("Camera", _model(exif.get("camera_make"), exif.get("camera_model"))),
            ("Lens", _model(exif.get("lens_make"), exif.get("lens"))),
            ("Exposure", ", ".join(_exposure(exif))),
            ("Focal length", ", ".join(filter(None, lengths))),
            ("Flash", {True: "fired", False: "did not fire"}.get(exif.get("flash_fired", ""))),
            ("Software", exif.get("software")),
            ("Author", exif.get("artist")),
            ("Copyright", exif.get("copyright")),
            ("Description in the file", exif.get("description")),
        ]
    )


def _model(make: str | None, model: str | None) -> str:
    """Return maker and model; many models begin with their maker's name."""
    repeats = make and model and model.lower().startswith(make.lower())
    return " ".join(filter(None, (None if repeats else make, model)))


def _exposure(exif: dict[str, Any]) -> list[str]:
    seconds, bias = exif.get("exposure_time"), exif.get("exposure_bias")
    found = []
    if seconds:
        found.append(f"1/{1 / seconds:.0f} s" if seconds < 0.3 else f"{seconds:g} s")
    found += [f"f/{exif['f_number']:g}"] if exif.get("f_number") else []
    found += [f"ISO {exif['iso']}"] if exif.get("iso") else []
    return found + ([f"{bias:+.2g} EV"] if bias else [])


def _file(facts: dict[str, Any]) -> Pairs:
    space = facts.get("color_space")
    depth, turned, duration = facts.get("bit_depth"), facts.get("orientation", 1) != 1, facts.get("duration_ms")
    loops = {0: "without end", 1: "once"}.get(facts.get("loop_count") or 0, f"{facts.get('loop_count')} times")
    colors = [_COLOR_SPACES.get(space, "other") if space else None, facts.get("icc_profile")]
    return _present(
        [
            ("Format", facts.get("format", "").upper()),
            ("Color space", ", ".join(filter(None, colors))),
            ("Bit depth", depth and f"{depth} bits a sample"),
            ("Transparency", "has an alpha channel" if facts.get("has_alpha") else None),
            ("Orientation", "turned by the camera; shown upright" if turned else None),
            ("Animation", f"{duration / 1000:g} s, {loops}" if duration else None),
        ]
    )


def _place(location: dict[str, float] | None) -> Place | None:
    if location is None:
        return None
    latitude, longitude, altitude = location["latitude"], location["longitude"], location.get("altitude")
    text = f"{abs(latitude):.5f}° {'S' if latitude < 0 else 'N'}, {abs(longitude):.5f}° {'W' if longitude < 0 else 'E'}"
    if altitude is not None:
        text += f", {abs(altitude):g} m {'below' if altitude < 0 else 'above'} sea level"
    marker = urlencode({"mlat": f"{latitude:.6f}", "mlon": f"{longitude:.6f}"})
    near = f"{latitude:.6f},{longitude:.6f},{_NEAR_METRES}"
    return Place(text, f"{_MAP}?{marker}#map=15/{latitude:.6f}/{longitude:.6f}", near)
