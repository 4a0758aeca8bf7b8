"""Hashes of purged files, so that a team can tell that a file was deleted on purpose before it is uploaded again.

A file is remembered by an HMAC of its SHA-256: whoever reads the table without the secret cannot test whether a team
ever had a given file.
"""

import hmac
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import LargeBinary, Uuid, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from image_core.db import Query, Runner, Transaction
from image_core.keys.derived_secrets import derive
from image_core.models import purged_hash

REMEMBERED_FOR = timedelta(days=90)
_KEY = "purged-hash"

_inserted = insert(purged_hash).values(
    team_id=bindparam("owner_id", type_=Uuid), keyed_hash=bindparam("digest", type_=LargeBinary)
)
_remember = Query(
    _inserted.on_conflict_do_update(
        index_elements=[purged_hash.c.team_id, purged_hash.c.keyed_hash], set_={"purged_at": func.now()}
    )
)
_find = Query(
    select(purged_hash.c.keyed_hash, purged_hash.c.purged_at).where(
        purged_hash.c.team_id == bindparam("team_id"),
        purged_hash.c.keyed_hash == func.any(bindparam("digests", type_=ARRAY(LargeBinary))),
        purged_hash.c.purged_at > func.now() - REMEMBERED_FOR,
    )
)


def _keyed_hash(key: bytes, team_id: UUID, sha256: bytes) -> bytes:
    # With the team, so that rows of two teams do not show that they had the same file.
    return hmac.digest(key, team_id.bytes + sha256, "sha256")


async def remember(transaction: Transaction, master: bytes, team_id: UUID, sha256: bytes) -> None:
    """Remember that a file of a team was purged now."""
    digest = _keyed_hash(derive(master, _KEY), team_id, sha256)
    await transaction.execute(_remember, owner_id=team_id, digest=digest)


async def find(runner: Runner, master: bytes, team_id: UUID, digests: Collection[bytes]) -> Mapping[bytes, datetime]:
    """Return when files of a team were purged, by SHA-256; those that were not, or long ago, are left out."""
    key = derive(master, _KEY)
    by_keyed_hash = {_keyed_hash(key, team_id, sha256): sha256 for sha256 in digests}
    rows = await runner.fetch(_find, team_id=team_id, digests=list(by_keyed_hash))
    return {by_keyed_hash[row["keyed_hash"]]: row["purged_at"] for row in rows}
