"""`create_app`: the only place where the parts of image-delivery are wired together."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from opentelemetry.trace import TracerProvider
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from image_core import process_memory, telemetry
from image_core.db import Database
from image_core.delivery.grant import PREFIX
from image_core.direct_traffic import keep_local_traffic_direct
from image_core.feed.pubsub import PubSubPublisher
from image_core.intake.request_log import RequestLog
from image_core.keys import master_secrets
from image_core.keys.master_secrets import MasterSecret
from image_core.storage.gcs import GcsClient
from image_delivery import health
from image_delivery.addresses import Addresses, Serving
from image_delivery.derivatives.making import Makers
from image_delivery.derivatives.memory import PictureMemory
from image_delivery.derivatives.requesting import BackgroundRequests
from image_delivery.derivatives.usage import TeamUsage
from image_delivery.grants.images import DeliveredImages
from image_delivery.grants.keys import DeliveryKeys
from image_delivery.grants.links import SharedImages
from image_delivery.grants.presets import TeamPresets
from image_delivery.grants.verification import Verification
from image_delivery.metrics import Metrics
from image_delivery.parts import Parts
from image_delivery.settings import DeliverySettings
from image_engine.contract.rejections import WorkerUnavailable
from image_engine.pool.pool import WorkerPool
from image_engine.pool.worker_limits import WorkerLimits


class Application:
    """Addresses go to their own application before any middleware; everything else goes to the service's."""

    def __init__(self, service: Starlette) -> None:
        self.service = service
        self._addresses: ASGIApp = Addresses(lambda: service.state.serving)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or take part in the server's start and end."""
        is_address = scope["type"] == "http" and scope["path"].startswith(PREFIX)
        await (self._addresses if is_address else self.service)(scope, receive, send)


def create_app(settings: DeliverySettings, tracer_provider: TracerProvider | None = None) -> Application:
    """Build the application. `tracer_provider` overrides the one that the settings name."""
    provider = tracer_provider or telemetry.tracer_provider(
        "image-delivery", settings.service_version, settings.otel_exporter_otlp_endpoint
    )
    service = Starlette(
        routes=health.ROUTES, middleware=[Middleware(RequestLog)], lifespan=_lifespan(settings, provider)
    )
    return Application(service)


def _lifespan(settings: DeliverySettings, provider: TracerProvider | None) -> Any:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        gcs = GcsClient(settings.storage_emulator_host, settings.gcloud_creds_path)
        publisher = PubSubPublisher(settings.google_cloud_project, settings.topics, settings.pubsub_emulator_host)
        parts = Parts(
            settings=settings,
            database=Database(settings.database),
            originals=gcs.bucket(settings.image_upload_bucket_name),
            derivatives=gcs.bucket(settings.image_derivatives_bucket_name),
            master=_master(settings),
            publisher=publisher,
            pool=_pool(settings),
            metrics=Metrics(),
            tracer_provider=provider,
        )
        readiness = health.Readiness()
        app.state.parts, app.state.readiness = parts, readiness
        app.state.keys = keys = DeliveryKeys(parts.database, parts.master, settings.delivery_outage_seconds)
        app.state.serving = _serving(parts, keys)
        await parts.database.open()
        # Workers and the storage client take longer to load than everything else: the port is open before them.
        workers = asyncio.create_task(_start(parts.pool, readiness))
        warming = asyncio.create_task(asyncio.to_thread(_warm, gcs, publisher))
        try:
            yield
        finally:
            workers.cancel()
            await asyncio.gather(workers, warming, return_exceptions=True)
            await parts.pool.stop()
            await app.state.serving.requests.close()
            await app.state.serving.usage.flush()
            await publisher.close()
            await gcs.close()
            await parts.database.close()

    return lifespan


def _serving(parts: Parts, keys: DeliveryKeys) -> Serving:
    outage_seconds = parts.settings.delivery_outage_seconds
    images, presets = DeliveredImages(parts.database, outage_seconds), TeamPresets(parts.database, outage_seconds)
    shared = SharedImages(parts.database, outage_seconds)
    memory = PictureMemory(parts.settings.delivery_memory_bytes)
    usage = TeamUsage(parts.database, parts.settings)
    requests = BackgroundRequests(parts.publisher, usage, parts.metrics)
    makers = Makers(parts, images, memory, usage, requests)
    return Serving(parts, images, Verification(keys, images, presets, shared), memory, makers, usage, requests)


async def _start(pool: WorkerPool, readiness: health.Readiness) -> None:
    """Start the workers, or end the process: it would never be able to make a picture."""
    try:
        await pool.start()
        readiness.workers_started = True
    except WorkerUnavailable as error:
        telemetry.log("workers_not_started", severity="ERROR", reason=str(error))
        signal.raise_signal(signal.SIGTERM)


def _warm(gcs: GcsClient, publisher: PubSubPublisher) -> None:
    gcs.warm()
    publisher.warm()
    process_memory.freeze_long_lived_objects()


def _master(settings: DeliverySettings) -> MasterSecret:
    if settings.delivery_master_secret is not None:
        return master_secrets.from_secret(settings.delivery_master_secret)
    given = settings.delivery_master
    return MasterSecret(lambda: given.get_secret_value() if given else "")


def _pool(settings: DeliverySettings) -> WorkerPool:
    limits = WorkerLimits(
        memory_limit_bytes=settings.worker_memory_limit_bytes,
        rss_mark_bytes=settings.worker_rss_mark_bytes,
        max_pictures=settings.worker_max_pictures,
        formats=settings.limits.allowed_formats,
        require_confinement=settings.worker_confinement_required,
    )
    return WorkerPool(settings.worker_count, limits)


def create_app_from_environment(settings: DeliverySettings) -> Application:
    """Build the application, logging to standard output."""
    keep_local_traffic_direct(os.environ)
    telemetry.configure_logging(
        "image-delivery", settings.service_version, settings.google_cloud_project, settings.log_level
    )
    return create_app(settings)
