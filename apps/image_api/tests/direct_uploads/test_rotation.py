"""Rotations of the master secret of direct uploads, while uploads are open."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from image_core import admin
from image_core.keys import master_secrets

from ..conftest import Api, MakeApi
from .test_direct_uploads import FILE, SIZE, UPLOADS, begin, seen, send

SECRET = "projects/p/secrets/upload-session-master"
PIECE = 262_144


@pytest.fixture
async def rotating(
    make_api: MakeApi, secret_manager: Any, urls: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Api]:
    secret_manager.versions[SECRET] = [master_secrets.generate()]
    monkeypatch.setenv("DATABASE_URL", urls.owner)
    monkeypatch.setenv("UPLOAD_SESSION_MASTER_SECRET", SECRET)
    async with make_api(upload_session_master=None, upload_session_master_secret=SECRET) as api:
        yield api


async def rotate(api: Api, *options: str) -> None:
    admin.main(["rotate-upload-session-master", *options])
    # As every instance does within five minutes.
    assert api.services.upload_session_master is not None
    await api.services.upload_session_master._attempt()


async def test_open_uploads_go_on_after_a_rotation(rotating: Api) -> None:
    member = await rotating.user()
    opened, cancelled = await begin(rotating, member), await begin(rotating, member)
    assert await send(opened["url"], FILE[:PIECE], f"0-{PIECE - 1}") == 308
    await rotate(rotating)
    assert (await seen(rotating, member, opened["upload_id"]))["received_bytes"] == PIECE
    assert await send(opened["url"], FILE[PIECE:], f"{PIECE}-{SIZE - 1}") == 200
    await rotating.client.delete(f"{UPLOADS}/{cancelled['upload_id']}", headers=member.headers)
    assert await send(cancelled["url"], FILE) in (404, 410, 499)
    later = await begin(rotating, member)
    assert (await seen(rotating, member, later["upload_id"]))["received_bytes"] == 0


async def test_a_second_rotation_waits_for_the_uploads_that_it_would_forget(rotating: Api, secret_manager: Any) -> None:
    member = await rotating.user()
    opened = await begin(rotating, member)
    await rotate(rotating)
    with pytest.raises(SystemExit, match="1 open uploads were opened with the master secret before"):
        await rotate(rotating)
    assert len(secret_manager.versions[SECRET]) == 2
    await rotate(rotating, "--force")
    told = await seen(rotating, member, opened["upload_id"])
    assert (told["state"], told["received_bytes"]) == ("open", None)
    # Who has the address can still send.
    assert await send(opened["url"], FILE) == 200


async def test_a_second_rotation_waits_for_no_upload_of_the_current_master(rotating: Api, secret_manager: Any) -> None:
    member = await rotating.user()
    ended = await begin(rotating, member)
    await rotate(rotating)
    await rotating.client.delete(f"{UPLOADS}/{ended['upload_id']}", headers=member.headers)
    later = await begin(rotating, member)
    # Instances may encrypt with the master before for five minutes.
    await rotating.set_row(later["upload_id"], created_at=datetime.now(UTC) + timedelta(minutes=6))
    await rotate(rotating)
    assert len(secret_manager.versions[SECRET]) == 3


def test_a_rotation_needs_a_secret(urls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", urls.owner)
    with pytest.raises(SystemExit, match="UPLOAD_SESSION_MASTER_SECRET"):
        admin.main(["rotate-upload-session-master"])
