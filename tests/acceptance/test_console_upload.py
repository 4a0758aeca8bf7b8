"""Uploading on the console's pages in a real browser: files that are dropped, and one sent by the form alone."""

import asyncio
import base64
import hashlib
import re
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image

from .chromium_page import listen_for_errors, new_signed_in_page
from .conftest import Client, RunningSystem

pytestmark = pytest.mark.chromium
DROP = """(files) => {
  const transfer = new DataTransfer();
  for (const [name, content] of files) {
    transfer.items.add(new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], name));
  }
  const init = { dataTransfer: transfer, bubbles: true, cancelable: true };
  document.body.dispatchEvent(new DragEvent("dragover", init));
  document.body.dispatchEvent(new DragEvent("drop", init));
}"""
PASTE = """(content) => {
  const transfer = new DataTransfer();
  transfer.setData("text/plain", "fjord");
  transfer.items.add(new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], "image.png"));
  const init = { clipboardData: transfer, bubbles: true, cancelable: true };
  document.activeElement.dispatchEvent(new ClipboardEvent("paste", init));
}"""
ADDED = "window.added = 0; document.addEventListener('images-added', ({ detail }) => { window.added += detail.count })"
UPLOADS = re.compile("/api/v1/images$")
STORAGE = re.compile("/upload/storage/v1/b/")
PIECE = 8 * 1024 * 1024
FIELDS = [
    {"name": "age", "type": "integer"},
    {"name": "sea", "type": "enum", "enum": ["North Sea", "Baltic"], "required": True},
]


def photo(width: int = 320, height: int = 240, format_name: str = "JPEG") -> bytes:
    content = BytesIO()
    Image.effect_noise((width, height), 60).save(content, format_name)
    return content.getvalue()


async def drop(page: Any, files: dict[str, bytes]) -> None:
    await page.evaluate(DROP, [(name, base64.b64encode(content).decode()) for name, content in files.items()])


