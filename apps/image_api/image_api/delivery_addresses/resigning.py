"""Renewal of stored addresses: those that have expired or whose key or master was replaced, but no forged ones."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from image_api.actor import Actor
from image_api.delivery_addresses import queries
from image_api.delivery_addresses.service import Refused, Team, deliverable, file_of, teams_of
from image_api.images.delivery import DEFAULT_EXPIRES_IN_SECONDS
from image_api.services import Services
from image_core import errors
from image_core.db import Record
from image_core.delivery import grant
from image_core.delivery.grant import Address, ScopeKind
from image_core.delivery.spec import PresetSpec, SpecInvalid, parse
from image_core.keys.master_secrets import Masters

BATCH = 500
"""Addresses that share one query for images and one for keys."""


async def resign(
    services: Services, actor: Actor, urls: Sequence[str], now: Callable[[], float] = time.time
) -> AsyncIterator[dict[str, Any]]:
    """Return `{url, new_url}` or `{url, error}` for each address, in order.

    A fault of the database or of Secret Manager is the error of the addresses that it concerns, because the response
    has begun.

    Raises:
        errors.DeliveryNotConfigured, errors.MasterSecretUnavailable: before the first item.
    """
    await teams_of(services, ())
    assert services.delivery_master is not None  # noqa: S101 (teams_of has checked it)
    masters = await services.delivery_master.get_with_previous()

    async def items() -> AsyncIterator[dict[str, Any]]:
        for at in range(0, len(urls), BATCH):
            for item in await _batch(services, actor, masters, urls[at : at + BATCH], now()):
                yield item

    return items()


async def _batch(
    services: Services, actor: Actor, masters: Masters, urls: Sequence[str], now_seconds: float
) -> list[dict[str, Any]]:
    addresses = [_signed_address(url, masters) for url in urls]
    genuine = [address for address in addresses if address is not None]
    try:
        team_id = actor.visible_team_id
        rows = await queries.find_images(services.database, team_id, {address.image_id for address in genuine})
        numbers = {address.grant.key_number for address in genuine if address.grant is not None}
        owners = await queries.teams_of_keys(services.database, team_id, numbers)
        teams = await teams_of(services, {row["team_id"] for row in rows.values()})
    except errors.Unavailable as unavailable:
        return [{"url": url, "error": Refused(unavailable).body()} for url in urls]
    found: list[dict[str, Any]] = []
    for url, address in zip(urls, addresses, strict=True):
        try:
            found.append({"url": url, "new_url": _renewed(address, rows, owners, teams, now_seconds)})
        except Refused as refused:
            found.append({"url": url, "error": refused.body()})
    return found


def _signed_address(url: str, masters: Masters) -> Address | None:
    """Return the parts of an address that one of our keys signed, in whatever state that key is; else None.

    What the previous master signed is shown no more but renewed, like what a retired key signed.
    """
    try:
        path = urlsplit(url).path
    except ValueError:
        return None
    address = grant.parse(path)
    if address is None or address.grant is None:
        return None
    keys = (grant.key_bytes(master, address.grant.key_number) for master in masters if master is not None)
    return address if any(grant.is_signed_by(key, address) for key in keys) else None


def _renewed(
    address: Address | None,
    rows: Mapping[UUID, Record],
    owners: Mapping[int, UUID],
    teams: Mapping[UUID, Team],
    now_seconds: float,
) -> str:
    if address is None or address.grant is None or address.grant.kind is ScopeKind.LINK:
        raise Refused(
            errors.DeliveryAddressInvalid("Only addresses that a delivery key of the team signed are renewed.")
        )
    owner_id = owners.get(address.grant.key_number)
    if owner_id is None:
        raise Refused(
            errors.DeliveryAddressInvalid("Only addresses that a delivery key of the team signed are renewed.")
        )
    row, tag = deliverable(rows.get(address.image_id))
    if row["team_id"] != owner_id:
        raise Refused(errors.ImageNotFound())
    if tag != address.tag:
        raise Refused(errors.DeliveryRevoked("The addresses of the image were revoked, or its file was replaced."))
    team = teams[owner_id]
    file = _present_file(address, team)
    # An address that never expires is renewed as one.
    lifetime = DEFAULT_EXPIRES_IN_SECONDS if address.grant.expiry_minutes else None
    expiry = grant.expiry_of(now_seconds, lifetime)
    if address.grant.kind is ScopeKind.EXACT:
        return team.signer.exact(row["id"], tag, file, expiry)
    return f"{team.signer.presets(row['id'], tag, expiry)}/{file}"


def _present_file(address: Address, team: Team) -> str:
    """Return the last part of the address, with the current hash of its preset."""
    try:
        parsed = parse(address.spec)
    except SpecInvalid:
        parsed = None
    spec = parsed.name if isinstance(parsed, PresetSpec) else address.spec
    return file_of(team.presets, spec, address.extension)
