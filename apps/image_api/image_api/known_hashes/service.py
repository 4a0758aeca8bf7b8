"""The rules of checks of hashes."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from image_api.known_hashes import queries
from image_api.known_hashes.schemas import HashState
from image_api.services import Services
from image_core.images.removal import purged_hashes


class Known(NamedTuple):
    """What a team knows of a file; `purged_at` belongs to `purged`, the image to the other states."""

    state: HashState
    image_id: UUID | None = None
    status: str | None = None
    purged_at: datetime | None = None


_ABSENT = Known(HashState.ABSENT)


async def check(services: Services, team_id: UUID, digests: Collection[bytes]) -> dict[bytes, Known]:
    """Return what a team knows of each file.

    Raises:
        errors.MasterSecretUnavailable: The secret of the purged hashes cannot be read.
    """
    known: dict[bytes, Known] = {}
    for sha256, row in (await queries.find_images(services.database, team_id, digests)).items():
        if row["purge_marked_at"] is not None:
            # It is about to be purged, and cannot be restored.
            known[sha256] = Known(HashState.PURGED, purged_at=row["purge_marked_at"])
        else:
            state = HashState.PRESENT if row["deleted_at"] is None else HashState.TRASHED
            known[sha256] = Known(state, row["id"], row["status"])
    missing = [sha256 for sha256 in digests if sha256 not in known]
    if missing and services.purged_hash_master is not None:
        master = await services.purged_hash_master.get()
        purged = await purged_hashes.find(services.database, master, team_id, missing)
        known |= {sha256: Known(HashState.PURGED, purged_at=at) for sha256, at in purged.items()}
    return {sha256: known.get(sha256, _ABSENT) for sha256 in digests}
