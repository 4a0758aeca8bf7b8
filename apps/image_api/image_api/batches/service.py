"""The rules of batches: chunks of images, each in its own transaction, and one outcome for each image."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from image_api.actor import Actor, Scope
from image_api.analyses import queries as analysis_queries
from image_api.analyses import service as analyses
from image_api.analyses.content import content_key
from image_api.analyses.many import ManyAnalyses, request_many
from image_api.analyses.queries import Order
from image_api.batches import queries
from image_api.batches.actions import apply
from image_api.batches.collecting import collect
from image_api.batches.schemas import BatchAction, NewBatch, OutcomeKind
from image_api.metadata_schemas import service as metadata_schemas
from image_api.metadata_schemas.rules import Declared
from image_api.services import Services
from image_core import errors, events
from image_core.analyses.catalogue import price_credits
from image_core.db import Record, Runner, Transaction

CHUNK = 100
"""How many images one transaction changes."""
_SCOPES: dict[BatchAction, tuple[Scope, ...]] = {
    # With the second one, one's own uploads.
    BatchAction.TRASH: (Scope.IMAGES_DELETE, Scope.IMAGES_WRITE),
    BatchAction.RESTORE: (Scope.IMAGES_DELETE, Scope.IMAGES_WRITE),
    BatchAction.SET_VISIBILITY: (Scope.DELIVERY_MANAGE,),
    BatchAction.ANALYZE: (Scope.ANALYSES_RUN,),
}
_OTHERS = (Scope.IMAGES_WRITE,)


class Outcome(NamedTuple):
    """What became of one image."""

    kind: OutcomeKind
    error: errors.AppError | None = None
    analysis_id: UUID | None = None


@dataclass
class Result:
    """What a batch did, by image; with analyses also their price and the teams that pay."""

    outcomes: dict[UUID, Outcome] = field(default_factory=dict)
    cost: int = 0
    team_ids: set[UUID] = field(default_factory=set)

    def count(self) -> tuple[int, int, int]:
        """Return how many images were changed, needed no change, and failed."""
        counts = Counter(outcome.kind for outcome in self.outcomes.values())
        changed, unchanged = counts[OutcomeKind.CHANGED], counts[OutcomeKind.UNCHANGED]
        return changed, unchanged, len(self.outcomes) - changed - unchanged


class _Validated(Exception):
    """Rolls back what was only to be tried."""


def may_run(actor: Actor, action: BatchAction) -> bool:
    """Return whether the caller has a scope of the action; some images may still be refused."""
    return bool(actor.scopes.intersection(_SCOPES.get(action, _OTHERS)))


async def find_images(
    runner: Runner, actor: Actor, image_ids: Collection[UUID], included: Collection[str]
) -> dict[UUID, Record]:
    """Return those of these images that the caller may see, by id, with the columns of what is included."""
    return await queries.find(runner, actor.visible_team_id, image_ids, frozenset(included))


async def run(services: Services, actor: Actor, batch: NewBatch) -> Result:
    """Do the batch in chunks. If it is interrupted, repeating it does the rest.

    Raises:
        errors.ScopeMissing: The caller lacks the scope of the action.
        errors.AnalyzerUnknown: The analyzer does not exist.
        errors.RequestInvalid: A parameter of the analyzer is not valid.
        errors.VisionNotEnabled: Cloud Vision is not enabled here.
        errors.CollectionNotFound: The collection does not exist.
        errors.DatabaseUnavailable: Chunks before this one are done.
    """
    check_scope(actor, batch.action)
    # A collection gets its images in the order given.
    image_ids = list(dict.fromkeys(batch.ids)) if batch.collection_id else sorted(set(batch.ids))
    order = analyses.build_order(batch.analyzer, batch.parameters) if batch.action is BatchAction.ANALYZE else None
    result = Result()
    for at in range(0, len(image_ids), CHUNK):
        chunk = image_ids[at : at + CHUNK]
        if order is None:
            await _change_chunk(services, actor, chunk, batch, result)
        else:
            await _analyze_chunk(services, actor, chunk, order, result, validate_only=batch.validate_only)
    return result


async def credits_left(services: Services, result: Result) -> int | None:
    """Return the credits of the team whose images were analyzed; None for several teams or none."""
    if len(result.team_ids) != 1:
        return None
    (team_id,) = result.team_ids
    return await analysis_queries.balance(services.database, team_id)


def check_scope(actor: Actor, action: BatchAction) -> None:
    """Check that the caller has a scope of the action.

    Raises:
        errors.ScopeMissing.
    """
    if not may_run(actor, action):
        accepted = _SCOPES.get(action, _OTHERS)
        raise errors.ScopeMissing(
            f"The caller lacks this scope: {accepted[0]}. The action {action} needs it.", missing_scopes=[accepted[0]]
        )


async def _change_chunk(
    services: Services, actor: Actor, image_ids: Sequence[UUID], batch: NewBatch, result: Result
) -> None:
    """Change images in one transaction, which is rolled back if the batch only validates."""
    with suppress(_Validated):
        async with events.committing(services.database, services.publisher) as transaction:
            rows = await queries.lock(transaction, actor.visible_team_id, image_ids)
            if batch.collection_id is not None:
                await _collect(services, transaction, actor, batch.collection_id, image_ids, rows, batch, result)
            else:
                declared = await _declared_fields(transaction, rows.values(), batch)
                for image_id in image_ids:
                    result.outcomes[image_id] = await _change(
                        transaction, actor, rows.get(image_id), batch, declared, services.originals.bucket
                    )
            if batch.validate_only:
                raise _Validated


async def _collect(
    services: Services,
    transaction: Transaction,
    actor: Actor,
    collection_id: UUID,
    image_ids: Sequence[UUID],
    rows: Mapping[UUID, Record],
    batch: NewBatch,
    result: Result,
) -> None:
    """Add locked images to the collection of the batch, or remove them from it."""
    found = [rows[image_id] for image_id in image_ids if image_id in rows]
    # Images that earlier chunks only tried to add would have taken their places.
    tried = result.count()[0] if batch.validate_only else 0
    most = services.settings.images_per_collection
    changed, refused = await collect(transaction, actor, collection_id, batch.action, found, most, tried)
    for image_id in image_ids:
        error = refused.get(image_id) if image_id in rows else errors.ImageNotFound()
        kind = OutcomeKind.CHANGED if image_id in changed else OutcomeKind.UNCHANGED
        result.outcomes[image_id] = Outcome(kind) if error is None else _failed(error)


async def _change(
    transaction: Transaction,
    actor: Actor,
    row: Record | None,
    batch: NewBatch,
    declared: dict[UUID, Declared],
    bucket: str,
) -> Outcome:
    if row is None:
        return _failed(errors.ImageNotFound())
    try:
        changed = await apply(transaction, actor, row, batch, declared.get(row["team_id"], {}), bucket)
    except (errors.Forbidden, errors.Conflict, errors.Invalid) as error:
        # Raised before anything of this image is written, or within a savepoint.
        return _failed(error)
    return Outcome(OutcomeKind.CHANGED if changed else OutcomeKind.UNCHANGED)


async def _declared_fields(transaction: Transaction, rows: Iterable[Record], batch: NewBatch) -> dict[UUID, Declared]:
    """Return the metadata fields that the images' teams declare, if the batch changes metadata."""
    if batch.action is not BatchAction.SET_METADATA:
        return {}
    team_ids = {row["team_id"] for row in rows}
    return {team_id: await metadata_schemas.declared_fields(transaction, team_id) for team_id in team_ids}