async def drop_paths(page: Any, *paths: Path) -> None:
    """Drop files or folders of this machine: a page cannot make folders itself."""
    devtools = await page.context.new_cdp_session(page)
    data = {"items": [], "files": list(map(str, paths)), "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        await devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 200, "data": data})


async def wait_for_status(page: Any, text: str) -> None:
    await page.get_by_role("status").filter(has_text=text).wait_for()


async def test_dropped_files_are_uploaded_skipped_offered_and_refused(
    chromium: Any, system: RunningSystem, member: Client
) -> None:
    known, trashed, new = photo(), photo(), [photo() for _ in range(2)]
    known_id = (await member.upload(known))["id"]
    trashed_id = (await member.upload(trashed))["id"]
    await member.ask("DELETE", f"/images/{trashed_id}", 204)
    page = await new_signed_in_page(chromium, system.url, member.api_key, "/console/images")
    complaints, sent = listen_for_errors(page), []
    page.on("request", lambda request: sent.append(request.url) if UPLOADS.search(request.url) else None)
    files = {f"new {number} {uuid4()}.jpg": content for number, content in enumerate(new)}
    files |= {"known.jpg": known, "trashed.jpg": trashed, "notes.txt": b"not a picture at all"}
    await drop(page, files)
    await wait_for_status(page, "2 uploaded, 1 already there, 1 in the trash, 1 failed.")
    # Neither what the team has was sent, nor what is no picture.
    assert len(sent) == len(new)
    lines = page.locator(".uploads > li")
    assert await lines.filter(has_text="notes.txt").get_by_role("link").get_attribute("href") == "/errors/not-an-image"
    opened = lines.filter(has_text="known.jpg").get_by_role("link")
    assert await opened.get_attribute("href") == f"/console/images/{known_id}"
    await page.get_by_role("button", name="Restore: trashed.jpg").click()
    await wait_for_status(page, "1 restored")
    assert (await member.ask("GET", f"/images/{trashed_id}", 200))["deleted_at"] is None
    await page.get_by_role("link", name="Show the images").click()
    await page.locator(".cell").nth(3).wait_for()
    assert complaints == []
    await page.context.close()


@pytest.mark.timeout(240)
async def test_thirty_files_of_a_megabyte_arrive_despite_a_broken_connection_and_a_limit(
    chromium: Any, system: RunningSystem, member: Client, tmp_path: Path
) -> None:
    files = {f"{number}.tif": photo(1100, 1000, "TIFF") for number in range(30)}
    assert min(map(len, files.values())) > 1_000_000
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    page = await new_signed_in_page(chromium, system.url, member.api_key, "/console/images")
    await page.evaluate(ADDED)
    keys: list[str] = []
    held: list[Any] = []

    async def on_its_way(route: Any) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            await route.abort("connectionreset")
        elif len(keys) == 2:
            await route.fulfill(status=429, headers={"Retry-After": "1"}, json={"detail": "Later.", "code": "x"})
        elif len(set(keys)) == 30 and not held:
            held.append(route)
        else:
            await route.continue_()

    await page.route(UPLOADS, on_its_way)
    await drop_paths(page, *(tmp_path / name for name in files))
    await page.get_by_text("29 of 30 files").wait_for(timeout=120_000)
    stored = await member.ask("GET", "/images", 200, params={"include_total": "true"})
    assert stored["total"] == 29
    share = await page.get_by_role("progressbar", name="All files").evaluate("each => each.value")
    assert 29 / 30 - 0.01 < share <= 1
    assert await page.evaluate("window.added") == 0
    await held[0].continue_()
    await wait_for_status(page, "30 uploaded.")
    # What broke off, and what came too early, was repeated under its key.
    assert (len(keys), len(set(keys))) == (32, 30)
    hashes = {hashlib.sha256(content).hexdigest() for content in files.values()}
    checked = await member.ask("POST", "/images/check-hashes", 200, json={"sha256": sorted(hashes)})
    assert [each["state"] for each in checked["items"]] == ["present"] * 30
    # Others have gone from the list: it stays short.
    assert await page.locator(".uploads > li").count() == 20
    assert await page.evaluate("window.added") == 30
    await page.context.close()


@pytest.mark.timeout(120)
async def test_a_large_file_goes_straight_to_storage_and_on_after_a_reload(
    chromium: Any, system: RunningSystem, member: Client, tmp_path: Path
) -> None:
    large = tmp_path / "large.tif"
    large.write_bytes(photo(5200, 5200, "TIFF"))
    size = large.stat().st_size
    assert size > 25 * 1024 * 1024
    page = await new_signed_in_page(chromium, system.url, member.api_key, "/console/images/upload")
    complaints, ranges = listen_for_errors(page), []
    is_held, may_go = asyncio.Event(), asyncio.Event()

    async def on_its_way(route: Any) -> None:
        ranges.append(route.request.headers["content-range"])
        if len(ranges) == 2:
            is_held.set()
            await may_go.wait()
        await route.abort() if len(ranges) == 2 else await route.continue_()

    await page.context.route(STORAGE, on_its_way)
    await page.get_by_label("Tags").fill("sea")
    await page.get_by_label("Image", exact=True).set_input_files(large)
    await page.get_by_role("button", name="Upload", exact=True).click()
    await is_held.wait()
    asked: list[str] = []

    async def leave(dialog: Any) -> None:
        asked.append(dialog.type)
        await dialog.accept()

    page.on("dialog", leave)
    await page.reload()
    may_go.set()
    assert asked == ["beforeunload"]
    await page.get_by_text("8.0 MiB of 25.8 MiB have arrived.").wait_for()
    async with page.expect_file_chooser() as choosing:
        await page.get_by_role("button", name="Choose the files").click()
    await (await choosing.value).set_files(large)
    await wait_for_status(page, "1 uploaded.")
    first, held, question, *rest = ranges
    assert (first, held) == (f"bytes 0-{PIECE - 1}/{size}", f"bytes {PIECE}-{2 * PIECE - 1}/{size}")
    # What had arrived was not sent again.
    assert (question, rest[0]) == (f"bytes */{size}", held)
    found = await member.ask("GET", "/images", 200, params={"q": "large", "tag": "sea"})
    assert [each["size_bytes"] for each in found["items"]] == [size]
    await page.reload()
    assert not await page.get_by_text("Not finished").is_visible()
    assert complaints == []
    await page.context.close()


async def test_an_unfinished_upload_is_discarded_or_forgotten_by_signing_out(
    chromium: Any, system: RunningSystem, member: Client, tmp_path: Path
) -> None:
    large = tmp_path / "large.tif"
    large.write_bytes(photo(4800, 4800, "TIFF"))
    page = await new_signed_in_page(chromium, system.url, member.api_key, "/console/images")
    page.on("dialog", lambda dialog: dialog.accept())
    unfinished = page.get_by_text("Not finished")

    async def leave_unfinished() -> None:
        await page.context.route(STORAGE, lambda route: route.abort())
        await drop_paths(page, large)
        await page.get_by_text("Connection lost").wait_for()
        await page.reload()
        await unfinished.wait_for()
        await page.context.unroute(STORAGE)

    await leave_unfinished()
    async with page.expect_response(lambda answer: answer.request.method == "DELETE") as answered:
        await page.get_by_role("button", name="Discard: large.tif").click()
    assert (await answered.value).status == 204
    await unfinished.wait_for(state="hidden")
    await leave_unfinished()
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_label("API key", exact=True).wait_for()
    assert await page.evaluate("indexedDB.databases()") == []
    await page.context.close()


async def test_a_session_that_storage_has_ended_is_cancelled_and_trying_again_opens_another(
    chromium: Any, system: RunningSystem, member: Client, tmp_path: Path
) -> None:
    large = tmp_path / "large.tif"
    large.write_bytes(photo(4800, 4800, "TIFF"))
    page = await new_signed_in_page(chromium, system.url, member.api_key, "/console/images")
    gone = {"status": 410, "headers": {"access-control-allow-origin": "*"}}
    await page.context.route(STORAGE, lambda route: route.fulfill(**gone))
    async with page.expect_response(lambda answer: answer.request.method == "DELETE") as answered:
        await drop_paths(page, large)
    assert (await answered.value).status == 204
    await page.get_by_text("Storage refused the file with 410.").wait_for()
    await page.context.unroute(STORAGE)
    await page.get_by_role("button", name="Try again: large.tif").click()
    await wait_for_status(page, "1 uploaded.")
    await page.reload()
    assert not await page.get_by_text("Not finished").is_visible()
    await page.context.close()


async def test_a_folder_is_uploaded_without_its_hidden_files(
    chromium: Any, system: RunningSystem, member: Client, tmp_path: Path
) -> None:
    inner = tmp_path / "summer" / "sea"
    inner.mkdir(parents=True)
    for path in (inner.parent / "a.jpg", inner / "b.jpg"):
        path.write_bytes(photo())
        (path.parent / ".DS_Store").write_bytes(b"\0")
    page = await new_signed_in_page(chromium, system.url, member.api_key, "/console/images/upload")
    await drop_paths(page, inner.parent)
    await wait_for_status(page, "2 uploaded. 2 hidden files were left out.")
    await page.get_by_label("Or all images of a folder").set_input_files(inner.parent)
    await page.get_by_role("button", name="Upload", exact=True).click()
    await wait_for_status(page, "2 uploaded, 2 already there. 4 hidden files were left out.")
    await page.context.close()


async def test_text_pasted_into_a_field_does_not_upload_the_picture_that_spreadsheets_put_beside_it(
    chromium: Any, system: RunningSystem, member: Client
) -> None:
    page = await new_signed_in_page(chromium, system.url, member.api_key, "/console/images/upload")
    content = base64.b64encode(photo(format_name="PNG")).decode()
    await page.get_by_label("Tags").focus()
    await page.evaluate(PASTE, content)
    await page.get_by_label("Tags").blur()
    await page.evaluate(PASTE, content)
    await wait_for_status(page, "1 uploaded.")
    assert await page.locator(".uploads > li").count() == 1
    await page.context.close()


async def test_without_hashes_the_server_finds_what_is_there(
    chromium: Any, system: RunningSystem, member: Client
) -> None:
    known = photo()
    await member.upload(known)
    page = await new_signed_in_page(chromium, system.url, member.api_key, "/console/images")
    # As on a page over plain HTTP from another machine.
    await page.add_init_script("delete Crypto.prototype.subtle")
    await page.reload()
    await drop(page, {"known.jpg": known, "new.jpg": photo()})
    await wait_for_status(page, "1 uploaded, 1 already there.")
    await page.context.close()


@pytest.mark.parametrize("with_script", [True, False], ids=["with script", "without script"])
async def test_the_form_sends_the_fields_of_the_team_by_keyboard_alone(
    chromium: Any, system: RunningSystem, admin: Client, member: Client, with_script: bool
) -> None:
    await admin.ask("PUT", "/metadata-schema", 200, params={"team_id": member.team_id}, json={"fields": FIELDS})
    page = await new_signed_in_page(
        chromium, system.url, member.api_key, "/console/images/upload", java_script_enabled=with_script
    )
    files = [
        {"name": f"{number}.jpg", "mimeType": "image/jpeg", "buffer": photo()} for number in range(1 + with_script)
    ]
    if with_script:
        # Before the required field is filled in, nothing is sent; then by one button.
        await drop(page, {"early 1.jpg": photo(), "early 2.jpg": photo()})
        await wait_for_status(page, "0 uploaded, 2 failed.")
    await page.get_by_label("Tags").focus()
    for text in ("sea, fjord", "42", "Baltic"):
        await page.keyboard.type(text)
        await page.keyboard.press("Tab")
    if with_script:
        async with page.expect_file_chooser() as choosing:
            await page.keyboard.press("Space")
        await (await choosing.value).set_files(files)
    else:
        await page.get_by_label("Image", exact=True).set_input_files(files)
    await page.get_by_role("button", name="Upload", exact=True).press("Enter")
    if with_script:
        await wait_for_status(page, "2 uploaded, 2 failed.")
        await page.get_by_role("button", name="Try all failed again").press("Enter")
        await wait_for_status(page, "4 uploaded.")
    else:
        await wait_for_status(page, "Uploaded")
    found = await member.ask("GET", "/images", 200, params={"include": "metadata"})
    assert [(each["tags"], each["metadata"]) for each in found["items"]] == [
        (["sea", "fjord"], {"age": 42, "sea": "Baltic"})
    ] * (4 if with_script else 1)
    await page.context.close()
