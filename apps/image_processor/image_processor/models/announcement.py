"""Announces to the API, in one row per analyzer, the current model and the version of its results.

During a deployment old and new processors run at the same time. The row belongs to the latest model: an instance whose
model was replaced leaves it alone, until nobody has confirmed the newer one for a while (after a rollback).
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import case, func, or_
from sqlalchemy.dialects.postgresql import insert

from image_core import errors
from image_core.db import Database, to_json
from image_core.models import analyzer_model
from image_core.telemetry import log
from image_engine.models.model import Model

CONFIRM_SECONDS = 60.0
# Several times the interval between confirmations, because an idle instance gets no CPU to confirm anything.
_ABANDONED_AFTER = timedelta(minutes=15)


async def keep_announcing(database: Database, models: Sequence[Model]) -> None:
    """Announce models repeatedly while the instance runs; if the database is unavailable, try again later."""
    while True:
        try:
            for model in models:
                await announce(database, model)
        except errors.Unavailable as error:
            log("model_not_announced", severity="WARNING", code=error.code)
        await asyncio.sleep(CONFIRM_SECONDS)


async def announce(database: Database, model: Model) -> bool:
    """Make this model the current one of its analyzer, or confirm it; return False if another has replaced it."""
    new = insert(analyzer_model).values(
        name=model.role.name,
        version=model.version,
        model=None if model.identity is None else to_json(model.identity),
    )
    is_same = analyzer_model.c.version == new.excluded.version
    written: int = await database.execute(
        new.on_conflict_do_update(
            index_elements=["name"],
            set_={
                "version": new.excluded.version,
                "model": new.excluded.model,
                "replaced_version": case((is_same, analyzer_model.c.replaced_version), else_=analyzer_model.c.version),
                "updated_at": func.now(),
            },
            where=or_(
                is_same,
                analyzer_model.c.replaced_version.is_distinct_from(new.excluded.version),
                analyzer_model.c.updated_at < func.now() - _ABANDONED_AFTER,
            ),
        )
    )
    return written == 1
