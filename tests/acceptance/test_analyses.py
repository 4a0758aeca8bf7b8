"""What analyzers say of a picture, through the whole running system: stored, paid, on arrival, of a file or a URL."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from .conftest import Client, RunningSystem, served
from .test_life_of_an_image import photo, picture


@pytest.fixture
async def analyst(system: RunningSystem, admin: Client, member: Client) -> AsyncIterator[Client]:
    """Somebody of the member's team who may ask for analyses."""
    scopes = ["images:read", "images:write", "analyses:run", "usage:read"]
    made = await admin.ask("POST", f"/teams/{member.team_id}/users", 201, json={"name": "Analyst", "scopes": scopes})
    client = Client(system.url, made["api_key"], member.team_id)
    yield client
    await client.http.aclose()


async def balance(client: Client) -> int:
    left: int = (await client.ask("GET", "/credits", 200))["balance"]
    return left


async def finished(client: Client, method: str, path: str, **request: Any) -> dict[str, Any]:
    """Asks until the result is there."""
    deadline = time.monotonic() + 60
    while True:
        answer = await client.http.request(method, path, params={"wait": 25}, **request)
        if answer.status_code != 202:
            assert answer.status_code == 200, answer.text
            told: dict[str, Any] = answer.json()
            return told
        assert time.monotonic() < deadline, answer.text


async def test_what_was_found_is_given_again_byte_for_byte_at_no_cost(analyst: Client) -> None:
    image = await analyst.upload(photo())
    before, wish = await balance(analyst), {"image_id": image["id"], "analyzer": "quality"}
    first = await finished(analyst, "POST", "/analyze", json=wish)
    assert 0 <= first["result"]["sharpness"] <= 1
    assert await balance(analyst) == before - 1
    again = [await analyst.http.post("/analyze", json=wish) for _ in range(2)]
    assert again[0].content == again[1].content
    assert (again[0].json()["result"], again[0].json()["cached"]) == (first["result"], True)
    assert again[0].json()["credits"] == {"spent": 0, "left": before - 1}
    shown = await analyst.ask("GET", f"/images/{image['id']}?include=analyses", 200)
    assert [each["analyzer"] for each in shown["analyses"]] == ["quality"]
    found = await analyst.ask("GET", "/images", 200, params={"analysis.quality.sharpness[gte]": "0"})
    assert [each["id"] for each in found["items"]] == [image["id"]]


async def test_a_new_image_is_analysed_on_arrival(admin: Client, analyst: Client) -> None:
    await admin.ask("PATCH", f"/teams/{analyst.team_id}", 200, json={"analyze_on_arrival": ["colors", "quality"]})
    before = await balance(analyst)
    image = await analyst.upload(picture())
    listed = await analyst.ask("GET", f"/images/{image['id']}/analyses", 200)
    assert {each["analyzer"]: each["status"] for each in listed["items"]} == {"colors": "done", "quality": "done"}
    assert await balance(analyst) == before - 2


async def test_a_file_is_classified_without_becoming_an_image(analyst: Client) -> None:
    content, before = picture(300), await balance(analyst)
    first = await finished(analyst, "POST", "/classify", files={"file": ("a.jpg", content, "image/jpeg")})
    assert (first["analyzer"], first["image_id"]) == ("labels", None)
    assert first["result"]["labels"]
    again = await analyst.ask("POST", "/classify", 200, content=content, headers={"Content-Type": "image/jpeg"})
    assert (again["result"], again["cached"], again["credits"]["spent"]) == (first["result"], True, 0)
    assert await balance(analyst) == before - 1
    assert (await analyst.ask("GET", "/images", 200))["items"] == []


async def test_a_file_that_is_no_whole_picture_costs_nothing(analyst: Client) -> None:
    before = await balance(analyst)
    broken = picture(300)[:5000]
    told = await analyst.ask("POST", "/classify", 422, content=broken, headers={"Content-Type": "image/jpeg"})
    assert told["code"] == "image-not-decodable"
    assert await balance(analyst) == before


async def test_what_is_behind_a_url_is_classified(system: RunningSystem, analyst: Client) -> None:
    if system.data_dir is None:
        pytest.skip("A deployment fetches from public addresses only.")
    with served(picture(64)) as url:
        told = await finished(analyst, "POST", "/classify", json={"url": url, "analyzer": "colors"})
    assert (told["analyzer"], told["image_id"]) == ("colors", None)
    assert told["result"]["palette"]


async def test_the_same_is_asked_ten_times_at_once_and_paid_once(analyst: Client) -> None:
    image = await analyst.upload(picture(200))
    before = await balance(analyst)
    wish = {"image_id": image["id"], "analyzer": "skin"}
    told = await asyncio.gather(*(finished(analyst, "POST", "/analyze", json=wish) for _ in range(10)))
    assert len({each["analysis_id"] for each in told}) == 1
    assert await balance(analyst) == before - 2
