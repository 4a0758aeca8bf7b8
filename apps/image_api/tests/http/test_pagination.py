from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_api.http.pagination import Cursor, decode_cursor, next_cursor
from image_core import errors

from ..conftest import Api

times = st.datetimes(timezones=st.just(UTC))
cursors = st.builds(Cursor, times, st.uuids())


@given(cursors)
def test_a_cursor_comes_back_as_it_was(cursor: Cursor) -> None:
    assert decode_cursor(cursor.encode()) == cursor


@given(cursors)
def test_a_cursor_needs_no_quoting_in_a_url(cursor: Cursor) -> None:
    assert cursor.encode().replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=100))
def test_what_we_did_not_write_is_refused(text: str) -> None:
    try:
        cursor = decode_cursor(text)
    except errors.CursorInvalid:
        return
    assert cursor.encode() == text


@given(cursors, st.integers(0, 31), st.characters(codec="ascii"))
def test_a_cursor_that_was_changed_is_refused_or_another_one(cursor: Cursor, at: int, other: str) -> None:
    text = cursor.encode()
    changed = text[:at] + other + text[at + 1 :]
    try:
        assert (decode_cursor(changed) == cursor) == (changed == text)
    except errors.CursorInvalid:
        assert changed != text


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
def test_there_is_a_next_page_only_where_one_row_too_many_came(rows: int) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    found: list[Any] = [{"created_at": start - timedelta(n), "id": UUID(int=n)} for n in range(rows)]
    cursor = next_cursor(found, 2)
    assert (cursor is not None) == (rows > 2)
    if cursor:
        assert decode_cursor(cursor).row_id == UUID(int=1)


@pytest.mark.parametrize("path", ["/api/v1/teams", "/api/v1/teams/{team_id}/users", "/api/v1/images"])
@pytest.mark.parametrize(("parameter", "value"), [("limit", 0), ("limit", 201), ("cursor", "nonsense")])
async def test_every_list_has_the_same_bounds(api: Api, path: str, parameter: str, value: Any) -> None:
    url = path.format(team_id=await api.team())
    answer = await api.client.get(url, headers=api.admin.headers, params={parameter: value})
    expected = (400, "cursor-invalid") if parameter == "cursor" else (422, "request-invalid")
    assert (answer.status_code, answer.json()["code"]) == expected


@pytest.mark.parametrize("path", ["/api/v1/teams", "/api/v1/teams/{team_id}/users"])
async def test_pages_of_people_and_teams_cover_everything_once(api: Api, path: str) -> None:
    team_id = await api.team()
    for _ in range(4):
        await api.user(team_id)
        await api.team()
    seen: list[str] = []
    parameters: dict[str, Any] = {"limit": 2}
    while True:
        answer = await api.client.get(path.format(team_id=team_id), headers=api.admin.headers, params=parameters)
        seen += [each["id"] for each in answer.json()["items"]]
        if answer.json()["next_cursor"] is None:
            break
        parameters["cursor"] = answer.json()["next_cursor"]
    whole = await api.client.get(path.format(team_id=team_id), headers=api.admin.headers)
    assert seen == [each["id"] for each in whole.json()["items"]]
    assert len(seen) >= 4
