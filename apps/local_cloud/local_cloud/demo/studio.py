"""The pictures without a place: textures, charts, gradients, portraits and animations."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest

from PIL import Image

from local_cloud.demo.animations import bouncing, orbit, ripples
from local_cloud.demo.canvas import Canvas
from local_cloud.demo.charts import bars, heat, lines, points, ring
from local_cloud.demo.gradients import flow, mesh, rings
from local_cloud.demo.portraits import portrait
from local_cloud.demo.textures import contours, marble, terrazzo, tiles, wood, woven

LIGHT = ("#faf7f0", "#2a2d34", "#2f6f8f", "#f2a541", "#d1495b", "#66a182", "#8d6a9f")
NIGHT = ("#171b26", "#e9edf5", "#5cc8ff", "#ffb86b", "#ff6b8b", "#7ee0a1", "#b79cff")
SQUARE, TALL, WIDE = (1200, 1200), (960, 1280), (1600, 1000)


@dataclass(frozen=True)
class Piece:
    """A picture without a place; `made_at` is in UTC."""

    title: str
    kind: str
    draw: Callable[[Canvas], Image.Image | list[Image.Image]]
    size_px: tuple[int, int]
    made_at: str
    tags: tuple[str, ...]
    description: str
    alt_text: str
    rating: int | None = None
    extension: str = "jpg"


def _portrait(name: str, palette: tuple[str, ...], hair: str, extra: str, size_px: tuple[int, int], made_at: str,
              alt_text: str, rating: int | None = None) -> Piece:  # fmt: skip
    draw = partial(portrait, palette=palette, hair=hair, extra=extra)
    text = f"Portrait of {name}, who does not exist."
    return Piece(f"Portrait of {name}", "portrait", draw, size_px, made_at, ("people",), text, alt_text, rating)


def _chart(title: str, draw: Callable[..., Image.Image], palette: tuple[str, ...], size_px: tuple[int, int],
           made_at: str, alt_text: str) -> Piece:  # fmt: skip
    description = f"{title}: a chart of figures that nobody measured."
    drawn = partial(draw, palette=palette, title=title)
    return Piece(title, "chart", drawn, size_px, made_at, ("report",), description, alt_text, None, "png")


def _texture(title: str, draw: Callable[..., Image.Image], palette: tuple[str, ...], size_px: tuple[int, int],
             made_at: str, alt_text: str, rating: int | None = None, extension: str = "jpg") -> Piece:  # fmt: skip
    description = f"{title}, drawn thread by thread or grain by grain."
    return Piece(title, "texture", partial(draw, palette=palette), size_px, made_at, ("background",), description,
                 alt_text, rating, extension)  # fmt: skip


def _gradient(title: str, draw: Callable[..., Image.Image], palette: tuple[str, ...], size_px: tuple[int, int],
              made_at: str, alt_text: str, rating: int | None = None) -> Piece:  # fmt: skip
    return Piece(title, "gradient", partial(draw, palette=palette), size_px, made_at, ("background", "abstract"),
                 f"{title}: colour only.", alt_text, rating, "webp")  # fmt: skip


def _animation(title: str, draw: Callable[..., list[Image.Image]], palette: tuple[str, ...],
               size_px: tuple[int, int], made_at: str, alt_text: str, extension: str) -> Piece:  # fmt: skip
    return Piece(title, "animation", partial(draw, palette=palette), size_px, made_at, ("loop",),
                 f"{title}: an animation in a loop.", alt_text, 4, extension)  # fmt: skip


PORTRAITS = [
    _portrait("Ingrid", ("#f2b5a0", "#f3cdb3", "#b5532f", "#2f5d62"), "long", "", TALL, "2023-04-12T09:30",
              "A woman with long red hair in a green shirt, smiling.", 5),
    _portrait("Kofi", ("#f5cf6b", "#7a4a2f", "#1f1718", "#d1495b"), "curls", "glasses", SQUARE, "2022-02-03T13:05",
              "A man with dark curls and round glasses on a yellow ground.", 4),
    _portrait("Amira", ("#9fd0c4", "#d9a27c", "#45508f", "#2c3158"), "hijab", "", TALL, "2024-05-22T10:15",
              "A woman with a blue headscarf.", 4),
    _portrait("Henrik", ("#a8c5e8", "#efc4a4", "#8a5a34", "#37424f"), "short", "beard", SQUARE, "2021-11-08T15:40",
              "A man with a brown beard in a grey jacket.", 3),
    _portrait("Yuki", ("#f3d9e4", "#f1d0b5", "#23202b", "#e07a5f"), "bun", "earrings", TALL, "2025-02-17T08:20",
              "A woman with her dark hair in a bun and golden earrings.", 5),
    _portrait("Moses", ("#c9b8e8", "#5b3624", "#191214", "#f2a541"), "bald", "glasses", (1080, 1080),
              "2020-08-25T11:55", "A bald man with round glasses and an orange shirt.", 3),
    _portrait("Freya", ("#bfe3f2", "#f6d7c3", "#e7c873", "#7b4b94"), "long", "hat", TALL, "2022-12-19T12:45",
              "A woman with long fair hair and a red woollen hat.", 4),
    _portrait("Diego", ("#e9c9a1", "#c68a5e", "#2a1b18", "#2f6f4f"), "short", "", (1024, 1280), "2019-07-30T16:10",
              "A man with short dark hair in a green shirt.", 2),
]  # fmt: skip

CHARTS = [
    _chart("Visitors by month", bars, LIGHT, (1600, 1000), "2024-01-10T09:00", "A bar chart, highest in summer."),
    _chart("Three rivers", lines, NIGHT[:5], (1600, 900), "2023-03-02T14:00", "Three lines that rise, on dark ground."),
    _chart("Where the light goes", ring, LIGHT, (1400, 1000), "2022-06-15T11:00", "A ring in five colours."),
    _chart("Seeds and stems", points, LIGHT[:5], (1200, 1200), "2021-09-21T10:00", "Points in three clouds."),
    _chart("Half a year of rain", heat, NIGHT[:4], (1800, 800), "2025-07-01T08:30", "Cells, brighter on wet days."),
    _chart("Sun hours", bars, NIGHT, (900, 1200), "2020-12-31T18:00", "A tall bar chart on dark ground."),
    _chart("Paper, ink, glue", ring, NIGHT[:6], (800, 1000), "2019-10-05T09:45", "A ring in four colours with a key."),
]  # fmt: skip

TEXTURES = [
    _texture("Plaid blanket", woven, ("#7d2230", "#1f3040", "#c7b48c", "#e9e2cf"), WIDE, "2023-01-20T12:00",
             "Red and sand-coloured plaid, woven.", 4),
    _texture("Green marble", marble, ("#e9f0e6", "#7ea694", "#2f5d50", "#16352f"), SQUARE, "2021-04-14T12:00",
             "Green marble with light veins.", 4),
    _texture("Terrazzo floor", terrazzo, ("#efe8dc", "#d1755a", "#4a6c70", "#e0b354", "#33363f", "#a9b8a5"),
             (1280, 960), "2022-10-11T12:00", "Coloured chips of stone in light plaster.", 3),
    _texture("Quarter tiles", tiles, ("#f4efe4", "#1f4e5f", "#e4572e", "#f3a712", "#8fb8a8"), SQUARE,
             "2024-09-09T12:00", "Tiles with quarter circles in blue, orange and yellow.", 4, "png"),
    _texture("Old planks", wood, ("#4a2c1a", "#8a5a34", "#c08a54", "#dcb27c"), (1600, 1067), "2020-05-06T12:00",
             "Five brown planks of wood.", 3),
    _texture("Contours of an island", contours, ("#20506b", "#5fa3a3", "#d7d9a8", "#c98f5a", "#fbf6e9", "#3a3a3a"),
             (1000, 1400), "2025-05-27T12:00", "A map of height lines from blue to brown.", 4),
    _texture("Blue tweed", woven, ("#243b5a", "#3f5f86", "#6f8fae", "#d5a04c"), (1000, 1000), "2019-11-23T12:00",
             "Blue cloth with a thin yellow thread.", 2),
    _texture("White marble", marble, ("#3f444d", "#b9bcc2", "#eeeeec", "#ffffff"), (900, 1350), "2023-07-18T12:00",
             "White marble with dark veins.", None),
]  # fmt: skip

GRADIENTS = [
    _gradient("Peach and violet", mesh, ("#ff9a8b", "#ff6a88", "#7f5af0", "#2cb1bc", "#ffd166"), WIDE,
              "2024-02-29T10:00", "Peach, pink and violet light.", 4),
    _gradient("Folded silk", flow, ("#12263a", "#1f6f8b", "#99d5c9", "#f4e9cd"), (1600, 1100), "2022-03-27T10:00",
              "Bands of blue and cream, folded like silk.", 5),
    _gradient("Sunset rings", rings, ("#ffe8a3", "#ff9f68", "#e84a5f", "#6b2d5c", "#1b1b3a"), SQUARE,
              "2020-07-07T10:00", "Rings from yellow to dark blue.", 3),
    _gradient("Deep water", mesh, ("#03045e", "#0077b6", "#00b4d8", "#2a9d8f", "#023e8a"), (1080, 1920),
              "2021-08-16T10:00", "Dark and light blue light.", 3),
    _gradient("Rose fold", flow, ("#3d0f2d", "#b23a6b", "#f6a6b2", "#fff0e5"), (1000, 1250), "2023-12-01T10:00",
              "Bands of rose and dark red.", 4),
    _gradient("Lime and plum", mesh, ("#d4f06a", "#5fbf72", "#5a2a6b", "#f78fb3"), (640, 640), "2019-09-13T10:00",
              "Lime, green and plum light.", None),
    _gradient("Wide morning", mesh, ("#ffd3b6", "#ffaaa5", "#a8e6cf", "#6fb3e0"), (2000, 700), "2025-03-21T10:00",
              "Pale pink, green and blue light in a wide strip.", 2),
]  # fmt: skip

ANIMATIONS = [
    _animation("Small orbits", orbit, ("#101533", "#ffd166", "#ef6f6c", "#6fc3df", "#a0e8af"), (640, 640),
               "2024-06-20T17:00", "Three planets move around a yellow sun.", "webp"),
    _animation("Bouncing balls", bouncing, ("#fbe9d0", "#e0b084", "#d1495b", "#2f6f8f", "#f2a541", "#66a182"),
               (720, 640), "2022-11-11T11:11", "Four balls bounce one after the other.", "gif"),
    _animation("Two drops", ripples, ("#0b2545", "#13507a", "#3fa7c9", "#d7f3f5"), (720, 640), "2021-02-14T20:00",
               "Rings of two drops cross on water.", "webp"),
]  # fmt: skip

STUDIO = [
    piece
    for row in zip_longest(PORTRAITS, ANIMATIONS, TEXTURES, GRADIENTS, CHARTS)
    for piece in row
    if piece is not None
]
