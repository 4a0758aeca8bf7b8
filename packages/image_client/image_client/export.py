"""The command `export`: images that match a filter, or that are named, are downloaded into a folder."""

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urljoin
from uuid import UUID, uuid4

import httpx2
import typer

from image_client.api import ask, call, connect, connect_api, reason_of

STATE, MANIFEST = ".export.json", "manifest.ndjson"
MOST_ATTEMPTS = 5
_LONGEST_PAUSE_SECONDS = 30.0
_LONGEST_NAME_BYTES = 150
_PIECE_BYTES = 1 << 20
_UNDER_WAY = ("estimating", "running")
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')


class Failed(Exception):
    """A file could not be downloaded; its text says why."""


@dataclass(frozen=True)
class Clients:
    """What downloads need: the API with the caller's key, and a client without it for the addresses of files."""

    api: httpx2.Client
    files: httpx2.Client


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export_images)


def export_images(
    to: Annotated[Path, typer.Option(help="Folder for the files. With a begun export in it, that one goes on.")],
    api_key: Annotated[
        str,
        typer.Option(
            envvar="IMAGE_MANAGER_API_KEY",
            help="API key. Prefer the environment variable, which does not appear in process lists.",
        ),
    ],
    url: Annotated[str, typer.Option(envvar="IMAGE_MANAGER_URL", help="URL of the API.")] = "http://127.0.0.1:8080",
    filter: Annotated[  # noqa: A002 (the name of the option)
        list[str] | None,
        typer.Option(
            help="Filter of the list of images, such as tag=fjord. Can be repeated; all of them have to match."
        ),
    ] = None,
    image_id: Annotated[
        list[str] | None, typer.Option(help="ID of an image, instead of --filter. Can be repeated, up to 10,000 times.")
    ] = None,
    team: Annotated[str | None, typer.Option(help="ID of the team. For admins only.")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=32, help="How many files are downloaded at a time.")] = 8,
) -> None:
    """Download the originals of all images that match or are named, checked by their SHA-256. Run it again to go on."""
    if filter and image_id:
        typer.secho("Send either --filter or --image-id.", fg="red", err=True)
        raise typer.Exit(1)
    asked = {"filter": filter or [], "image_ids": image_id or []}
    to.mkdir(parents=True, exist_ok=True)
    with closing(connect_api(url, api_key)) as api, closing(connect(url)) as files:
        clients = Clients(api, files)
        operation_id = _find_begun(to, asked) or _begin(api, to, asked, team)
        total = _wait(api, to, operation_id)
        counts = _download_all(clients, to, operation_id, total, jobs)
    typer.echo(f"{counts['done']:,} of {total:,} images are in {to}.")
    if counts["gone"]:
        typer.secho(f"{counts['gone']:,} could not be exported: see `code` in {to / MANIFEST}.", fg="yellow", err=True)
    if counts["failed"]:
        typer.secho(f"{counts['failed']:,} could not be downloaded. Run the command again.", fg="red", err=True)
        raise typer.Exit(1)


def _find_begun(to: Path, asked: dict[str, list[str]]) -> str | None:
    """Return the export that was begun in this folder; None if there is none."""
    try:
        state = json.loads((to / STATE).read_text("utf-8"))
    except FileNotFoundError:
        return None
    # What an earlier release has begun names no images.
    if any(asked.values()) and any(set(values) != set(state.get(name, [])) for name, values in asked.items()):
        typer.secho(f"{to} has an export of other images. Choose another folder.", fg="red", err=True)
        raise typer.Exit(1)
    return str(state["operation_id"])


def _begin(api: httpx2.Client, to: Path, asked: dict[str, list[str]], team_id: str | None) -> str:
    named: dict[str, list[str]] = {}
    for each in asked["filter"]:
        name, _, value = each.partition("=")
        named.setdefault(name, []).append(value)
    # Filters that cannot be repeated are no lists.
    body: dict[str, Any] = {"filter": {name: each if len(each) > 1 else each[0] for name, each in named.items()}}
    if asked["image_ids"]:
        body = {"image_ids": asked["image_ids"]}
    parameters = {} if team_id is None else {"team_id": team_id}
    headers = {"Idempotency-Key": str(uuid4())}
    operation_id: str = call(api, "POST", "exports", json=body, params=parameters, headers=headers)["operation_id"]
    # Whole or not at all.
    written = to / f"{STATE}.part"
    written.write_text(json.dumps({"operation_id": operation_id, **asked}), "utf-8")
    written.replace(to / STATE)
    return operation_id


def _wait(api: httpx2.Client, to: Path, operation_id: str) -> int:
    """Wait until the images are known, and return their number."""
    pause_seconds = 0.25
    while True:
        operation = call(api, "GET", f"operations/{operation_id}")
        if operation["status"] not in _UNDER_WAY:
            break
        time.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, 5.0)
    if operation["status"] != "succeeded":
        (to / STATE).unlink()
        why = operation["failure"]["detail"] if operation["failure"] else "Run the command again to begin a new one."
        typer.secho(f"The export has ended: its status is {operation['status']}. {why}", fg="red", err=True)
        raise typer.Exit(1)
    total: int = operation["total"]
    return total


def _download_all(clients: Clients, to: Path, operation_id: str, total: int, jobs: int) -> Counter[str]:
    """Download what is not there yet, a page of the manifest at a time; return how many are done, gone or failed."""
    counts: Counter[str] = Counter()
    written = to / f"{MANIFEST}.part"
    with written.open("w", encoding="utf-8") as manifest, ThreadPoolExecutor(jobs) as pool:
        for lines in _pages(clients.api, operation_id):
            try:
                ends = list(pool.map(lambda line: _try_download(clients, to, operation_id, line), lines))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            counts.update(ends)
            for line, end in zip(lines, ends, strict=True):
                manifest.write(json.dumps(_kept(line, end), ensure_ascii=False) + "\n")
            typer.echo(f"{counts.total():,} of {total:,}", err=True)
    written.replace(to / MANIFEST)
    return counts


