"""A demo team with a few pictures, created through the public HTTP API."""

import math
import struct
import zlib
from dataclasses import dataclass

import httpx2

TEAM_NAME = "Demo"
PICTURES = {"dawn": (250, 170, 120), "forest": (70, 140, 80), "harbour": (60, 110, 170), "dusk": (120, 80, 150)}
WIDTH_PX, HEIGHT_PX = 960, 640


@dataclass(frozen=True)
class Demo:
    """The created objects; the key is the demo user's."""

    team_id: str
    api_key: str
    image_ids: list[str]


def make_demo(url: str, admin_api_key: str) -> Demo | None:
    """Create team, user and pictures; return `None` if the team exists already.

    Raises:
        httpx2.HTTPError: The API refused a step.
    """
    with httpx2.Client(base_url=f"{url}/api/v1", trust_env=False, timeout=30) as client:
        admin = {"X-API-KEY": admin_api_key}
        teams = client.get("/teams", params={"limit": 200}, headers=admin).raise_for_status().json()["items"]
        if any(team["name"] == TEAM_NAME for team in teams):
            return None
        team = client.post("/teams", json={"name": TEAM_NAME}, headers=admin).raise_for_status().json()
        user = client.post(f"/teams/{team['id']}/users", json={"name": "Demo user"}, headers=admin)
        api_key = user.raise_for_status().json()["api_key"]
        image_ids = []
        for name, color in PICTURES.items():
            file = (f"{name}.png", gradient_png(WIDTH_PX, HEIGHT_PX, color), "image/png")
            answer = client.post("/images", files={"file": file}, headers={"X-API-KEY": api_key})
            image_ids.append(str(answer.raise_for_status().json()["id"]))
    return Demo(team["id"], api_key, image_ids)


def gradient_png(width_px: int, height_px: int, color: tuple[int, int, int]) -> bytes:
    """Draw soft waves of one colour. Source of the format: https://www.w3.org/TR/png-3/."""
    rows = []
    for y in range(height_px):
        lift = 0.5 + 0.5 * y / height_px
        band = [lift + 0.2 * math.sin(x / 90 + y / 60) for x in range(0, width_px, 8)]
        pixels = (bytes(min(255, max(0, int(part * level))) for part in color) * 8 for level in band)
        rows.append(b"\0" + b"".join(pixels)[: width_px * 3])
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows), 6)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in parts)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
