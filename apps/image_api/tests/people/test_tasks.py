"""What is left of signing in."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, insert, select

from image_core import models, testing
from image_core.ids import new_id

from ..housekeeping import Tasks


async def test_what_is_left_of_signing_in_goes_after_its_time(tasks: Tasks) -> None:
    person = await testing.add_user(tasks.rows, await testing.add_team(tasks.rows))
    now = datetime.now(UTC)
    tables = (models.invitation, models.password_reset, models.session, models.sign_in_delay)
    for seed, moment in enumerate((now - timedelta(days=31), now + timedelta(days=1))):
        token_hash, subject = testing.a_sha256(seed), testing.a_sha256(("delay", seed))
        of_user = {"user_id": person.user_id, "token_hash": token_hash, "expires_at": moment}
        invited = {"team_id": person.team_id, "email": "ada@example.org", "role": "member", "token_hash": token_hash}
        failed = {"subject": subject, "failures": 1, "blocked_until": now, "last_failed_at": moment}
        rows = (
            {"id": new_id(), **invited, "expires_at": moment},
            {"id": new_id(), **of_user},
            {"id": new_id(), **of_user},
        )
        for table, row in zip(tables, (*rows, failed), strict=True):
            await tasks.rows.execute(insert(table).values(**row))
    assert (await tasks.sweep())["old_sign_ins"] == 4
    counts = [await tasks.rows.fetch_value(select(func.count()).select_from(table)) for table in tables]
    assert counts == [1, 1, 1, 1]
