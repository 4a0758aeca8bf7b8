"""The rules of analyses: a stored result is returned for free, anything else is requested and paid for once."""

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import ValidationError

from image_api.actor import Actor
from image_api.analyses import queries
from image_api.analyses.content import content_key
from image_api.analyses.queries import ContentKey, Order, Scratch
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
from image_core.states import AnalysisStatus, LabelSource
from image_core.telemetry import current_request, log

_FINISHED = (AnalysisStatus.DONE, AnalysisStatus.FAILED)
_SOURCE_FAILURES: dict[str, type[errors.Unavailable]] = {
    kind.code: kind for kind in (errors.ModelMissing, errors.ModelBroken, errors.VisionRefused)
}


class AnalysisOutcome(NamedTuple):
    """An analysis for the caller: the row, whether the result was stored before, its price, and the credits left."""

    row: Record
    cached: bool
    spent: int
    left: int


async def analyze(
    services: Services, actor: Actor, image_id: UUID, analyzer: str, parameters: Mapping[str, Any], wait_seconds: float
) -> AnalysisOutcome:
    """Return a stored result, or request the analysis and wait for up to `wait_seconds`.

    Raises:
        errors.ImageNotFound: The image does not exist.
        errors.ImageNotReady: The image is not ready.
        errors.ImageNotDecodable: The image cannot be decoded.
        errors.AnalyzerUnknown: The analyzer does not exist.
        errors.RequestInvalid: A parameter is not valid.
        errors.CreditsExhausted: The team does not have enough credits.
        errors.AnalyzerFailed: The analyzer failed.
        errors.ModelMissing: The model of this analyzer is missing.
        errors.ModelBroken: The model of this analyzer cannot be used.
        errors.VisionRefused: Cloud Vision refused the request.
        errors.VisionNotEnabled: Cloud Vision is not enabled here.
    """
    order = build_order(analyzer, parameters)
    content = await find_content_key(services.database, actor, image_id)
    order = await with_team_version(services, content.team_id, order)
    return await request_analysis(services, actor, content, order, wait_seconds)


def find_analyzer(name: str) -> AnalyzerSpec:
    """Return an analyzer by its name.

    Raises:
        errors.AnalyzerUnknown: The analyzer does not exist.
    """
    if name not in CATALOGUE:
        nearest = difflib.get_close_matches(name, CATALOGUE, n=1, cutoff=0.5)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else f" Send one of: {', '.join(sorted(CATALOGUE))}."
        raise errors.AnalyzerUnknown(f"Unknown analyzer {name!r}.{hint}", known=sorted(CATALOGUE))
    return CATALOGUE[name]


def build_order(analyzer: str, parameters: Mapping[str, Any]) -> Order:
    """Fill in all defaults; `with_team_version` adds the version.

    Raises:
        errors.AnalyzerUnknown: The analyzer does not exist.
        errors.RequestInvalid: A parameter is not valid.
    """
    spec = find_analyzer(analyzer)
    try:
        values, digest = canonical_parameters(spec, parameters)
    except ValidationError as error:
        raise request_invalid(error.errors(), model=spec.parameters, within="parameters") from error
    return Order(spec.name, spec.version, to_json(values), digest)


async def find_content_key(runner: Runner, actor: Actor, image_id: UUID) -> ContentKey:
    """Return the content of an image.

    Raises:
        errors.ImageNotFound: The image does not exist.
        errors.ImageNotReady: The image is not ready.
        errors.ImageNotDecodable: The image cannot be decoded.
    """
    return content_key(await queries.find_image(runner, actor.visible_team_id, image_id))


async def request_analysis(
    services: Services,
    actor: Actor,
    content: ContentKey,
    order: Order,
    wait_seconds: float,
    scratch: Scratch | None = None,
) -> AnalysisOutcome:
    """Find or request the analysis of this content; wait until it ends or the time is over.

    A `scratch` object that is needed is left for the processor to remove; otherwise it is removed here.

    Raises:
        errors.CreditsExhausted: The team does not have enough credits.
        errors.AnalyzerFailed: The analyzer failed.
        errors.ImageNotDecodable: The image cannot be decoded.
        errors.ImageNotFound: The image was removed before it was analyzed.
        errors.ModelMissing: The model of this analyzer is missing.
        errors.ModelBroken: The model of this analyzer cannot be used.
        errors.VisionRefused: Cloud Vision refused the request.
    """
    row, spent = await queries.find_by_content(services.database, content, order), 0
    cached = row is not None and row["status"] == AnalysisStatus.DONE
    if row is None:
        row, spent = await _add_request(services, actor, content, order, scratch)
    else:
        await _remove(services, scratch)
    row = await _wait(services, content.team_id, row, wait_seconds)
    if row["status"] == AnalysisStatus.FAILED:
        raise failure_error(row)
    return AnalysisOutcome(row, cached, spent, await queries.balance(services.database, content.team_id))


