"""Analyses that a team runs on every new image: computed with its processing, stored and paid in its last transaction.

Nothing is reserved beforehand, because nothing is owed before the result is stored. If the balance is too low, the
analysis is skipped; the image is processed anyway.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select

from image_core import errors, events
from image_core.analyses.catalogue import (
    CATALOGUE,
    VISION_PRICE_CREDITS,
    VISION_VERSION,
    canonical_parameters,
    canonical_result,
)
from image_core.billing import credits
from image_core.db import Database, Transaction, to_json
from image_core.events import EventType, OutboxEvent, Topic
from image_core.ids import new_id
from image_core.models import analysis
from image_core.states import AnalysisStatus, LabelSource
from image_core.telemetry import log
from image_engine.contract.answers import AnalysisOutcome
from image_engine.contract.requests import AnalysisOrder
from image_processor.analyses import queries as analysis_queries
from image_processor.images.queries import ImageClaim

_LABELS = CATALOGUE["labels"]


async def orders(database: Database, claimed: ImageClaim, versions: Mapping[str, str]) -> tuple[AnalysisOrder, ...]:
    """Choose the analyzers to run: those that the team selected, can pay for, and has no result of.

    `versions` holds the versions of analyzers that depend on a model.
    """
    names = [name for name in claimed.analyze_on_arrival if name in CATALOGUE and not _uses_vision(claimed, name)]
    if not names:
        return ()
    stored = await database.fetch(
        select(analysis.c.analyzer, analysis.c.version, analysis.c.parameters_hash).where(
            analysis.c.team_id == claimed.team_id,
            analysis.c.sha256 == claimed.sha256,
            analysis.c.status != AnalysisStatus.FAILED,
        )
    )
    known = {(row["analyzer"], row["version"], row["parameters_hash"]) for row in stored}
    # A team that was created while an older version still served has no account until its balance first changes.
    account = await credits.find_account(database, claimed.team_id)
    balance = 0 if account is None else account["balance"]
    chosen = []
    for name in names:
        spec = CATALOGUE[name]
        parameters, digest = canonical_parameters(spec, {})
        if (name, versions.get(name, spec.version), digest) not in known and spec.price_credits <= balance:
            balance -= spec.price_credits
            chosen.append(AnalysisOrder(name, parameters))
    return tuple(chosen)


def _uses_vision(claimed: ImageClaim, analyzer: str) -> bool:
    return analyzer == _LABELS.name and claimed.label_source == LabelSource.VISION


class _Added(NamedTuple):
    """An analysis that was inserted and is not yet paid for."""

    analysis_id: UUID
    analyzer: str
    price_credits: int
    reservation_id: UUID
    requested: bool
    """True if Cloud Vision is still to be queried, False if the result exists."""


async def store(transaction: Transaction, claimed: ImageClaim, outcomes: Sequence[AnalysisOutcome]) -> None:
    """Store results, request labels from Cloud Vision if the team uses it, and pay.

    The image does not wait for Cloud Vision. A failed analyzer is logged and can be requested again. All rows are
    inserted before the account is locked, because ending an analysis locks its row first and the account second.
    """
    added = []
    for outcome in sorted(outcomes, key=lambda outcome: outcome.analyzer):
        if outcome.result is None:
            log(
                "analyzer_failed", severity="ERROR", analyzer=outcome.analyzer, code=outcome.failure,
                place=outcome.place, image_id=str(claimed.image_id),
            )  # fmt: skip
        else:
            added.append(await _add_result(transaction, claimed, outcome))
    if any(_uses_vision(claimed, name) for name in claimed.analyze_on_arrival):
        added.append(await _add_request(transaction, claimed))
    for analysis_added in added:
        # None: the same analysis was requested concurrently and is paid for by that request.
        if analysis_added is not None:
            await _pay(transaction, claimed, analysis_added)


async def _add_result(transaction: Transaction, claimed: ImageClaim, outcome: AnalysisOutcome) -> _Added | None:
    spec, reservation_id = CATALOGUE[outcome.analyzer], new_id()
    parameters, digest = canonical_parameters(spec, outcome.parameters)
    values = {
        "analyzer": spec.name,
        "version": outcome.version,
        "parameters": to_json(parameters),
        "parameters_hash": digest,
        "result": canonical_result(spec, outcome.result or {}).decode(),
    }
    analysis_id = await analysis_queries.add_finished(
        transaction, claimed.team_id, claimed.sha256, values, reservation_id
    )
    if analysis_id is None:
        return None
    return _Added(analysis_id, spec.name, spec.price_credits, reservation_id, requested=False)


async def _add_request(transaction: Transaction, claimed: ImageClaim) -> _Added | None:
    parameters, digest = canonical_parameters(_LABELS, {})
    key = {"analyzer": _LABELS.name, "version": VISION_VERSION, "parameters_hash": digest}
    if await analysis_queries.is_known(transaction, claimed.team_id, claimed.sha256, key):
        return None
    values, reservation_id = key | {"parameters": to_json(parameters), "trace_parent": claimed.trace_parent}, new_id()
    analysis_id = await analysis_queries.add_requested(
        transaction, claimed.team_id, claimed.sha256, values, reservation_id
    )
    if analysis_id is None:
        return None
    return _Added(analysis_id, _LABELS.name, VISION_PRICE_CREDITS, reservation_id, requested=True)


async def _pay(transaction: Transaction, claimed: ImageClaim, added: _Added) -> None:
    """Pay for an analysis and record its event; without sufficient credits, remove the analysis."""
    operation = f"analyze:{added.analyzer}"
    try:
        await credits.reserve(transaction, claimed.team_id, added.price_credits, operation, added.reservation_id)
    except errors.CreditsExhausted:
        log("analysis_not_paid", severity="WARNING", analyzer=added.analyzer, team_id=str(claimed.team_id))
        await analysis_queries.remove(transaction, added.analysis_id)
        return
    if added.requested:
        request = events.analysis_request(added.analysis_id, claimed.team_id, claimed.trace_parent)
        await events.record(transaction, request)
        return
    await credits.commit(transaction, added.reservation_id)
    payload = {"analysis_id": str(added.analysis_id), "analyzer": added.analyzer}
    event = OutboxEvent(Topic.EVENTS, EventType.ANALYZED, payload, claimed.team_id, claimed.image_id)
    await events.record(transaction, event)
