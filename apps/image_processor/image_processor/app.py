"""`create_app`: the only place where the processor's parts are wired together."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from opentelemetry.trace import TracerProvider

from image_core import telemetry
from image_core.background import supervise
from image_core.db import Database
from image_core.direct_traffic import keep_local_traffic_direct
from image_core.feed.pubsub import PubSubPublisher
from image_core.intake.identity import IssuerKeys
from image_core.intake.request_log import RequestLog
from image_core.storage.gcs import GcsClient
from image_engine.models.model import Model
from image_engine.pool.pool import WorkerPool
from image_engine.pool.worker_limits import WorkerLimits
from image_engine.pool.worker_models import WorkerModels
from image_processor import health
from image_processor.intake import push
from image_processor.metrics import Metrics
from image_processor.models.announcement import keep_announcing
from image_processor.models.fetching import find_models
from image_processor.models.folder import model_folder
from image_processor.parts import Parts
from image_processor.settings import ProcessorSettings
from image_processor.vision import CloudVision


def create_app(settings: ProcessorSettings, tracer_provider: TracerProvider | None = None) -> FastAPI:
    """Create the application. `tracer_provider` overrides the one of the settings."""
    provider = tracer_provider or telemetry.tracer_provider(
        "image-processor", settings.service_version, settings.otel_exporter_otlp_endpoint
    )
    app = FastAPI(
        title="image-processor",
        version=settings.service_version,
        openapi_url=None,
        lifespan=_lifespan(settings, provider),
        telemetry={"tracing": False, "metrics": False, "logs": False},
        max_body_size=10 * 1024 * 1024,
    )
    app.include_router(push.router)
    app.include_router(health.router)
    app.add_middleware(RequestLog)
    return app


def _lifespan(settings: ProcessorSettings, provider: TracerProvider | None) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        gcs = GcsClient(settings.storage_emulator_host, settings.gcloud_creds_path)
        publisher = PubSubPublisher(settings.google_cloud_project, settings.topics, settings.pubsub_emulator_host)
        with model_folder() as folder:
            models = await find_models(settings.model_paths, gcs, folder, settings.worker_memory_limit_bytes)
            parts = Parts(
                settings=settings,
                database=Database(settings.database),
                originals=gcs.bucket(settings.image_upload_bucket_name),
                derivatives=gcs.bucket(settings.image_derivatives_bucket_name),
                scratch=gcs.bucket(settings.image_scratch_bucket_name),
                publisher=publisher,
                pool=_pool(settings, models),
                vision=CloudVision(settings.vision_endpoint, settings.vision_emulator_host),
                metrics=Metrics(),
                tracer_provider=provider,
            )
            app.state.parts, app.state.issuer_keys = parts, IssuerKeys(settings.push_jwks_url)
            await parts.database.open()
            await parts.pool.start()
            # The Google clients take longer to load than everything else, so the port opens before them.
            warming = asyncio.create_task(asyncio.to_thread(_warm, gcs, publisher))
            announcing = asyncio.create_task(
                supervise("announcement", partial(keep_announcing, parts.database, parts.pool.models.answering()))
            )
            try:
                yield
            finally:
                announcing.cancel()
                await asyncio.gather(warming, return_exceptions=True)
                await parts.pool.stop()
                await parts.vision.close()
                await publisher.close()
                await gcs.close()
                await parts.database.close()

    return lifespan


def _warm(gcs: GcsClient, publisher: PubSubPublisher) -> None:
    gcs.warm()
    publisher.warm()


def _pool(settings: ProcessorSettings, models: Sequence[Model]) -> WorkerPool:
    limits = WorkerLimits(
        deadline_seconds=settings.job_deadline_seconds,
        memory_limit_bytes=settings.worker_memory_limit_bytes,
        rss_mark_bytes=settings.worker_rss_mark_bytes,
        max_pictures=settings.worker_max_pictures,
        formats=settings.limits.allowed_formats,
        require_confinement=settings.worker_confinement_required,
    )
    return WorkerPool(settings.worker_count, limits, WorkerModels(*models))


def create_app_from_environment() -> FastAPI:
    """Create the application with settings from the environment, logging to standard output."""
    keep_local_traffic_direct(os.environ)
    settings = ProcessorSettings()
    telemetry.configure_logging(
        "image-processor", settings.service_version, settings.google_cloud_project, settings.log_level
    )
    return create_app(settings)
