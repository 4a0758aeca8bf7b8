"""What an address opens: its signature first, which costs no query, then time, key, share link, image and presets."""

import time
from collections.abc import Callable
from typing import NamedTuple

from image_core import errors
from image_core.delivery.grant import Address, Grant, ScopeKind, is_signed_by, parse
from image_core.delivery.link_grant import lives_too_long
from image_delivery.grants.images import DeliveredImages
from image_delivery.grants.keys import DeliveryKey, DeliveryKeys
from image_delivery.grants.links import SharedImages
from image_delivery.grants.permits import (
    ImageFailed,
    Permit,
    Rows,
    Unknown,
    check_public,
    linked_image,
    open_public,
    open_signed,
)
from image_delivery.grants.presets import TeamPresets

READY_PATIENCE_SECONDS = 5.0
"""How long a signed request waits for an image that is not ready: browsers never repeat it."""
_MOST_REMEMBERED = 20_000
"""Addresses and stored objects of their images that are remembered as judged: about 16 MiB."""


class _Judged(NamedTuple):
    """What an address opens, by these rows."""

    address: Address
    rows: Rows
    permit: Permit


class Verification:
    """Decides what an address opens."""

    def __init__(
        self,
        keys: DeliveryKeys,
        images: DeliveredImages,
        presets: TeamPresets,
        shared: SharedImages,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.now = now
        self._keys, self._images, self._presets, self._shared = keys, images, presets, shared
        self._judged: dict[str, _Judged] = {}
        self._judged_weight = 0

    async def permit(self, path: str) -> Permit:
        """Return what the path of an address opens.

        Raises:
            Unknown: nothing, and the caller is not told why.
            ImageFailed: correctly signed, and the image has failed.
            errors.AppError: correctly signed, and refused for a reason; or a part is away.
        """
        judged = self._judged.get(path)
        if judged is None or not await self._still_holds(judged):
            judged = await self._judge(path)
            self._remember(path, judged)
        permit = judged.permit
        if permit.linked is None or permit.recipe is not None:
            return permit
        return permit._replace(download_name=await self._shared.name_of(permit.linked))

    async def _still_holds(self, judged: _Judged) -> bool:
        """Tell whether an address would be judged by the same rows as before, so that the answer is the same."""
        permit, former = judged.permit, judged.rows
        if permit.expires_at is not None and self.now() >= permit.expires_at:
            return False
        grant = judged.address.grant
        if grant is not None and await self._keys.find(grant.key_number) is not former.key:
            return False
        if permit.linked is not None and await self._shared.rows.get(permit.linked) is not former.shared:
            return False
        if await self._images.rows.get(permit.image.id) is not former.image:
            return False
        return await self._presets.of(permit.image.team_id) is former.presets

    def _remember(self, path: str, judged: _Judged) -> None:
        # Rows are read again every few seconds, and an address is judged again then: no order of use is worth keeping.
        weight = judged.permit.image.weight
        if self._judged_weight + weight > _MOST_REMEMBERED:
            self._judged.clear()
            self._judged_weight = 0
        self._judged_weight += weight
        self._judged[path] = judged

    async def _judge(self, path: str) -> _Judged:
        address = parse(path)
        if address is None:
            raise Unknown
        if address.grant is None:
            return await self._judge_public(address)
        if not is_signed_by(await self._keys.bytes_of(address.grant.key_number), address):
            raise Unknown
        self._check_time(address.grant)
        key = await self._keys.find(address.grant.key_number)
        if key is None:
            raise Unknown
        return await self._judge_signed(address, key)

    def _check_time(self, grant: Grant) -> None:
        if grant.has_expired(self.now()):
            raise errors.DeliveryExpired("The address has expired. Sign it again.")
        if grant.kind is ScopeKind.LINK and lives_too_long(grant, self.now()):
            raise Unknown

    async def _judge_public(self, address: Address) -> _Judged:
        image = await self._images.rows.get(address.image_id)
        if image is None:
            raise Unknown
        asked = check_public(address, image)
        presets = await self._presets.of(image.team_id)
        return _Judged(address, Rows(None, image, presets), open_public(address, image, asked, presets))

    async def _judge_signed(self, address: Address, key: DeliveryKey) -> _Judged:
        began_at = self._images.rows.clock()
        rows = await self._rows(address, key)
        try:
            return _Judged(address, rows, open_signed(address, rows, self.now()))
        except (Unknown, ImageFailed, errors.Gone, errors.NotFound, errors.Conflict):
            # What was read may be older than the address.
            image_since = began_at
        while True:
            rows = await self._rows_since(address, key, began_at, image_since)
            try:
                return _Judged(address, rows, open_signed(address, rows, self.now()))
            except errors.ImageNotReady:
                image_since = self._images.rows.clock()
                if image_since - began_at >= READY_PATIENCE_SECONDS:
                    raise

    async def _rows(self, address: Address, key: DeliveryKey) -> Rows:
        linked = linked_image(address)
        shared = None if linked is None else await self._shared.rows.get(linked)
        image = await self._images.rows.get(address.image_id)
        presets = {} if image is None else await self._presets.of(image.team_id)
        return Rows(key, image, presets, shared)

    async def _rows_since(self, address: Address, key: DeliveryKey, began_at: float, image_since: float) -> Rows:
        """Return the rows of an address, read since a request began, and the image's since another moment."""
        linked = linked_image(address)
        shared = None if linked is None else await self._shared.rows.get_since(linked, began_at)
        image = await self._images.rows.get_since(address.image_id, image_since)
        presets = {} if image is None else await self._presets.since(image.team_id, began_at)
        return Rows(key, image, presets, shared)