async def _analyze_chunk(
    services: Services, actor: Actor, image_ids: Sequence[UUID], order: Order, result: Result, *, validate_only: bool
) -> None:
    rows = await analysis_queries.find_images(services.database, actor.visible_team_id, image_ids)
    images_of: defaultdict[UUID, dict[bytes, UUID]] = defaultdict(dict)
    for image_id in image_ids:
        try:
            content = content_key(rows.get(image_id))
        except errors.AppError as error:
            result.outcomes[image_id] = _failed(error)
        else:
            # Outside the trash, a team has one image of the same bytes.
            images_of[content.team_id][content.sha256] = image_id
    for team_id, images in images_of.items():
        team_order = await analyses.with_team_version(services, team_id, order)
        if validate_only:
            known = await analysis_queries.ids_by_content(services.database, team_id, images, team_order)
            found = ManyAnalyses(known, set(images) - known.keys())
        else:
            found = await request_many(services.database, services.publisher, actor, team_id, list(images), team_order)
        result.team_ids.add(team_id)
        result.cost += len(found.new) * price_credits(team_order.analyzer, team_order.version)
        result.outcomes |= {image_id: _analyzed(found, sha256) for sha256, image_id in images.items()}


def _analyzed(found: ManyAnalyses, sha256: bytes) -> Outcome:
    if sha256 in found.new:
        return Outcome(OutcomeKind.CHANGED, analysis_id=found.known.get(sha256))
    if sha256 in found.known:
        return Outcome(OutcomeKind.UNCHANGED, analysis_id=found.known[sha256])
    return _failed(found.refused or errors.AnalyzerFailed("The analysis failed while it was being requested again."))


def _failed(error: errors.AppError) -> Outcome:
    match error:
        case errors.NotFound():
            return Outcome(OutcomeKind.NOT_FOUND, error)
        case errors.Forbidden():
            return Outcome(OutcomeKind.FORBIDDEN, error)
        case _:
            return Outcome(OutcomeKind.REFUSED, error)
