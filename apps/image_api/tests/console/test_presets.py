"""Presets on the console's pages: created, changed with their version, and removed."""

from typing import Any
from urllib.parse import urlsplit

import pytest

from image_core.testing import UserWithKey

from ..conftest import Api
from .browser import Browser, tags_of
from .catalogue import call
from .test_images import signed_in, upload_some

PRESETS = "/console/presets"


@pytest.fixture
async def browser(api: Api, member: UserWithKey) -> Browser:
    return await signed_in(api, member)


async def preset(api: Api, by: UserWithKey, name: str = "card") -> dict[str, Any]:
    return dict(await call(api, by, "GET", f"/presets/{name}"))


async def create(browser: Browser, **values: str) -> Any:
    """Send the form for a new preset with its text fields, and the boxes that are ticked at first."""
    await browser.get("/console/new-preset")
    fields = {name: value for name, value in browser.form(PRESETS).items() if value not in ("true", "webp")}
    return await browser.post(PRESETS, {**fields, "fit": "inside", "formats": "webp", **values})


async def test_a_preset_is_created_changed_and_removed(api: Api, member: UserWithKey, browser: Browser) -> None:
    assert (await create(browser, name="card", width="640", height="480", fit="cover", open="true")).status_code == 303
    made = await preset(api, member)
    assert [made[name] for name in ("width", "height", "fit", "open", "animated", "formats", "quality")] == [
        640, 480, "cover", True, False, ["webp"], 80,
    ]  # fmt: skip
    assert made["spec"] in (await browser.get(PRESETS)).text
    page = f"{PRESETS}/card/change"
    await browser.get(page)
    form = browser.form(page)
    assert (form["width"], form["quality"]) == ("640", "80")
    revision = form["revision"]
    await call(api, member, "PUT", "/presets/card", width=321)
    sent = {"csrf_token": form["csrf_token"], "revision": revision, "width": "700", "fit": "inside", "formats": "avif"}
    refused = await browser.post(page, sent)
    assert refused.status_code == 412
    assert "It is now 321 × any" in refused.text
    again = browser.form(page)
    assert again["width"] == "700"
    assert (await browser.post(page, sent | {"revision": again["revision"]})).status_code == 303
    changed = await preset(api, member)
    assert [changed[name] for name in ("width", "height", "formats", "open")] == [700, None, ["avif"], False]
    await browser.get(f"{PRESETS}/card/remove")
    assert (await browser.submit(f"{PRESETS}/card/remove")).status_code == 303
    assert "card" not in [each["name"] for each in (await call(api, member, "GET", "/presets"))["items"]]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"name": "thumb", "width": "5"}, "There is such a preset already"),
        ({"name": "Card", "width": "5"}, "Begin with a letter"),
        ({"name": "card", "width": "5x"}, "Send a whole number"),
        ({"name": "card"}, "`width`, `height` or both"),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_lost(
    api: Api, member: UserWithKey, browser: Browser, wrong: dict[str, str], text: str
) -> None:
    before = (await call(api, member, "GET", "/presets"))["items"]
    refused = await create(browser, quality="71", **wrong)
    assert refused.status_code == 422
    assert text in refused.text.replace("<code>", "`").replace("</code>", "`")
    assert browser.form(PRESETS)["quality"] == "71"
    assert (await call(api, member, "GET", "/presets"))["items"] == before


async def test_an_admin_is_asked_for_the_team(api: Api, member: UserWithKey, browser: Browser) -> None:
    await create(browser, name="card", width="640")
    admin = await signed_in(api, api.admin)
    for path in (PRESETS, "/console/new-preset", f"{PRESETS}/card/change"):
        assert "Choose a team" in (await admin.get(path)).text
    page = f"{PRESETS}/card/change?team_id={member.team_id}"
    await admin.get(page)
    assert (await admin.submit(page, width="700")).status_code == 303
    assert (await preset(api, member))["width"] == 700


async def test_a_team_changes_its_own_presets_only(api: Api, stranger: UserWithKey, browser: Browser) -> None:
    await create(browser, name="card", width="640")
    other = await signed_in(api, stranger)
    assert "card@" not in (await other.get(PRESETS)).text
    token = {"csrf_token": other.form("/console/sign-out")["csrf_token"]}
    for name in ("change", "remove"):
        assert (await other.get(f"{PRESETS}/card/{name}")).status_code == 404
        assert (await other.post(f"{PRESETS}/card/{name}", token | {"width": "1", "revision": "1"})).status_code == 404


async def test_a_preset_is_tried_on_an_image_in_its_formats(
    api: Api, member: UserWithKey, stranger: UserWithKey, browser: Browser
) -> None:
    (image_id,) = await upload_some(api, member, 1)
    # Of a width that transforms do not offer.
    made = await call(api, member, "PUT", "/presets/card", width=20, formats=["webp", "png"])
    page = f"{PRESETS}/card/try"
    assert "t-w20" in (await browser.get(page)).text
    await browser.get(f"{page}?image_id={image_id}")
    pictures = [each["src"] for tag, each in tags_of(browser.page) if tag == "img" and each["alt"]]
    assert [urlsplit(each).path.rpartition("/")[2] for each in pictures] == [
        f"{made['spec']}.{name}" for name in ("webp", "png")
    ]
    (other_id,) = await upload_some(api, stranger, 1)
    refused = await browser.get(f"{page}?image_id={other_id}")
    assert refused.status_code == 404
    assert "/i/" not in refused.text


async def test_other_transforms_are_tried_before_they_are_saved(
    api: Api, member: UserWithKey, browser: Browser
) -> None:
    (image_id,) = await upload_some(api, member, 1)
    await call(api, member, "PUT", "/presets/card", width=640, formats=["webp"])
    page = f"{PRESETS}/card/try?image_id={image_id}"
    assert "Not the preset" not in (await browser.get(f"{page}&spec=t-w640")).text
    await browser.get(f"{page}&spec=t-w320-h200-cover-q60")
    pictures = [each["src"] for tag, each in tags_of(browser.page) if tag == "img" and each["alt"]]
    assert [urlsplit(each).path.rpartition("/")[2] for each in pictures] == ["t-w320-h200-cover-q60.webp"]
    assert (await preset(api, member))["width"] == 640
    (change,) = [each["href"] for tag, each in tags_of(browser.page) if tag == "a" and "spec=" in each["href"]]
    await browser.get(change)
    form = browser.form(f"{PRESETS}/card/change")
    assert [form[name] for name in ("width", "height", "quality")] == ["320", "200", "60"]
    for path in (f"{page}&spec=t-q0", f"{PRESETS}/card/change?spec=card"):
        refused = await browser.get(path)
        assert refused.status_code == 400
        assert "delivery-spec-invalid" in refused.text
