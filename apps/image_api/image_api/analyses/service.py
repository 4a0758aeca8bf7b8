"""The rules of analyses: what is stored is given again, everything else is asked of the processor and paid once."""

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import ValidationError

from image_api.actor import Actor
from image_api.analyses import queries
from image_api.analyses.queries import Bytes, Order, Scratch
from image_api.http.pagination import Cursor
from image_api.http.validation import request_invalid
from image_api.lookups.analyzer_models import AnalyzerModel
from image_api.services import Services
from image_core import errors, events
from image_core.analyses.catalogue import (
    CATALOGUE,
    VISION_MODEL,
    VISION_VERSION,
    AnalyzerSpec,
    canonical_parameters,
    price_credits,
)
from image_core.billing import credits
from image_core.db import Record, Runner, Transaction, to_json
from image_core.ids import new_id
from image_core.states import HOLDS_BYTES, AnalysisStatus, ImageStatus, LabelSource
from image_core.telemetry import current_request, log

_OVER = (AnalysisStatus.DONE, AnalysisStatus.FAILED)
_SOURCE_FAILURES: dict[str, type[errors.Unavailable]] = {
    kind.code: kind for kind in (errors.ModelMissing, errors.ModelBroken, errors.VisionRefused)
}


class Asked(NamedTuple):
    """An analysis as the caller gets it: the row, whether it was stored before, and what it cost."""

    row: Record
    cached: bool
    spent: int
    left: int


async def analyze(
    services: Services, actor: Actor, image_id: UUID, analyzer: str, parameters: Mapping[str, Any], wait_seconds: float
) -> Asked:
    """Gives what is stored, or asks for it and waits for a while.

    Raises:
        errors.ImageNotFound, errors.ImageNotReady, errors.ImageNotDecodable, errors.AnalyzerUnknown,
        errors.RequestInvalid, errors.CreditsExhausted, errors.AnalyzerFailed, errors.ModelMissing,
        errors.ModelBroken, errors.VisionRefused, errors.VisionNotEnabled.
    """
    order = order_of(analyzer, parameters)
    of = await find_bytes(services.database, actor, image_id)
    order = await of_the_team(services, of.team_id, order)
    return await ask(services, actor, of, order, wait_seconds)


def find_analyzer(name: str) -> AnalyzerSpec:
    """An analyzer by its name. Raises `errors.AnalyzerUnknown`."""
    if name not in CATALOGUE:
        nearest = difflib.get_close_matches(name, CATALOGUE, n=1, cutoff=0.5)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise errors.AnalyzerUnknown(f"Unknown analyzer {name!r}.{hint}", known=sorted(CATALOGUE))
    return CATALOGUE[name]


def order_of(analyzer: str, parameters: Mapping[str, Any]) -> Order:
    """What is asked, with every default filled in; `of_the_team` says of which version.

    Raises:
        errors.AnalyzerUnknown, errors.RequestInvalid.
    """
    spec = find_analyzer(analyzer)
    try:
        values, digest = canonical_parameters(spec, parameters)
    except ValidationError as error:
        raise request_invalid(error.errors(), model=spec.parameters, within="parameters") from error
    return Order(spec.name, spec.version, to_json(values), digest)


async def find_bytes(runner: Runner, actor: Actor, image_id: UUID) -> Bytes:
    """The bytes of an image. Raises `errors.ImageNotFound`, `errors.ImageNotReady`, `errors.ImageNotDecodable`."""
    row = await queries.find_image(runner, actor.visible_team_id, image_id)
    if row is None:
        raise errors.ImageNotFound
    if row["deleted_at"] is not None:
        raise errors.ImageNotFound("The image is in the trash. Restore it first.")
    if row["status"] not in HOLDS_BYTES:
        raise errors.ImageNotReady(f"The image's bytes have not arrived: its status is {row['status']}.")
    if row["status"] == ImageStatus.FAILED:
        raise errors.ImageNotDecodable(row["failure_message"] or "", reason=row["failure_code"])
    return Bytes(row["team_id"], row["sha256"])


async def ask(
    services: Services, actor: Actor, of: Bytes, order: Order, wait_seconds: float, scratch: Scratch | None = None
) -> Asked:
    """Finds the analysis of these bytes, or asks for it; waits until it is over or the time is.

    `scratch` becomes the processor's to remove; where it turns out not to be needed, it is removed here.
    """
    row, spent = await queries.find_of_bytes(services.database, of, order), 0
    cached = row is not None and row["status"] == AnalysisStatus.DONE
    if row is None:
        row, spent = await _request(services, actor, of, order, scratch)
    else:
        await _remove(services, scratch)
    row = await _wait(services, of.team_id, row, wait_seconds)
    if row["status"] == AnalysisStatus.FAILED:
        raise failure_of(row)
    return Asked(row, cached, spent, await queries.balance(services.database, of.team_id))


