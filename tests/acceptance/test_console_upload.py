"""Uploading on the console's pages in a real browser: files that are dropped, and one sent by the form alone."""

import base64
import hashlib
import re
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image

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


def photo() -> bytes:
    content = BytesIO()
    Image.effect_noise((320, 240), 60).save(content, "JPEG")
    return content.getvalue()


async def signed_in(chromium: Any, system: RunningSystem, api_key: str, path: str, **options: Any) -> Any:
    context = await chromium.new_context(reduced_motion="reduce", **options)
    page = await context.new_page()
    await page.goto(f"{system.url}/console/sign-in?next={path}")
    await page.get_by_label("API key", exact=True).fill(api_key)
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{system.url}{path}")
    return page


async def test_dropped_files_are_uploaded_skipped_offered_and_refused(
    chromium: Any, system: RunningSystem, member: Client
) -> None:
    known, trashed, new = photo(), photo(), [photo() for _ in range(5)]
    known_id = (await member.upload(known))["id"]
    trashed_id = (await member.upload(trashed))["id"]
    await member.ask("DELETE", f"/images/{trashed_id}", 204)
    page = await signed_in(chromium, system, member.api_key, "/console/images")
    violations: list[str] = []
    page.on("console", lambda line: violations.append(line.text) if "Policy" in line.text else None)
    page.on("pageerror", lambda error: violations.append(str(error)))
    sent: list[str] = []

    async def break_the_first(route: Any) -> None:
        sent.append(route.request.headers["idempotency-key"])
        await (route.abort() if len(sent) == 1 else route.continue_())

    await page.route(re.compile("/api/v1/images$"), break_the_first)
    files = {f"new {number} {uuid4()}.jpg": content for number, content in enumerate(new)}
    files |= {"known.jpg": known, "trashed.jpg": trashed, "notes.txt": b"not a picture at all"}
    await page.evaluate(DROP, [(name, base64.b64encode(content).decode()) for name, content in files.items()])
    await page.get_by_role("status").filter(has_text="5 uploaded, 2 already there, 1 failed.").wait_for()
    # The broken attempt was repeated under its key; what the team has was not sent at all.
    assert len(sent) == len(new) + 2
    assert sent.count(sent[0]) == 2
    lines = page.locator(".uploads > li")
    assert await lines.filter(has_text="notes.txt").get_by_role("link").get_attribute("href") == "/errors/not-an-image"
    opened = lines.filter(has_text="known.jpg").get_by_role("link")
    assert await opened.get_attribute("href") == f"/console/images/{known_id}"
    await page.get_by_role("button", name="Restore: trashed.jpg").click()
    await page.get_by_role("status").filter(has_text="1 restored").wait_for()
    assert (await member.ask("GET", f"/images/{trashed_id}", 200))["deleted_at"] is None
    hashes = [hashlib.sha256(content).hexdigest() for content in new]
    checked = await member.ask("POST", "/images/check-hashes", 200, json={"sha256": hashes})
    assert [each["state"] for each in checked["items"]] == ["present"] * len(new)
    await page.get_by_role("link", name="Show the images").click()
    await page.locator(".tile").nth(6).wait_for()
    assert violations == []
    await page.context.close()


async def test_the_form_sends_several_files_with_script_and_one_without(
    chromium: Any, system: RunningSystem, member: Client
) -> None:
    for with_script in (True, False):
        names = [f"{uuid4()}.jpg" for _ in range(2 if with_script else 1)]
        page = await signed_in(chromium, system, member.api_key, "/console/images", java_script_enabled=with_script)
        await page.get_by_role("link", name="Upload", exact=True).click()
        await page.get_by_label("Tags").fill("sea, fjord")
        await page.get_by_label("Image", exact=True).set_input_files(
            [{"name": name, "mimeType": "image/jpeg", "buffer": photo()} for name in names]
        )
        await page.get_by_role("button", name="Upload").click()
        await page.get_by_role("status").filter(has_text="2 uploaded." if with_script else "Uploaded").wait_for()
        for name in names:
            found = await member.ask("GET", "/images", 200, params={"q": name})
            assert [each["tags"] for each in found["items"]] == [["sea", "fjord"]]
        await page.context.close()
