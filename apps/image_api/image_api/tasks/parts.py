"""The parts of the running `image-tasks`, as its steps see them."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from prometheus_client import REGISTRY, CollectorRegistry, Gauge

from image_api.fetching.guarded_fetch import GuardedFetcher
from image_api.tasks.locks import StepLocks
from image_api.tasks.settings import TasksSettings
from image_core import events
from image_core.db import Database, Transaction
from image_core.events import Publisher
from image_core.intake.identity import IssuerKeys
from image_core.keys.master_secrets import MasterSecret
from image_core.storage.protocol import ObjectStorage

T = TypeVar("T")


class Metrics:
    """Metrics of the last sweep, in a separate registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.orphans = Gauge("orphan_objects", "Objects that wait for their removal", registry=self.registry)
        self.outbox_age = Gauge("outbox_age_seconds", "Age of the oldest unpublished event", registry=self.registry)
        self.feed_lag = Gauge(
            "feed_lag_seconds", "Time for which an event has waited for an open transaction", registry=self.registry
        )
        self.rows = Gauge(
            "task_rows", "Rows or objects that the last sweep dealt with; -1 for a failed step", ["step"],
            registry=self.registry,
        )  # fmt: skip
        for collector in list(REGISTRY._collector_to_names):  # noqa: SLF001 (the default registry has no public list)
            self.registry.register(collector)


@dataclass(frozen=True)
class TaskParts:
    """The parts that `tasks_app.create_app` wired together."""

    settings: TasksSettings
    database: Database
    originals: ObjectStorage
    derivatives: ObjectStorage
    publisher: Publisher
    issuer_keys: IssuerKeys
    locks: StepLocks
    open_bucket: Callable[[str], ObjectStorage]
    """Return the storage of a bucket that is not ours."""
    fetcher: GuardedFetcher
    is_stopping: Callable[[], bool] = lambda: False
    """Return whether this instance has been told to stop."""
    purged_hash_master: MasterSecret | None = None
    webhook_master: MasterSecret | None = None
    metrics: Metrics = field(default_factory=Metrics)
    _kept: dict[Any, Any] = field(default_factory=dict)

    def keep(self, make: "Callable[[TaskParts], T]") -> T:
        """Return what `make` returned when it was first called for this instance."""
        if make not in self._kept:
            self._kept[make] = make(self)
        kept: T = self._kept[make]
        return kept


def committing(parts: TaskParts) -> AbstractAsyncContextManager[Transaction]:
    """Open a transaction whose events are published after the commit."""
    return events.committing(parts.database, parts.publisher)