async def answering(services: Services, team_id: UUID | None, analyzer: str) -> AnalyzerModel:
    """What answers an analyzer now, for a team or for none in particular."""
    if (
        team_id is not None
        and analyzer == CATALOGUE["labels"].name
        and await queries.label_source(services.database, team_id) == LabelSource.VISION
    ):
        return AnalyzerModel(VISION_VERSION, VISION_MODEL)
    return await services.analyzer_models.of(analyzer)


async def of_the_team(services: Services, team_id: UUID, order: Order) -> Order:
    """The same, under the version of whoever answers the team. Raises `errors.VisionNotEnabled`."""
    version = (await answering(services, team_id, order.analyzer)).version
    if version == VISION_VERSION and not services.settings.vision_enabled:
        raise errors.VisionNotEnabled(
            "The team's label source is Cloud Vision, which is disabled here. Choose another label source."
        )
    return order._replace(version=version)


class _AskedMeanwhile(Exception):
    """Somebody else was first; their row is as good as ours, and paid by them."""


async def _request(
    services: Services, actor: Actor, of: Bytes, order: Order, scratch: Scratch | None
) -> tuple[Record, int]:
    """Asks for an analysis, unless somebody else has meanwhile; returns the row and what it cost."""
    price = price_credits(order.analyzer, order.version)
    try:
        async with events.committing(services.database, services.publisher) as transaction:
            return await _write_request(transaction, actor, of, order, price, scratch), price
    except (_AskedMeanwhile, errors.CreditsExhausted) as error:
        # After any other error it is not known whether the row was written.
        await _remove(services, scratch)
        if isinstance(error, errors.CreditsExhausted):
            raise
        row = await queries.find_of_bytes(services.database, of, order)
    if row is None:
        raise errors.AnalyzerFailed("The analysis failed while it was being requested again. Try again.")
    return row, 0


async def _remove(services: Services, scratch: Scratch | None) -> None:
    """Removes an object that no row names; what cannot be removed now goes with its day."""
    if scratch is None:
        return
    try:
        await services.scratch.delete(scratch.object_name, scratch.generation)
    except errors.StorageUnavailable:
        log("scratch_object_left", severity="WARNING", object_name=scratch.object_name)


async def _write_request(
    transaction: Transaction, actor: Actor, of: Bytes, order: Order, price: int, scratch: Scratch | None
) -> Record:
    """Write the request with its message and reserve the price.

    Raises:
        _AskedMeanwhile: Somebody else was first. Whatever was written is undone.
        errors.CreditsExhausted: Likewise.
    """
    context = current_request.get()
    trace_parent = context.trace_parent if context else None
    reservation_id = new_id()
    row = await queries.add(
        transaction, of, order, reservation_id, requested_by=actor.user_id, trace_parent=trace_parent,
        scratch_object=scratch.object_name if scratch else None,
        scratch_generation=scratch.generation if scratch else None,
    )  # fmt: skip
    if row is None:
        raise _AskedMeanwhile
    # Only now: whoever ends this analysis has its row and wants the account.
    await credits.reserve(transaction, of.team_id, price, f"analyze:{order.analyzer}", reservation_id)
    await events.record(transaction, events.analysis_request(row["id"], of.team_id, trace_parent))
    return row


async def _wait(services: Services, team_id: UUID, row: Record, seconds: float) -> Record:
    """Looks at the row until it is over or the time is."""
    if row["status"] in _OVER:
        return row
    async for _ in services.looks(seconds):
        row = await queries.find(services.database, team_id, row["id"]) or row
        if row["status"] in _OVER:
            break
    return row


def failure_of(row: Record) -> errors.AppError:
    """The error that a failed analysis is to whoever waits for it."""
    code, message = row["failure_code"], row["failure_message"]
    if code == "image-gone":
        return errors.ImageNotFound(message)
    if code in _SOURCE_FAILURES:
        return _SOURCE_FAILURES[code](message)
    if code in ("analyzer-failed", "analysis-attempts-exhausted"):
        return errors.AnalyzerFailed(message, reason=code)
    return errors.ImageNotDecodable(message, reason=code)


async def get_analysis(runner: Runner, actor: Actor, analysis_id: UUID) -> Record:
    """An analysis that the caller may see. Raises `errors.AnalysisNotFound`."""
    row = await queries.find(runner, actor.visible_team_id, analysis_id)
    if row is None:
        raise errors.AnalysisNotFound
    return row


async def list_analyses(
    runner: Runner, actor: Actor, image_id: UUID, cursor: Cursor | None, limit: int
) -> list[Record]:
    """What was asked about an image's bytes, newest first. Raises `errors.ImageNotFound`."""
    row = await queries.find_image(runner, actor.visible_team_id, image_id)
    if row is None:
        raise errors.ImageNotFound
    return (
        [] if row["sha256"] is None else await queries.page(runner, Bytes(row["team_id"], row["sha256"]), cursor, limit)
    )
