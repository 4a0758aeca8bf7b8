"""Every page of the console and of share links in a real browser: axe finds nothing, and nothing is too wide."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from io import BytesIO
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image

from .conftest import PASSWORD, Client, RunningSystem

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(480)]

WORD = "Fjordutsikt" * 24
PRESET = WORD[:32].lower()
# An ID, or the name of a preset.
NAMED = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=/presets/)[^/]+")
# What makes another page of a path: they have other elements.
VARIANT = re.compile(r"(?<=[?&])(?:view|action)=\w+")
SIGNED_OUT = ("sign-in", "sign-in/link", "join", "reset", "nowhere")
WIDTHS = (1440, 390)
# 320 pixels are a small phone, or 400 % zoom of 1280; 640 are 200 % zoom; from 720 on, tables are tables.
NARROW = (320, 640, 720)
OPEN = "for (const each of document.querySelectorAll('details')) each.open = true"
RUN = "options => axe.run({resultTypes: ['violations'], preload: false, ...options})"
# Of the rules, only these depend on the theme.
COLORS = {"runOnly": ["color-contrast", "link-in-text-block"]}
BEYOND = """() => document.documentElement.scrollWidth > innerWidth && [...document.querySelectorAll("body *")]
  .filter(each => each.getBoundingClientRect().right > innerWidth)
  .map(each => `${each.tagName}.${each.className}`).slice(0, 6).join()"""


@dataclass
class Inspector:
    """A page of a browser, what was wrong on the pages that it has seen, and how many rules they passed."""

    page: Any
    script: str
    faults: list[str] = field(default_factory=list)
    passed: int = 0

    async def look(self, address: str) -> None:
        """Open an address, and look at it in each theme and width."""
        await self.page.set_viewport_size({"width": WIDTHS[0], "height": 900})
        await self.page.goto(address)
        await self.page.evaluate(OPEN)
        await self.page.evaluate(self.script)
        for width, scheme in product(WIDTHS, ("light", "dark")):
            await self.page.set_viewport_size({"width": width, "height": 900})
            await self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found = await self.page.evaluate(RUN, COLORS if scheme == "dark" else {})
            self.passed += len(found["passes"])
            for each in found["violations"]:
                where = [" ".join(map(str, node["target"])) for node in each["nodes"]]
                self.faults.append(f"{address} {width} {scheme}: {each['id']} at {where}")
        for width in NARROW:
            await self.page.set_viewport_size({"width": width, "height": 450})
            if beyond := await self.page.evaluate(BEYOND):
                self.faults.append(f"{address} is wider than {width} pixels: {beyond}")

    async def links(self) -> list[str]:
        """Return where the links of the page lead."""
        found: list[str] = await self.page.evaluate("[...document.links].map(each => each.href)")
        return found


@pytest.fixture
async def inspector(chromium: Any) -> AsyncIterator[Inspector]:
    # Of this package only the script is used: its wheel carries axe-core, so that the browser group needs no npm.
    from axe_playwright_python.base import AXE_SCRIPT

    context = await chromium.new_context(reduced_motion="reduce")
    yield Inspector(await context.new_page(), AXE_SCRIPT)
    await context.close()


def picture(color: str) -> bytes:
    made = BytesIO()
    Image.new("RGB", (400, 300), color).save(made, "PNG")
    return made.getvalue()


@dataclass
class Things:
    """What a team has on its pages, with names of one long word."""

    link_url: str
    image_id: str
    addresses: list[str]
    """Of pages that a walk might take for others of their kind, which have less on them."""


@pytest.fixture
async def things(admin: Client, member: Client) -> Things:
    shown, deleted = [(await member.upload(picture(each), f"{WORD[:251]}.png"))["id"] for each in ("teal", "maroon")]
    texts = {"tags": [WORD[:64], "sea"], "description": WORD, "alt_text": {"text": WORD, "language": "nb"}}
    await member.ask("PATCH", f"/images/{shown}", 200, json=texts)
    await member.ask("DELETE", f"/images/{deleted}", 204)
    collection = await member.ask("POST", "/collections", 201, json={"name": WORD[:120]})
    await member.ask("POST", f"/collections/{collection['id']}/images", 200, json={"image_ids": [shown]})
    await member.ask("POST", "/saved-searches", 201, json={"name": WORD[:120], "query": f"tag={WORD[:64]}"})
    link = await member.ask("POST", "/links", 201, json={"collection_id": collection["id"], "title": WORD[:200]})
    team = f"team_id={member.team_id}"
    name = WORD[:64].lower()
    source = {"team_id": member.team_id, "name": name, "bucket": "old-site", "prefix": f"{name}/"}
    await admin.ask("POST", "/import-sources", 201, json=source)
    await admin.ask("PUT", f"/presets/{PRESET}?{team}", 200, json={"width": 300})
    declared = {"name": WORD[:64], "type": "enum", "enum": [WORD[:64]], "description": WORD, "pii": True}
    await admin.ask("PUT", f"/metadata-schema?{team}", 200, json={"fields": [declared]})
    decision = {"image_ids": [shown, deleted], "decision": "not-duplicate"}
    await member.ask("POST", "/duplicates/decisions", 201, json=decision)
    matching = {"filter": {"tag": [WORD[:64]]}, "action": "tag", "tags": ["sea"]}
    await member.ask("POST", "/images/batch", 202, json=matching)
    user_id = (await member.ask("GET", "/whoami", 200))["user_id"]
    delivery = await failed_delivery(admin, team)
    addresses = [
        "",
        "/_components",
        f"/users/{user_id}/keys",
        f"/images/{deleted}/restore",
        *(f"/images/batch?action={each}&image_id={shown}&image_id={uuid4()}" for each in ("trash", "tag")),
        "/images/batch?action=trash&all=1&query=tag%3Dsea",
        "/images/export?query=tag%3Dsea",
        f"/images/export?chosen=1&image_id={shown}&image_id={uuid4()}",
        f"/collections/{collection['id']}/take-out?image_id={shown}",
        f"/presets/{PRESET}/remove",
        "/webhooks",
        f"/webhooks/{delivery['webhook_id']}",
        f"/webhook-deliveries/{delivery['id']}",
    ]
    return Things(link["url"], shown, [f"{each}{'&' if '?' in each else '?'}{team}" for each in addresses])


async def failed_delivery(admin: Client, team: str) -> dict[str, Any]:
    """Make a webhook, and a delivery to it whose first attempt was in vain: no name ends in `.invalid`."""
    wish = {"url": f"https://{WORD[:63].lower()}.invalid/{WORD}", "description": WORD[:200]}
    webhook_id = (await admin.ask("POST", f"/webhooks?{team}", 201, json=wish))["id"]
    made = await admin.ask("POST", f"/webhooks/{webhook_id}/test", 202)
    async with asyncio.timeout(60):
        while not (shown := await admin.ask("GET", f"/webhook-deliveries/{made['id']}", 200))["attempts"]:
            await asyncio.sleep(0.2)
    return dict(shown)


async def sign_in(page: Any, url: str, email: str) -> None:
    await page.goto(f"{url}/console/sign-in")
    await page.get_by_role("textbox", name="E-mail address").fill(email)
    await page.get_by_role("textbox", name="Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{url}/console")


@pytest.fixture
async def admin_email(admin: Client, member: Client, browser: Any, system: RunningSystem) -> str:
    """Of an admin who signs in with a password, and so sees every page."""
    email = f"{uuid4()}{'long' * 4}@example.org"
    wish = {"email": email, "role": "admin"}
    invitation = await admin.ask("POST", f"/teams/{member.team_id}/invitations", 201, json=wish)
    await admin.ask("POST", f"/teams/{member.team_id}/invitations", 201, json={"email": f"open-{uuid4()}@example.org"})
    registration = {"email": email, "name": WORD[:100], "password": PASSWORD, "invitation_token": invitation["token"]}
    assert (await browser.post("/auth/register", json=registration)).status_code == 202
    return email


async def test_axe_finds_nothing_on_the_console_and_no_page_is_too_wide(
    inspector: Inspector, system: RunningSystem, things: Things, admin_email: str
) -> None:
    home = f"{system.url}/console"
    for path in SIGNED_OUT:
        await inspector.look(f"{home}/{path}")
    await sign_in(inspector.page, system.url, admin_email)
    waiting = [f"{home}{each}" for each in things.addresses]
    kinds: set[str] = set()
    while waiting:
        address = waiting.pop(0).partition("#")[0]
        kind = "?".join([NAMED.sub("…", address.partition("?")[0]), *VARIANT.findall(address)])
        if kind in kinds or not address.startswith(home) or "/_components/" in address:
            continue
        kinds.add(kind)
        await inspector.look(address)
        waiting += await inspector.links()
    assert inspector.faults == []
    # The walk found its way, and axe its rules.
    assert len(kinds) >= 50, sorted(kinds)
    assert {f"{home}/webhook-deliveries/…", f"{home}/webhooks/…", f"{home}/webhooks/…/replay"} <= kinds
    assert inspector.passed > 20 * len(kinds)


async def test_axe_finds_nothing_on_pages_of_share_links_and_none_is_too_wide(
    inspector: Inspector, things: Things, member: Client
) -> None:
    wish = {"image_ids": [things.image_id], "title": WORD[:200], "password": PASSWORD, "download": "stripped"}
    locked = (await member.ask("POST", "/links", 201, json=wish))["url"]
    for address in (things.link_url, f"{things.link_url}/{things.image_id}", locked, f"{locked}x"):
        await inspector.look(address)
    assert inspector.faults == []
    assert inspector.passed > 100
