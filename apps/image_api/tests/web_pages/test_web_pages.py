"""Templates and static files of pages, from a package made for these tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from jinja2 import UndefinedError

from image_api.web_pages.content_security import SELF, content_security_policy
from image_api.web_pages.static_files import StaticFiles
from image_api.web_pages.templates import Templates

STYLE = b"body { color: canvastext }"


@pytest.fixture
def static_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StaticFiles:
    package = tmp_path / "pages_of_tests"
    for folder in ("static", "templates"):
        (package / folder).mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "static/style.css").write_bytes(STYLE)
    (package / "static/notes.txt").touch()
    (package / "templates/page.html").write_text('<link href="{{ static("style.css") }}"><h1 title={{ title }}>')
    monkeypatch.syspath_prepend(tmp_path)
    return StaticFiles("pages_of_tests", "/static/test")


@pytest.fixture
async def client(static_files: StaticFiles) -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI()
    app.include_router(static_files.router())
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://api") as client:
        yield client


async def test_files_are_kept_for_a_year_under_the_hash_of_their_content(
    static_files: StaticFiles, client: httpx2.AsyncClient
) -> None:
    answer = await client.get(static_files.url("style.css"))
    assert (answer.content, answer.headers["content-type"]) == (STYLE, "text/css; charset=utf-8")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("name", ["style.css", "style.0123456789abcdef.css"])
async def test_other_versions_get_the_current_file_which_they_may_not_keep(
    client: httpx2.AsyncClient, name: str
) -> None:
    answer = await client.get(f"/static/test/{name}")
    assert (answer.content, answer.headers["cache-control"]) == (STYLE, "no-cache")
    again = await client.get(f"/static/test/{name}", headers={"if-none-match": f"W/{answer.headers['etag']}"})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["absent.css", "notes.txt", "..%2F__init__.py", "style.0123456789abcdef.js"])
async def test_nothing_else_of_the_package_is_served(client: httpx2.AsyncClient, name: str) -> None:
    assert (await client.get(f"/static/test/{name}")).status_code == 404


def test_pages_escape_values_and_are_stored_nowhere(static_files: StaticFiles) -> None:
    pages = Templates("pages_of_tests", static_files)
    policy = content_security_policy(style_src=(SELF,), form_action=(SELF,))
    answer = pages.page("page.html", {"title": "<b onclick='x'>"}, policy=policy, status=404)
    expected = f'<link href="{static_files.url("style.css")}"><h1 title=&lt;b onclick=&#39;x&#39;&gt;>'
    assert (answer.status_code, bytes(answer.body).decode()) == (404, expected)
    assert {name: answer.headers[name] for name in ("cache-control", "content-security-policy", "referrer-policy")} == {
        "cache-control": "no-store",
        "content-security-policy": (
            "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; style-src 'self'"
        ),
        "referrer-policy": "same-origin",
    }


def test_a_template_with_an_undefined_name_fails(static_files: StaticFiles) -> None:
    with pytest.raises(UndefinedError):
        Templates("pages_of_tests", static_files).page("page.html", {}, policy="default-src 'none'")
