"""The rules of exports: who may begin one, and what its manifest says."""

import time
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple
from uuid import UUID

from image_api.actor import Actor
from image_api.exports import queries
from image_api.exports.images import EXPORT, why_not_exported
from image_api.exports.schemas import NewExport
from image_api.images.delivery import AddressSigner, signer_of
from image_api.listing import matching
from image_api.listing.filters.conditions import conditions
from image_api.listing.filters.pairs import Filters
from image_api.listing.totals import Total, count_images
from image_api.operations import service as operations
from image_api.operations.items import NewItem
from image_api.services import Services
from image_api.teams import service as teams
from image_core import errors
from image_core.db import Record, Runner, Transaction
from image_core.delivery import grant
from image_core.states import OperationStatus

MOST_LINES = 1000
"""Maximum number of lines in one response."""
GRANT_SECONDS = 3600
"""How long the addresses in a manifest work at least; whoever needs longer reads their lines again."""
_CHUNK = 100


class Preview(NamedTuple):
    """What an export would have.

    Attributes:
        images: how many images match, or of those that are named can be exported now.
        refused: why the others that are named cannot, by id.
    """

    images: Total
    refused: dict[UUID, errors.AppError]


class Manifest(NamedTuple):
    """The rows of some lines of an export, in chunks, and what signs their addresses.

    Attributes:
        chunks: the rows, read while they are sent.
        signer: of the team.
        expiry_minutes: when the addresses expire, in minutes since 1970.
        next_position: position after which the next response goes on; None at the end.
    """

    chunks: AsyncIterator[list[Record]]
    signer: AddressSigner
    expiry_minutes: int
    next_position: int | None


async def begin_export(
    services: Services,
    transaction: Transaction,
    actor: Actor,
    new: NewExport,
    filters: Filters | None,
    team_id: UUID | None,
) -> UUID:
    """Begin an export, and return the operation's id. `filters` are those of the body, checked by their names.

    Images that are named but not the team's become items that fail.

    Raises:
        errors.DeliveryNotConfigured: This deployment issues no delivery addresses.
        errors.TeamRequired, errors.TeamNotFound, errors.TeamBeingRemoved.
        errors.FilterInvalid: A filter is wrong, or there is none.
        errors.CollectionNotFound: The collection does not exist, or belongs to another team.
        errors.TooManyOperations: The team has the maximum of unfinished operations.
    """
    owner_id, _ = await _check(services, transaction, actor, new, filters, team_id)
    if new.filter is not None:
        parameters = {"filter": new.filter, "_filters": matching.pairs_of(new.filter)}
        return await operations.create(transaction, actor, EXPORT, owner_id, parameters)
    named = await _find_named(transaction, owner_id, new)
    items = [
        NewItem(image_id, size_bytes=0 if row is None else row["size_bytes"] or 0) for image_id, row in named.items()
    ]
    return await operations.create(transaction, actor, EXPORT, owner_id, {}, items=items)


async def preview(
    services: Services, actor: Actor, new: NewExport, filters: Filters | None, team_id: UUID | None
) -> Preview:
    """Return what an export would have, and begin nothing.

    Raises:
        errors.AppError: As by `begin_export`.
    """
    owner_id, limited = await _check(services, services.database, actor, new, filters, team_id)
    if limited is not None:
        names, values = await conditions(services.database, actor, *limited)
        return Preview(await count_images(services.database, frozenset(names), values), {})
    named = await _find_named(services.database, owner_id, new)
    reasons = {image_id: why_not_exported(row) for image_id, row in named.items()}
    refused = {image_id: error for image_id, error in reasons.items() if error is not None}
    return Preview(Total(len(named) - len(refused), at_least=False), refused)


async def _check(
    services: Services, runner: Runner, actor: Actor, new: NewExport, filters: Filters | None, team_id: UUID | None
) -> tuple[UUID, Filters | None]:
    """Return the team of an export, and its filters limited to that team; None if its images are named."""
    if services.settings.delivery_url is None:
        raise errors.DeliveryNotConfigured
    owner_id = await teams.receiving_team(runner, actor, team_id)
    if new.filter is None or filters is None:
        return owner_id, None
    return owner_id, await matching.check(runner, actor, new.filter, filters, owner_id)


async def _find_named(runner: Runner, team_id: UUID, new: NewExport) -> dict[UUID, Record | None]:
    """Return the images that an export names, each once, in its order; None for those that the team does not have."""
    image_ids = new.image_ids or []
    found = await queries.find_many(runner, team_id, image_ids)
    return {image_id: found.get(image_id) for image_id in image_ids}


async def read_manifest(
    services: Services,
    actor: Actor,
    operation_id: UUID,
    after_position: int,
    limit: int,
    now: Callable[[], float] = time.time,
) -> Manifest:
    """Return the next lines of an export's manifest, at most `limit`, with addresses that are signed now.

    Raises:
        errors.OperationNotFound: There is no such export, or it is another team's.
        errors.ExportNotFinished: It has not succeeded.
        errors.DeliveryNotConfigured, errors.MasterSecretUnavailable, errors.DatabaseUnavailable.
    """
    operation = await operations.get_operation(services.database, actor, operation_id)
    if operation["kind"] != EXPORT:
        raise errors.OperationNotFound("The operation is no export.")
    if operation["status"] != OperationStatus.SUCCEEDED:
        raise errors.ExportNotFinished(
            f"There is a manifest once the export has succeeded: its status is {operation['status']}.",
            operation_status=operation["status"],
        )
    signer = await signer_of(services, await services.team_delivery.get(operation["team_id"]))
    if signer is None:
        raise errors.DeliveryNotConfigured
    last = min(after_position + limit, operation["total"])
    expiry = grant.expiry_of(now(), GRANT_SECONDS)
    chunks = _chunks(services, operation, after_position, last)
    return Manifest(chunks, signer, expiry, last if last < operation["total"] else None)


async def _chunks(
    services: Services, operation: Record, after_position: int, last_position: int
) -> AsyncIterator[list[Record]]:
    for first in range(after_position, last_position, _CHUNK):
        last = min(first + _CHUNK, last_position)
        yield await queries.lines(services.database, operation["id"], operation["team_id"], first, last)
