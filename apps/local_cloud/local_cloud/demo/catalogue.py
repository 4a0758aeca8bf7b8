"""What the demo team has: each picture with its texts, date, place and drawing."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import zip_longest

from PIL import Image

from local_cloud.demo.canvas import Canvas
from local_cloud.demo.files import CONTENT_TYPES, Shot, encode
from local_cloud.demo.outdoors import OUTDOORS, PLACES, Place
from local_cloud.demo.studio import STUDIO

CAMERAS = (("Lumeno", "Lumeno Field 6"), ("Okular", "Okular R2"), ("Halvard", "Halvard 45 Wide"))
AUTHORS = ("Ada Lindqvist", "Noor Haddad", "Tomasz Wilk", "Mei Tanaka")
LICENCES = ("cc0", "cc-by", "internal")
# Whoever is said to have sent a picture in: age and gender, of nobody real.
SENDERS = (
    (34, "female"), (27, "male"), (61, "female"), (45, "non-binary"), (19, "female"), (52, "male"), (38, "undisclosed"),
    (70, "male"), (23, "female"), (41, "other"), (30, "male"),
)  # fmt: skip
SEASONS = ("winter", "spring", "summer", "autumn")
FIELDS: list[dict[str, object]] = [
    {"name": "kind", "type": "enum", "enum": ["landscape", "texture", "chart", "gradient", "portrait", "animation"]},
    {"name": "age", "type": "integer", "min": 0, "max": 130, "pii": True,
     "description": "Of the sender, in years: nobody real."},
    {"name": "gender", "type": "enum", "enum": ["female", "male", "non-binary", "other", "undisclosed"], "pii": True,
     "description": "Of the sender."},
    {"name": "place", "type": "string", "description": "Where it was made."},
    {"name": "country", "type": "enum", "enum": sorted({place.country for place in PLACES.values()}),
     "description": "ISO 3166-1 code of the country."},
    {"name": "season", "type": "enum", "enum": list(SEASONS)},
    {"name": "author", "type": "string", "description": "Who is said to have made the picture: nobody real."},
    {"name": "licence", "type": "enum", "enum": list(LICENCES)},
    {"name": "series", "type": "integer", "min": 1, "description": "Number within the set."},
    {"name": "print_ready", "type": "boolean"},
    {"name": "reviewed_on", "type": "date", "min": "2019-01-01"},
]  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A picture to make and upload."""

    filename: str
    size_px: tuple[int, int]
    draw: Callable[[Canvas], Image.Image | list[Image.Image]]
    shot: Shot | None
    tags: list[str]
    description: str
    alt_text: str
    rating: int | None
    metadata: dict[str, object]

    @property
    def content_type(self) -> str:
        """The media type of the file."""
        return CONTENT_TYPES[self.filename.rpartition(".")[2]]

    def make(self) -> bytes:
        """Draw the picture and return the bytes of its file, the same each time."""
        canvas = Canvas(*self.size_px, seed=zlib.crc32(self.filename.encode()))
        drawn = self.draw(canvas)
        return encode(drawn if isinstance(drawn, list) else [drawn], self.filename.rpartition(".")[2], self.shot)


def pictures(most: int | None = None) -> list[Picture]:
    """Return the pictures, mixed by kind so that the first few show what there is; at most `most` of them."""
    groups = [list(_outdoors()), list(_studio())]
    mixed = [picture for pair in zip_longest(*groups) for picture in pair if picture is not None]
    return mixed[:most]


def _outdoors() -> Iterator[Picture]:
    for number, scene in enumerate(OUTDOORS):
        place = PLACES[scene.place]
        zone = timezone(timedelta(hours=place.utc_offset_hours))
        taken_at = datetime.fromisoformat(scene.taken_at).replace(second=number * 7 % 60, tzinfo=zone)
        # Pictures of one place are not taken on one spot, and some cameras know no place.
        spot = (place.north + (number % 5 - 2) * 0.011, place.east + (number % 7 - 3) * 0.017)
        south = place.north < 0
        yield Picture(
            filename=f"{scene.title}.{scene.extension}",
            size_px=scene.size_px,
            draw=scene.draw,
            shot=Shot(taken_at, None if number % 9 == 7 else spot, CAMERAS[number % 3]),
            tags=["landscape", *scene.tags],
            description=f"{scene.title}, {place.name}.",
            alt_text=scene.alt_text,
            rating=scene.rating,
            metadata={
                "kind": "landscape",
                **_sent_from(place, number),
                "season": SEASONS[(taken_at.month % 12 // 3 + 2 * south) % 4],
                "author": AUTHORS[number % 4],
                "licence": LICENCES[number % 3],
                "series": number + 1,
                "print_ready": min(scene.size_px) >= 1000,
            },
        )


def _studio() -> Iterator[Picture]:
    for number, piece in enumerate(STUDIO):
        made_at = datetime.fromisoformat(piece.made_at).replace(second=number * 11 % 60, tzinfo=UTC)
        # Files from a drawing program tell neither time nor camera; portraits come from a studio's camera.
        shot = Shot(made_at, None, CAMERAS[number % 3]) if piece.kind == "portrait" else None
        metadata: dict[str, object] = {
            "kind": piece.kind,
            **_sent_from(list(PLACES.values())[number % len(PLACES)], number + 5),
            "licence": LICENCES[(number + 1) % 3],
            "series": number + 1,
        }
        if number % 2:
            metadata["reviewed_on"] = f"{made_at + timedelta(days=9):%Y-%m-%d}"
        if piece.kind == "portrait":
            metadata["author"] = AUTHORS[number % 4]
        yield Picture(
            filename=f"{piece.title}.{piece.extension}",
            size_px=piece.size_px,
            draw=piece.draw,
            shot=shot,
            tags=[piece.kind, *piece.tags],
            description=piece.description,
            alt_text=piece.alt_text,
            rating=piece.rating,
            metadata=metadata,
        )


def _sent_from(place: Place, number: int) -> dict[str, object]:
    age, gender = SENDERS[number % len(SENDERS)]
    return {"age": age, "gender": gender, "place": place.name.partition(",")[0], "country": place.country}