async def current_model(services: Services, team_id: UUID | None, analyzer: str) -> AnalyzerModel:
    """Return the version and model that currently answer an analyzer, for a team or for none in particular."""
    if (
        team_id is not None
        and analyzer == CATALOGUE["labels"].name
        and await queries.label_source(services.database, team_id) == LabelSource.VISION
    ):
        return AnalyzerModel(VISION_VERSION, VISION_MODEL)
    return await services.analyzer_models.find(analyzer)


async def with_team_version(services: Services, team_id: UUID, order: Order) -> Order:
    """Return the order with the version that is current for the team.

    Raises:
        errors.VisionNotEnabled: Cloud Vision is not enabled here.
    """
    version = (await current_model(services, team_id, order.analyzer)).version
    if version == VISION_VERSION and not services.settings.vision_enabled:
        raise errors.VisionNotEnabled(
            "The team's label source is Cloud Vision, which is disabled here. Choose another label source."
        )
    return order._replace(version=version)


class _RequestedConcurrently(Exception):
    """The same analysis was requested concurrently; that row is used, and the other request has paid for it."""


async def _add_request(
    services: Services, actor: Actor, content: ContentKey, order: Order, scratch: Scratch | None
) -> tuple[Record, int]:
    """Request an analysis unless it was requested concurrently; return the row and the price paid."""
    price = price_credits(order.analyzer, order.version)
    try:
        async with events.committing(services.database, services.publisher) as transaction:
            return await _write_request(transaction, actor, content, order, price, scratch), price
    except (_RequestedConcurrently, errors.CreditsExhausted) as error:
        # After any other error it is unknown whether the row was written.
        await _remove(services, scratch)
        if isinstance(error, errors.CreditsExhausted):
            raise
        row = await queries.find_by_content(services.database, content, order)
    if row is None:
        raise errors.AnalyzerFailed("The analysis failed while it was being requested again. Try again.")
    return row, 0


async def _remove(services: Services, scratch: Scratch | None) -> None:
    """Remove an object that no row names; if that fails, the bucket's lifecycle removes it within a day."""
    if scratch is None:
        return
    try:
        await services.scratch.delete(scratch.object_name, scratch.generation)
    except errors.StorageUnavailable:
        log("scratch_object_left", severity="WARNING", object_name=scratch.object_name)


async def _write_request(
    transaction: Transaction, actor: Actor, content: ContentKey, order: Order, price: int, scratch: Scratch | None
) -> Record:
    """Write the request with its message and reserve the price.

    Raises:
        _RequestedConcurrently: The same analysis was requested concurrently. The transaction is rolled back.
        errors.CreditsExhausted: The team does not have enough credits. The transaction is rolled back.
    """
    context = current_request.get()
    trace_parent = context.trace_parent if context else None
    reservation_id = new_id()
    row = await queries.add(
        transaction, content, order, reservation_id, requested_by=actor.user_id, trace_parent=trace_parent,
        scratch_object=scratch.object_name if scratch else None,
        scratch_generation=scratch.generation if scratch else None,
    )  # fmt: skip
    if row is None:
        raise _RequestedConcurrently
    # Only now: ending an analysis locks its row first and the account second.
    await credits.reserve(transaction, content.team_id, price, f"analyze:{order.analyzer}", reservation_id)
    await events.record(transaction, events.analysis_request(row["id"], content.team_id, trace_parent))
    return row


async def _wait(services: Services, team_id: UUID, row: Record, seconds: float) -> Record:
    """Poll the row until the analysis ends or the time is over."""
    if row["status"] in _FINISHED:
        return row
    async for _ in services.polls(seconds):
        row = await queries.find(services.database, team_id, row["id"]) or row
        if row["status"] in _FINISHED:
            break
    return row


def failure_error(row: Record) -> errors.AppError:
    """Return the error that a failed analysis raises for its caller."""
    code, message = row["failure_code"], row["failure_message"]
    if code == "image-gone":
        return errors.ImageNotFound(message)
    if code in _SOURCE_FAILURES:
        return _SOURCE_FAILURES[code](message)
    if code in ("analyzer-failed", "analysis-attempts-exhausted"):
        return errors.AnalyzerFailed(message, reason=code)
    return errors.ImageNotDecodable(message, reason=code)


async def get_analysis(runner: Runner, actor: Actor, analysis_id: UUID) -> Record:
    """Return an analysis that the caller may see.

    Raises:
        errors.AnalysisNotFound: The analysis does not exist.
    """
    row = await queries.find(runner, actor.visible_team_id, analysis_id)
    if row is None:
        raise errors.AnalysisNotFound
    return row


async def list_analyses(
    runner: Runner, actor: Actor, image_id: UUID, cursor: Cursor | None, limit: int
) -> list[Record]:
    """Return the analyses of an image's content, newest first.

    Raises:
        errors.ImageNotFound: The image does not exist.
    """
    row = await queries.find_image(runner, actor.visible_team_id, image_id)
    if row is None:
        raise errors.ImageNotFound
    return (
        []
        if row["sha256"] is None
        else await queries.page(runner, ContentKey(row["team_id"], row["sha256"]), cursor, limit)
    )