def _kept(line: dict[str, Any], end: str) -> dict[str, Any]:
    """Return a line without its address, which ends soon, and with the name of its file; null if that is not there."""
    kept = {name: value for name, value in line.items() if name not in ("url", "expires_at")}
    if end == "gone" and kept["code"] is None:
        kept |= {"code": "image-not-found", "detail": "The image was removed before its file was downloaded."}
    return {**kept, "file": file_name(line) if end == "done" else None}


def _pages(api: httpx2.Client, operation_id: str) -> Iterator[list[dict[str, Any]]]:
    path: str | None = f"exports/{operation_id}/manifest"
    while path is not None:
        answer = ask(api, "GET", path)
        # As text, lines would also end at characters that JSON leaves as they are, such as U+2028.
        yield [json.loads(line) for line in answer.content.splitlines()]
        following = answer.links.get("next")
        path = None if following is None else urljoin(str(answer.url), following["url"])


def _try_download(clients: Clients, to: Path, operation_id: str, line: dict[str, Any]) -> str:
    if line["url"] is None:
        return "gone"
    try:
        is_there = download(clients, to, operation_id, line)
    except Failed as failure:
        typer.secho(f"{line['image_id']}: {failure}", fg="red", err=True)
        return "failed"
    return "done" if is_there else "gone"


def file_name(line: dict[str, Any]) -> str:
    """Return a name that is safe on every system, and different for every image."""
    image = line["image"]
    image_id = UUID(line["image_id"])
    name = _UNSAFE.sub("_", image["filename"] or "").strip(". ")
    if not name:
        return f"{image_id}.{_UNSAFE.sub('_', image['format'] or 'bin')}"
    stem, extension = Path(name).stem, Path(name).suffix
    room = _LONGEST_NAME_BYTES - len(extension.encode()[:20])
    return f"{image_id}_{_cut(stem, room)}{_cut(extension, 20)}"


def _cut(text: str, most_bytes: int) -> str:
    return text.encode()[:most_bytes].decode(errors="ignore")


def download(clients: Clients, to: Path, operation_id: str, line: dict[str, Any]) -> bool:
    """Download the file of a line unless it is there; return False if the image is gone now.

    A file has its name only after its SHA-256 was checked. What an interruption leaves in `….part` is continued.

    Raises:
        Failed: All attempts failed, or the file has other bytes than the image.
    """
    target = to / file_name(line)
    if target.exists() and target.stat().st_size == line["image"]["size_bytes"]:
        return True
    part = target.with_name(f"{target.name}.part")
    reason = ""
    for attempt in range(MOST_ATTEMPTS):
        answer = None
        try:
            answer, sha256 = _fetch(clients.files, line["url"], part)
        except httpx2.HTTPError as error:
            reason = f"{type(error).__name__}: {error}"
        else:
            if answer.is_success and sha256 == line["image"]["sha256"]:
                part.replace(target)
                return True
            reason = "its SHA-256 is not that of the image" if answer.is_success else reason_of(answer)
            if answer.is_success or answer.status_code == httpx2.codes.RANGE_NOT_SATISFIABLE:
                part.unlink()
            elif answer.status_code in (httpx2.codes.NOT_FOUND, httpx2.codes.GONE):
                # The address has expired or was revoked, or the image is gone.
                line = _read_again(clients.api, operation_id, line["position"])
                if line["url"] is None:
                    return False
        if attempt + 1 < MOST_ATTEMPTS:
            time.sleep(_pause_seconds(answer, attempt))
    raise Failed(reason)


def _fetch(files: httpx2.Client, url: str, part: Path) -> tuple[httpx2.Response, str]:
    """Write the rest of a file; return the response, and the SHA-256 of the whole."""
    begun = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begun}-"} if begun else {})
    digest = hashlib.sha256()
    with files.stream("GET", url, headers=headers) as answer:
        if not answer.is_success:
            answer.read()
            return answer, ""
        with part.open("r+b" if answer.status_code == httpx2.codes.PARTIAL_CONTENT else "wb") as file:
            while piece := file.read(_PIECE_BYTES) if answer.status_code == httpx2.codes.PARTIAL_CONTENT else b"":
                digest.update(piece)
            for piece in answer.iter_bytes(_PIECE_BYTES):
                file.write(piece)
                digest.update(piece)
    return answer, digest.hexdigest()


def _read_again(api: httpx2.Client, operation_id: str, position: int) -> dict[str, Any]:
    """Return a line with a new address."""
    answer = ask(api, "GET", f"exports/{operation_id}/manifest", params={"after_position": position - 1, "limit": 1})
    line: dict[str, Any] = json.loads(answer.content.splitlines()[0])
    return line


def _pause_seconds(answer: httpx2.Response | None, attempt: int) -> float:
    """Return how long to wait: not at all for a new address, else longer each time or as long as the server says."""
    if (
        answer is not None
        and answer.status_code < httpx2.codes.INTERNAL_SERVER_ERROR
        and answer.status_code != httpx2.codes.TOO_MANY_REQUESTS
    ):
        return 0.0
    asked = "" if answer is None else answer.headers.get("retry-after", "")
    return min(float(asked) if asked.isdigit() else 2.0**attempt, _LONGEST_PAUSE_SECONDS)
