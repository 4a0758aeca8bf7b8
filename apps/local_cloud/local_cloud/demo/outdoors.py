"""The landscapes: real regions, invented views."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from PIL import Image

from local_cloud.demo.canvas import Canvas
from local_cloud.demo.landscapes import dunes, forest, mountains, night, sea

WIDE, CLASSIC, TALL, SQUARE, PANORAMA = (1440, 810), (1350, 900), (900, 1350), (1080, 1080), (2400, 800)
BANNER, PHONE, LARGE = (1920, 640), (810, 1440), (1620, 1080)

DAWN = ("#2c3e66", "#c9849b", "#ffd9a8", "#1d2740")
MORNING = ("#4d8fc9", "#a9d3ea", "#f4ecd8", "#1f4a52")
NOON = ("#2f7fc4", "#7fbfe6", "#dcf0f7", "#24523f")
DUSK = ("#1d2350", "#7a4a86", "#ff9d76", "#1a1430")
EMBER = ("#3a1d3f", "#c2474f", "#ffc46b", "#2a1024")
MIST = ("#8aa0ad", "#bccbd0", "#e9eeec", "#3b5157")
MINT = ("#3a7d8c", "#9ad1c3", "#f6f3d7", "#12393f")
WINTER = ("#7d9cc0", "#b9cfe4", "#f7ebee", "#33486b")
MIDNIGHT = ("#050a1c", "#101f45", "#2f4a78", "#060a16")
VIOLET_NIGHT = ("#0a0620", "#251547", "#6b3f78", "#0a0616")
SAHARA = ("#3f86bf", "#f7dfb8", "#e3a55c", "#8a4325")
NAMIB = ("#5a7fb5", "#f8cfa6", "#d9733f", "#6e2418")
PALE_SAND = ("#87b5cf", "#f5ead9", "#e6cfa5", "#9c7a55")
FIR = ("#9dbcc4", "#e8ece2", "#5d8076", "#12302e")
AUTUMN_FIR = ("#c99f8a", "#f7e4cb", "#a5694a", "#3a1d1f")
BLUE_FIR = ("#46628f", "#c8d6e6", "#4a6790", "#0e1b33")


@dataclass(frozen=True)
class Place:
    """A region: degrees north and east, and its offset from UTC without daylight saving."""

    name: str
    country: str
    north: float
    east: float
    utc_offset_hours: float


@dataclass(frozen=True)
class Scene:
    """A landscape: `taken_at` is local time."""

    title: str
    draw: Callable[[Canvas], Image.Image]
    size_px: tuple[int, int]
    place: str
    taken_at: str
    tags: tuple[str, ...]
    alt_text: str
    rating: int | None = None
    extension: str = "jpg"


PLACES = {
    "lofoten": Place("Lofoten, Norway", "NO", 68.15, 13.75, 1),
    "lyngen": Place("Lyngen, Norway", "NO", 69.58, 20.22, 1),
    "iceland": Place("Skaftafell, Iceland", "IS", 64.02, -16.97, 0),
    "skye": Place("Isle of Skye, Scotland", "GB", 57.31, -6.23, 0),
    "dolomites": Place("Dolomites, Italy", "IT", 46.54, 12.14, 1),
    "cyclades": Place("Cyclades, Greece", "GR", 36.41, 25.43, 2),
    "algarve": Place("Algarve, Portugal", "PT", 37.08, -8.67, 0),
    "merzouga": Place("Merzouga, Morocco", "MA", 31.10, -4.01, 1),
    "namib": Place("Sossusvlei, Namibia", "NA", -24.73, 15.29, 2),
    "atacama": Place("Atacama, Chile", "CL", -22.91, -68.20, -4),
    "hokkaido": Place("Hokkaido, Japan", "JP", 43.66, 142.85, 9),
    "fiordland": Place("Fiordland, New Zealand", "NZ", -44.67, 167.93, 12),
    "yukon": Place("Yukon, Canada", "CA", 60.75, -137.51, -7),
    "ladakh": Place("Ladakh, India", "IN", 34.15, 77.58, 5.5),
}

OUTDOORS = [
    Scene("Dawn over Lofoten", partial(mountains, palette=DAWN, sun=(0.62, 0.4)), CLASSIC, "lofoten",
          "2024-03-09T06:41", ("mountains", "dawn"), "Mountain ranges in pink morning light, the sun just risen.", 5),
    Scene("Aurora above the fjord", partial(night, palette=MIDNIGHT, aurora="#4dffb0"), LARGE, "lyngen",
          "2023-11-18T22:15", ("night", "aurora"), "Green curtains of northern light over black hills and firs.", 5),
    Scene("Evening at sea", partial(sea, palette=EMBER, sun=0.42), WIDE, "algarve",
          "2022-08-14T20:27", ("sea", "sunset"), "A low sun lays a path of light on a dark sea.", 5),
    Scene("Firs in the mist", partial(forest, palette=FIR), TALL, "hokkaido",
          "2021-10-02T07:05", ("forest", "mist"), "Rows of firs that fade into pale mist.", 4),
    Scene("Red dunes", partial(dunes, palette=NAMIB, sun=(0.7, 0.22)), PANORAMA, "namib",
          "2019-06-21T07:48", ("desert", "panorama"), "A wide panorama of red dunes with long shadows.", 5),
    Scene("The long ridge", partial(mountains, palette=MIST), PANORAMA, "skye",
          "2020-02-11T10:20", ("mountains", "panorama", "mist"), "Grey ridges behind each other in mist.", 3),
    Scene("Island noon", partial(sea, palette=("#2d7fc9", "#8fd0ee", "#e8f6f4", "#0f6b8f"), sun=0.74), CLASSIC,
          "cyclades", "2023-06-30T12:10", ("sea", "summer"), "A bright blue sea between two headlands at noon.", 4),
    Scene("Milky Way, dry air", partial(night, palette=VIOLET_NIGHT), TALL, "atacama",
          "2022-05-28T23:52", ("night", "stars"), "A band of stars crosses a violet night sky.", 5),
    Scene("Alpine morning", partial(mountains, palette=MORNING, sun=(0.25, 0.2)), LARGE, "dolomites",
          "2024-07-07T08:12", ("mountains", "summer"), "Green and blue mountain ranges under a clear sky.", 4),
    Scene("Autumn slope", partial(forest, palette=AUTUMN_FIR), CLASSIC, "yukon",
          "2020-09-24T17:33", ("forest", "autumn"), "Brown and red trees on a hazy slope.", 3),
    Scene("Sand before noon", partial(dunes, palette=SAHARA), CLASSIC, "merzouga",
          "2021-03-15T10:46", ("desert",), "Golden dunes under a pale blue sky.", 3),
    Scene("Blue hour", partial(mountains, palette=("#0f1c44", "#2f4f8c", "#a9c3de", "#0b142c")), WIDE, "lyngen",
          "2025-01-16T15:20", ("mountains", "winter", "blue"), "Mountains in deep blue winter light.", 4, "webp"),
    Scene("Harbour mouth", partial(sea, palette=DUSK, sun=0.58), TALL, "lofoten",
          "2022-09-03T20:58", ("sea", "sunset"), "The sun sets behind the mouth of a harbour, purple above.", 4),
    Scene("Fiordland layers", partial(mountains, palette=MINT), PHONE, "fiordland",
          "2019-12-27T06:31", ("mountains", "green"), "Steep ranges in shades of green, stacked to the sky.", 4),
    Scene("High desert", partial(dunes, palette=PALE_SAND, sun=(0.3, 0.18)), SQUARE, "ladakh",
          "2023-09-12T09:14", ("desert",), "Pale sand hills under a small white sun.", 2),
    Scene("First snow light", partial(mountains, palette=WINTER, sun=(0.5, 0.34)), SQUARE, "hokkaido",
          "2021-12-05T07:22", ("mountains", "winter"), "Cold blue ranges below a pink sky.", 3),
    Scene("Stars over the glacier", partial(night, palette=("#04121c", "#0c3143", "#3f7f88", "#041016")), PANORAMA,
          "iceland", "2024-02-03T21:40", ("night", "stars", "panorama"), "A panorama of stars over dark hills.", 4),
    Scene("Valley of firs", partial(forest, palette=BLUE_FIR), BANNER, "yukon",
          "2025-06-19T04:55", ("forest", "panorama"), "A wide valley of blue firs before sunrise.", 3),
    Scene("Calm before rain", partial(sea, palette=("#5c6c7a", "#93a3ab", "#d9dedb", "#33464f"), sun=0.5), WIDE,
          "skye", "2020-10-28T14:02", ("sea", "grey"), "A grey, quiet sea under a weak sun.", 2, "webp"),
    Scene("Last light in the Dolomites", partial(mountains, palette=EMBER, sun=(0.38, 0.38)), WIDE, "dolomites",
          "2023-10-08T18:29", ("mountains", "sunset"), "A red sky behind dark mountain ranges.", 5),
    Scene("Pale green aurora", partial(night, palette=("#070b22", "#15234e", "#35557a", "#05080f"), aurora="#7dffd8"),
          SQUARE, "yukon", "2022-12-14T01:08", ("night", "aurora"), "Pale green light over a row of firs.", 4),
    Scene("Dune shadows", partial(dunes, palette=("#29385f", "#e9a58c", "#b9573f", "#3d1426"), sun=(0.55, 0.4)),
          TALL, "namib", "2019-06-22T18:11", ("desert", "sunset"), "Dunes in evening light, their backs dark.", 4),
    Scene("Morning ferry", partial(sea, palette=DAWN, sun=0.3), (1280, 960), "cyclades",
          "2021-05-17T06:20", ("sea", "dawn"), "A pink morning over water, seen from a ferry.", 3),
    Scene("Noon in the range", partial(mountains, palette=NOON), (1440, 1080), "ladakh",
          "2023-09-14T12:36", ("mountains",), "Green ranges under a blue sky at noon."),
    Scene("Rain forest edge", partial(forest, palette=("#7fa69a", "#dfe9d8", "#4c7a5c", "#0d2a1d")), PHONE,
          "fiordland", "2020-01-04T08:48", ("forest", "green"), "Dark green trees at the edge of a clearing.", 3),
    Scene("Two headlands", partial(sea, palette=("#33658a", "#9fc7cf", "#fbe7c6", "#1d4a5e"), sun=0.5), BANNER,
          "algarve", "2024-04-21T19:44", ("sea", "panorama"), "Two headlands frame the sun over a calm sea.", 4),
    Scene("Evening ranges", partial(mountains, palette=DUSK, sun=(0.72, 0.42)), PHONE, "iceland",
          "2025-08-29T20:51", ("mountains", "sunset"), "Purple ranges below an orange horizon.", 4),
    Scene("Salt wind", partial(dunes, palette=("#b7c4c7", "#efe9df", "#d8c7ae", "#7d6a5a")), (1280, 800), "atacama",
          "2022-05-30T16:05", ("desert", "grey"), "Pale hills of sand in dusty light.", None),
]  # fmt: skip
