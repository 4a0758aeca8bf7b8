"""Answers that are kept no longer."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select

from image_core import testing
from image_core.models import (
    idempotency_key,
)

from ..housekeeping import PAST, Tasks


async def test_answers_go_once_nobody_may_ask_for_them_again(tasks: Tasks) -> None:
    owner = await testing.add_user(tasks.rows, await testing.add_team(tasks.rows))
    for key, expires_at in (("old", PAST), ("young", datetime.now(UTC) + timedelta(hours=1))):
        answer = {"fingerprint": b"x", "status": 201, "headers": "{}", "body": b"{}", "expires_at": expires_at}
        await tasks.rows.execute(insert(idempotency_key).values(user_id=owner.user_id, key=key, **answer))
    assert (await tasks.sweep())["old_answers"] == 1
    assert await tasks.rows.fetch_value(select(idempotency_key.c.key)) == "young"
