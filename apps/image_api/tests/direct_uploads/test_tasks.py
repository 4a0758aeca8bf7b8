"""Sessions of uploads that have ended."""

from sqlalchemy import select

from image_core import testing
from image_core.models import upload_session

from ..housekeeping import Tasks


async def test_sessions_are_forgotten_once_their_images_no_longer_wait(tasks: Tasks) -> None:
    team_id = await testing.add_team(tasks.rows)
    waiting, ended = [await testing.add_upload(tasks.rows, team_id) for _ in range(2)]
    await tasks.set_row(ended, status="expired")
    assert (await tasks.sweep())["sessions_forgotten"] == 1
    assert [row["image_id"] for row in await tasks.rows.fetch(select(upload_session))] == [waiting]
