"""The version under which each analyzer's results are stored now, as announced by the processor."""

import time
from typing import Any, NamedTuple

import orjson
from sqlalchemy import select

from image_core.analyses.catalogue import CATALOGUE
from image_core.db import Database, Query
from image_core.models import analyzer_model

_FRESH_SECONDS = 5.0

_all = Query(select(analyzer_model.c.name, analyzer_model.c.version, analyzer_model.c.model))


class AnalyzerModel(NamedTuple):
    """An analyzer's current version; `model` is null if it needs none."""

    version: str
    model: dict[str, Any] | None


class AnalyzerModels:
    """The processor's latest announcement, cached for a few seconds."""

    def __init__(self, database: Database, fresh_seconds: float = _FRESH_SECONDS) -> None:
        self._database, self._fresh_seconds = database, fresh_seconds
        self._told: dict[str, AnalyzerModel] = {}
        self._asked_at = float("-inf")

    async def find(self, analyzer: str) -> AnalyzerModel:
        """Return an analyzer of the catalogue.

        Raises:
            errors.DatabaseUnavailable: The database does not respond.
        """
        if time.monotonic() - self._asked_at > self._fresh_seconds:
            rows = await self._database.fetch(_all)
            self._told = {
                row["name"]: AnalyzerModel(row["version"], row["model"] and orjson.loads(row["model"])) for row in rows
            }
            self._asked_at = time.monotonic()
        return self._told.get(analyzer) or AnalyzerModel(CATALOGUE[analyzer].version, None)
