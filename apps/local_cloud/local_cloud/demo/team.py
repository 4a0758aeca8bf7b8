"""Creates the demo team through the public HTTP API, as any client could."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx2

if TYPE_CHECKING:
    from local_cloud.demo.catalogue import Picture

TEAM_NAME = "Demo"
FAVOURITE_RATING = 5
NORTH_DEGREES = 55
SAVED_SEARCH = ("Best landscapes with a place", "tag=landscape&has=location&order_by=taken_at%20desc")
PROGRESS_EVERY = 10
# Pictures in a row that fail before the rest is given up: the API is away.
MOST_FAILURES = 3


@dataclass
class Demo:
    """What exists now; the key is the demo user's.

    Attributes:
        image_ids: by filename, in the order of the uploads.
        missing: what could not be created, in words.
    """

    team_id: str
    api_key: str
    image_ids: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def make_demo(
    url: str,
    admin_api_key: str,
    *,
    most: int | None = None,
    say: Callable[[str], None],
    should_continue: Callable[[], bool] = lambda: True,
) -> Demo | None:
    """Create team, user, pictures and collections; return `None` if the team exists already.

    A picture or a step that fails is reported in `missing`, and the rest goes on.

    Args:
        url: where the API is.
        admin_api_key: makes the team; its pictures are uploaded with the key of its user.
        most: number of pictures; null for all.
        say: takes lines of progress.
        should_continue: asked before each picture.

    Raises:
        httpx2.HTTPError: The API refused the team or its user.
        ModuleNotFoundError: A library that draws pictures is not installed.
    """
    # NumPy and Pillow are loaded only for a demo.
    from local_cloud.demo.catalogue import FIELDS, pictures

    with httpx2.Client(base_url=f"{url}/api/v1", trust_env=False, timeout=30) as client:
        admin = {"X-API-KEY": admin_api_key}
        if _team_exists(client, admin):
            return None
        team = _sent(client.post("/teams", json={"name": TEAM_NAME}, headers=admin))
        user = _sent(client.post(f"/teams/{team['id']}/users", json={"name": "Demo user"}, headers=admin))
        demo = Demo(team["id"], user["api_key"])
        owner, schema = {"team_id": demo.team_id}, {"fields": FIELDS}
        declare = partial(client.put, "/metadata-schema", params=owner, json=schema, headers=admin)
        _attempt(demo, "the metadata schema", declare)
        client.headers["X-API-KEY"] = demo.api_key
        planned = pictures(most)
        # The first picture is uploaded last, because lists show the newest first.
        _upload_all(client, demo, planned[::-1], say, should_continue)
        _arrange(client, demo, planned)
    return demo


def _team_exists(client: httpx2.Client, admin: dict[str, str]) -> bool:
    params: dict[str, str | int] = {"limit": 200}
    while True:
        page = _sent(client.get("/teams", params=params, headers=admin))
        if any(team["name"] == TEAM_NAME for team in page["items"]):
            return True
        if page["next_cursor"] is None:
            return False
        params["cursor"] = page["next_cursor"]


def _upload_all(
    client: httpx2.Client,
    demo: Demo,
    planned: list[Picture],
    say: Callable[[str], None],
    should_continue: Callable[[], bool],
) -> None:
    failures = 0
    # The next pictures are drawn while one is uploaded. Closing the files cancels what is not drawn yet.
    with ThreadPoolExecutor(1) as drawing, closing(_drawn_files(drawing, planned)) as files:
        for number, picture in enumerate(planned):
            if failures == MOST_FAILURES or not should_continue():
                demo.missing += [repr(left.filename) for left in planned[number:]]
                return
            failures = 0 if _upload(client, demo, picture, next(files)) else failures + 1
            if (number + 1) % PROGRESS_EVERY == 0 and number + 1 < len(planned):
                say(f"  {number + 1} of {len(planned)} demo images")


def _drawn_files(drawing: ThreadPoolExecutor, planned: list[Picture]) -> Generator[bytes, None, None]:
    """Draw pictures in the background and yield the bytes of their files in order."""
    futures = [drawing.submit(picture.make) for picture in planned]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


def _upload(client: httpx2.Client, demo: Demo, picture: Picture, content: bytes) -> bool:
    form = {"file": (picture.filename, content, picture.content_type)}
    fields = {"tags": ",".join(picture.tags), "metadata": json.dumps(picture.metadata)}
    image = _attempt(demo, repr(picture.filename), partial(client.post, "/images", files=form, data=fields))
    if image is None:
        return False
    demo.image_ids[picture.filename] = image["id"]
    changes: dict[str, Any] = {
        "description": picture.description,
        "alt_text": {"text": picture.alt_text, "language": "en"},
        "rating": picture.rating,
    }
    if picture.rating == FAVOURITE_RATING:
        changes["visibility"] = "public"
    texts = f"the texts of {picture.filename!r}"
    return _attempt(demo, texts, partial(client.patch, f"/images/{image['id']}", json=changes)) is not None


def _arrange(client: httpx2.Client, demo: Demo, planned: list[Picture]) -> None:
    """Make the collections and the saved search."""
    north = [
        each.filename
        for each in planned
        if each.shot is not None and each.shot.place is not None and each.shot.place[0] > NORTH_DEGREES
    ]
    favourites = [each.filename for each in planned if each.rating == FAVOURITE_RATING]
    for name, filenames in (("Northern light", north), ("Favourites", favourites)):
        image_ids = [demo.image_ids[each] for each in filenames if each in demo.image_ids]
        label = f"the collection {name!r}"
        made = _attempt(demo, label, partial(client.post, "/collections", json={"name": name}))
        if made is not None and image_ids:
            add = partial(client.post, f"/collections/{made['id']}/images", json={"image_ids": image_ids})
            _attempt(demo, f"the images of {label}", add)
    search = dict(zip(("name", "query"), SAVED_SEARCH, strict=True))
    _attempt(demo, "the saved search", partial(client.post, "/saved-searches", json=search))


def _attempt(demo: Demo, label: str, send: Callable[[], httpx2.Response]) -> dict[str, Any] | None:
    """Return the answer's body, or note in `missing` what there is not."""
    try:
        return _sent(send())
    except httpx2.HTTPError:
        demo.missing.append(label)
        return None


def _sent(answer: httpx2.Response) -> dict[str, Any]:
    body: dict[str, Any] = answer.raise_for_status().json()
    return body
