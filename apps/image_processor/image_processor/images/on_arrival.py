"""Analyses that a team wants of every new image: run with its processing, stored and paid in its last transaction.

Nothing is reserved beforehand, because nothing is owed before the result is stored. A balance that does not reach
leaves an analysis out, never the image.
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
from image_processor.images.queries import Claim

_LABELS = CATALOGUE["labels"]


async def orders(database: Database, claimed: Claim, versions: Mapping[str, str]) -> tuple[AnalysisOrder, ...]:
    """Choose what to run: analyzers that the team asks for, can pay for, and has no result of.

    `versions` names those that depend on a model.
    """
    names = [name for name in claimed.analyze_on_arrival if name in CATALOGUE and not _is_visions(claimed, name)]
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
    # A team that was made while an older version still served has no account until it is first changed.
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


def _is_visions(claimed: Claim, analyzer: str) -> bool:
    return analyzer == _LABELS.name and claimed.label_source == LabelSource.VISION


class _Added(NamedTuple):
    """An analysis that was inserted and is not yet paid."""

    analysis_id: UUID
    analyzer: str
    price_credits: int
    reservation_id: UUID
    requested: bool
    """Whether Cloud Vision is still to be asked, rather than the result being there."""


async def store(transaction: Transaction, claimed: Claim, outcomes: Sequence[AnalysisOutcome]) -> None:
    """Store results, ask Cloud Vision for labels where the team wants them, and pay.

    The image does not wait for somebody else's answer. An analyzer that failed is logged and can be asked for again.
    All rows are inserted before the account is locked: whoever ends one of the same analyses holds its row and then
    wants the account.
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
    if any(_is_visions(claimed, name) for name in claimed.analyze_on_arrival):
        added.append(await _add_request(transaction, claimed))
    for each in added:
        # None: somebody asked for it meanwhile, and pays.
        if each is not None:
            await _pay(transaction, claimed, each)


async def _add_result(transaction: Transaction, claimed: Claim, outcome: AnalysisOutcome) -> _Added | None:
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


async def _add_request(transaction: Transaction, claimed: Claim) -> _Added | None:
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


async def _pay(transaction: Transaction, claimed: Claim, added: _Added) -> None:
    """Pay for an analysis and record its event; without the credits it is as if it had not been added."""
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
