"""The parts of the running image-delivery."""

from dataclasses import dataclass

from opentelemetry.trace import TracerProvider

from image_core.db import Database
from image_core.events import Publisher
from image_core.keys.master_secrets import MasterSecret
from image_core.storage.protocol import ObjectStorage
from image_delivery.metrics import Metrics
from image_delivery.settings import DeliverySettings
from image_engine.pool.pool import WorkerPool


@dataclass(frozen=True)
class Parts:
    """The parts that `app.create_app` wired together."""

    settings: DeliverySettings
    database: Database
    originals: ObjectStorage
    derivatives: ObjectStorage
    master: MasterSecret
    publisher: Publisher
    pool: WorkerPool
    metrics: Metrics
    tracer_provider: TracerProvider | None = None
