"""Analyses that a team wants of every new image: made with its processing, stored and paid with its last transaction.

Nothing is reserved beforehand, because nothing is owed before the result is stored. A balance that does not reach
leaves an analysis out, never the image.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from image_core import credits, errors, events
from image_core.analyzers import (
    CATALOGUE,
    VISION_PRICE_CREDITS,
    VISION_VERSION,
    canonical_parameters,
    canonical_result,
)
from image_core.db import Database, Transaction, to_json
from image_core.events import EventType, OutboxEvent, Topic
from image_core.models import analysis
from image_core.states import LabelSource
from image_core.telemetry import log
from image_processor import analysis_queries
from image_processor.analysis_request import AnalysisOrder, AnalysisOutcome
from image_processor.queries import Claim

_LABELS = CATALOGUE["labels"]


async def orders(database: Database, claimed: Claim, versions: Mapping[str, str]) -> tuple[AnalysisOrder, ...]:
    """What to run: analyzers that the team asks for, can pay for, and has no result of.

    `versions` names those that depend on a model.
    """
    wanted = [name for name in claimed.analyze_on_arrival if name in CATALOGUE and not _is_visions(claimed, name)]
    if not wanted:
        return ()
    stored = await database.fetch(
        select(analysis.c.analyzer, analysis.c.version, analysis.c.parameters_hash).where(
            analysis.c.team_id == claimed.team_id, analysis.c.sha256 == claimed.sha256, analysis.c.status != "failed"
        )
    )
    known = {(row["analyzer"], row["version"], row["parameters_hash"]) for row in stored}
    # A team that was made while an older version still served has no account until it is first changed.
    account = await credits.find_account(database, claimed.team_id)
    balance = 0 if account is None else account["balance"]
    chosen = []
    for name in wanted:
        spec = CATALOGUE[name]
        parameters, digest = canonical_parameters(spec, {})
        if (name, versions.get(name, spec.version), digest) not in known and spec.price_credits <= balance:
            balance -= spec.price_credits
            chosen.append(AnalysisOrder(name, parameters))
    return tuple(chosen)


def _is_visions(claimed: Claim, analyzer: str) -> bool:
    return analyzer == _LABELS.name and claimed.label_source == LabelSource.VISION


async def request_from_vision(transaction: Transaction, claimed: Claim) -> None:
    """Asks for labels of Cloud Vision where the team wants them: the image does not wait for somebody else's answer."""
    if not any(_is_visions(claimed, name) for name in claimed.analyze_on_arrival):
        return
    parameters, digest = canonical_parameters(_LABELS, {})
    key = {"analyzer": _LABELS.name, "version": VISION_VERSION, "parameters_hash": digest}
    if await analysis_queries.is_known(transaction, claimed.team_id, claimed.sha256, key):
        return
    try:
        reservation_id = await credits.reserve(
            transaction, claimed.team_id, VISION_PRICE_CREDITS, f"analyze:{_LABELS.name}"
        )
    except errors.CreditsExhausted:
        log("analysis_not_paid", severity="WARNING", analyzer=_LABELS.name, team_id=str(claimed.team_id))
        return
    values = key | {"parameters": to_json(parameters), "trace_parent": claimed.trace_parent}
    analysis_id = await analysis_queries.add_requested(
        transaction, claimed.team_id, claimed.sha256, values, reservation_id
    )
    if analysis_id is None:
        # Somebody asked for it meanwhile, and pays.
        await credits.refund(transaction, reservation_id)
        return
    await events.record(transaction, events.analysis_request(analysis_id, claimed.team_id, claimed.trace_parent))


async def store(transaction: Transaction, claimed: Claim, outcomes: Sequence[AnalysisOutcome]) -> None:
    """Stores results and pays for them; an analyzer that failed is logged and can be asked for again."""
    for outcome in outcomes:
        if outcome.result is None:
            log(
                "analyzer_failed", severity="ERROR", analyzer=outcome.analyzer, code=outcome.failure,
                place=outcome.place, image_id=str(claimed.image_id),
            )  # fmt: skip
            continue
        try:
            await _store(transaction, claimed, outcome)
        except errors.CreditsExhausted:
            log("analysis_not_paid", severity="WARNING", analyzer=outcome.analyzer, team_id=str(claimed.team_id))


async def _store(transaction: Transaction, claimed: Claim, outcome: AnalysisOutcome) -> None:
    spec = CATALOGUE[outcome.analyzer]
    parameters, digest = canonical_parameters(spec, outcome.parameters)
    reservation_id = await credits.reserve(transaction, claimed.team_id, spec.price_credits, f"analyze:{spec.name}")
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
        # Somebody asked for it meanwhile, and pays.
        await credits.refund(transaction, reservation_id)
        return
    await credits.commit(transaction, reservation_id)
    told = {"analysis_id": str(analysis_id), "analyzer": spec.name}
    event = OutboxEvent(Topic.EVENTS, EventType.ANALYZED, told, claimed.team_id, claimed.image_id)
    await events.record(transaction, event)
