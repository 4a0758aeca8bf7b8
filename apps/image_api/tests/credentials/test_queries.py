"""How many credentials are locked for one that is rotated."""

from typing import Any

from image_api.credentials import queries
from image_core import testing
from image_core.db import Database


async def test_one_credential_of_several_is_locked(rows: Database) -> None:
    counts = []

    class Counting:
        async def fetch_one(self, statement: Any) -> Any:
            found = await rows.fetch(statement)
            counts.append(len(found))
            return found[0]

    team_id = await testing.add_team(rows)
    first = await testing.add_user(rows, team_id)
    await testing.add_key(rows, first.user_id, team_id)
    found = await queries.lock_live(Counting(), first.user_id, None)  # type: ignore[arg-type]
    assert found is not None
    assert (found["id"], counts) == (first.credential_id, [1])
