"""Batches that are operations: of what a filter matches, of more than 1,000 images, or with a budget."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from image_api.actor import Actor
from image_api.analyses import service as analyses
from image_api.analyses.queries import Order
from image_api.batches import queries
from image_api.batches.estimates import ANALYSES, CHANGES, SECONDS_PER_ANALYSIS, SECONDS_PER_CHANGE, to_items
from image_api.batches.schemas import BatchAction, NewBatch
from image_api.batches.service import check_scope
from image_api.collections import service as collections
from image_api.listing import matching
from image_api.listing.filters.conditions import conditions
from image_api.listing.filters.pairs import Filters
from image_api.listing.totals import Total, count_images
from image_api.metadata_schemas import service as metadata_schemas
from image_api.metadata_schemas.rules import validate_patch
from image_api.operations import service as operations
from image_api.operations.items import NewItem
from image_api.services import Services
from image_api.teams import service as teams
from image_core import errors, events
from image_core.analyses.catalogue import price_credits
from image_core.db import Runner

_PAGE = 1000


class Estimate(NamedTuple):
    """What a batch would take: how many images, and their price if none has a stored result."""

    images: Total
    credits: int


class _Plan(NamedTuple):
    """A batch that has been checked: its team, what it analyzes, and the names and values of its filters."""

    team_id: UUID
    order: Order | None
    pairs: list[tuple[str, str]]
    filters: Filters | None


async def begin_operation(
    services: Services, actor: Actor, batch: NewBatch, filters: Filters | None, team_id: UUID | None
) -> UUID:
    """Begin the operation of a batch, and return its id. `filters` are those of the batch, checked by their names.

    Raises:
        errors.ScopeMissing, errors.TeamRequired, errors.TeamNotFound, errors.TeamBeingRemoved.
        errors.TooManyOperations: The team has the maximum of unfinished operations.
        errors.FilterUnknown, errors.FilterInvalid: A filter is wrong, or there is none.
        errors.AnalyzerUnknown, errors.VisionNotEnabled, errors.CollectionNotFound, errors.RequestInvalid.
    """
    plan = await _check(services, actor, batch, filters, team_id)
    asked = {"action", *batch.model_fields_set} - {"ids", "budget", "validate_only"}
    parameters = batch.model_dump(mode="json", include=asked)
    kind, seconds = CHANGES, SECONDS_PER_CHANGE
    if plan.order is not None:
        kind, seconds = ANALYSES, SECONDS_PER_ANALYSIS
        parameters["_order"] = [*plan.order[:3], plan.order.parameters_hash.hex()]
    parameters |= {"_filters": plan.pairs, "_images_per_collection": services.settings.images_per_collection}
    items = None if batch.filter is not None else await _items_of(services.database, plan, batch.ids)
    async with events.committing(services.database, services.publisher) as transaction:
        return await operations.create(
            transaction, actor, kind, plan.team_id, parameters, items=items, budget=batch.budget,
            seconds_per_item=seconds,
        )  # fmt: skip


async def estimate(
    services: Services, actor: Actor, batch: NewBatch, filters: Filters | None, team_id: UUID | None
) -> Estimate:
    """Return what the operation of a batch would take, and begin nothing.

    Raises:
        errors.AppError: As by `begin_operation`.
    """
    plan = await _check(services, actor, batch, filters, team_id)
    total = Total(len(set(batch.ids)), at_least=False)
    if plan.filters is not None:
        names, values = await conditions(services.database, actor, *plan.filters)
        total = await count_images(services.database, frozenset(names), values)
    price = 0 if plan.order is None else price_credits(plan.order.analyzer, plan.order.version)
    return Estimate(total, price * total.number)


async def _check(
    services: Services, actor: Actor, batch: NewBatch, filters: Filters | None, team_id: UUID | None
) -> _Plan:
    """Check what would fail for every image, before anything begins."""
    check_scope(actor, batch.action)
    owner_id = await teams.receiving_team(services.database, actor, team_id)
    pairs = []
    if batch.filter is not None and filters is not None:
        pairs = matching.pairs_of(batch.filter)
        filters = await matching.check(services.database, actor, batch.filter, filters, owner_id)
    order = None
    match batch.action:
        case BatchAction.ANALYZE:
            order = analyses.build_order(batch.analyzer, batch.parameters)
            order = await analyses.with_team_version(services, owner_id, order)
        case BatchAction.SET_METADATA:
            validate_patch(await metadata_schemas.declared_fields(services.database, owner_id), batch.metadata)
        case BatchAction.ADD_TO_COLLECTION | BatchAction.REMOVE_FROM_COLLECTION if batch.collection_id is not None:
            if await collections.team_of(services.database, actor, batch.collection_id) != owner_id:
                raise errors.CollectionNotFound
        case _:
            pass
    return _Plan(owner_id, order, pairs, filters)


async def _items_of(runner: Runner, plan: _Plan, image_ids: Sequence[UUID]) -> list[NewItem]:
    """Return the items of these images in their order, the absent ones included."""
    chosen, items = list(dict.fromkeys(image_ids)), []
    for at in range(0, len(chosen), _PAGE):
        page = chosen[at : at + _PAGE]
        found = await queries.find_files(runner, plan.team_id, page)
        known = {item.image_id: item for item in await to_items(runner, plan.team_id, found.values(), plan.order)}
        items += [known.get(image_id) or NewItem(image_id) for image_id in page]
    return items
