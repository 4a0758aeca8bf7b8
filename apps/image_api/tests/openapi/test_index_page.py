import pytest

from ..conftest import Api

# As Firefox and Chrome ask for a page.
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(("path", "place"), [("/", "/console"), ("/api/v1", "/docs"), ("/api/v1/", "/docs")])
async def test_a_browser_is_sent_to_pages(api: Api, path: str, place: str) -> None:
    answer = await api.client.get(path, headers={"accept": BROWSER})
    assert (answer.status_code, answer.headers["location"], answer.headers["vary"]) == (307, place, "Accept")
    headers = api.admin.headers if place == "/console" else {}
    assert (await api.client.get(answer.headers["location"], headers=headers)).status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/v1", "/api/v1/"])
@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
async def test_others_are_told_where_things_are(api: Api, path: str, accept: str) -> None:
    answer = await api.client.get(path, headers={"accept": accept})
    assert answer.status_code == 200
    index = answer.json()
    assert {"/api/v1/images", "/api/v1/whoami"} <= set(index["lists"])
    assert not [path for path in index["lists"] if "{" in path]
    for name in ("documentation", "openapi", "health"):
        assert (await api.client.get(index[name])).status_code == 200
