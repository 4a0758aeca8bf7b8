"""Delivery keys: whose a number is, and what it is good for. Their bytes follow from the master secret."""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select

from image_core.db import Database, Query
from image_core.delivery.grant import key_bytes
from image_core.keys.master_secrets import MasterSecret
from image_core.models import delivery_key
from image_core.states import DeliveryKeyState
from image_delivery.grants.lookups import Lookups

_all_keys = Query(select(delivery_key.c.number, delivery_key.c.team_id, delivery_key.c.state))
_MOST_DERIVED = 4096


class DeliveryKey(NamedTuple):
    """The team of a delivery key, and its state."""

    team_id: UUID
    state: DeliveryKeyState

    @property
    def is_retired(self) -> bool:
        """Tell whether what it signed is no longer good."""
        return self.state is DeliveryKeyState.RETIRED


class DeliveryKeys:
    """All delivery keys of the installation, read in one query whatever numbers are asked for."""

    def __init__(self, database: Database, master: MasterSecret, outage_seconds: float) -> None:
        self._database, self._master = database, master
        self._rows: Lookups[None, dict[int, DeliveryKey]] = Lookups(
            self._read, outage_seconds=outage_seconds, most_kept=1
        )

    async def bytes_of(self, number: int) -> bytes:
        """Return the 32 bytes that a number's signatures are made with, whether the number was given out or not.

        Raises:
            errors.MasterSecretUnavailable: the master secret has not been read yet.
        """
        return _derived(await self._master.get(), number)

    async def find(self, number: int) -> DeliveryKey | None:
        """Return the key of a number; None where none was given out.

        Call it for numbers that a good signature names: those that are not known are read again, as a team signs with
        its first key at once.

        Raises:
            errors.DatabaseUnavailable: keys were never read, or too long ago.
        """
        began_at = self._rows.clock()
        key = (await self.read()).get(number)
        return key or (await self._rows.get_since(None, began_at) or {}).get(number)

    async def read(self) -> dict[int, DeliveryKey]:
        """Return all keys by number; raises what `find` raises."""
        return await self._rows.get(None) or {}

    async def _read(self, _: Collection[None]) -> Mapping[None, dict[int, DeliveryKey]]:
        rows = await self._database.fetch(_all_keys)
        return {None: {row[0]: DeliveryKey(row[1], DeliveryKeyState(row[2])) for row in rows}}


@lru_cache(maxsize=_MOST_DERIVED)
def _derived(master: bytes, number: int) -> bytes:
    return key_bytes(master, number)
