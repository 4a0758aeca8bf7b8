"""`create_app`: the only place where the API's parts are wired together."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from opentelemetry.trace import TracerProvider
from starlette.middleware.cors import CORSMiddleware

from image_api import health
from image_api.analyses.classify_routes import router as classify_router
from image_api.analyses.routes import router as analyses_router
from image_api.audit_events.routes import router as audit_events_router
from image_api.batches.routes import router as batches_router
from image_api.changes.routes import router as changes_router
from image_api.collections.routes import router as collections_router
from image_api.console import router as console
from image_api.console.middleware import ConsoleMiddleware
from image_api.credentials.routes import router as credentials_router
from image_api.credits.routes import router as credits_router
from image_api.dead_letters.routes import router as dead_letters_router
from image_api.delivery_addresses.routes import router as delivery_addresses_router
from image_api.delivery_keys.routes import router as delivery_keys_router
from image_api.direct_uploads.routes import router as direct_uploads_router
from image_api.duplicates.routes import router as duplicates_router
from image_api.exports.routes import router as exports_router
from image_api.http import problems
from image_api.http.paths import API_PREFIX
from image_api.images.routes import router as images_router
from image_api.import_sources.routes import router as import_sources_router
from image_api.imports.routes import router as imports_router
from image_api.known_hashes.routes import router as known_hashes_router
from image_api.limits.long_requests import LongRequests
from image_api.limits.rate_limits import RateLimits
from image_api.links.routes import router as links_router
from image_api.listing.routes import router as listing_router
from image_api.listing.timeline.routes import router as timeline_router
from image_api.lookups.analyzer_models import AnalyzerModels
from image_api.lookups.feed_watch import FeedWatch
from image_api.lookups.storage_probe import StorageProbe
from image_api.lookups.team_delivery import TeamDeliveries
from image_api.metadata_schemas.routes import router as metadata_schemas_router
from image_api.middleware.address_limits import AddressLimitMiddleware
from image_api.middleware.compression import CompressionMiddleware
from image_api.middleware.early_refusal import EarlyRefusalMiddleware
from image_api.middleware.head_requests import HeadMiddleware
from image_api.middleware.request_shape import RequestShapeMiddleware
from image_api.observability import Metrics, ObservabilityMiddleware, TrustedProxies
from image_api.openapi import document, error_pages, index_page, page
from image_api.operations.routes import router as operations_router
from image_api.people.admin_routes import router as people_admin_router
from image_api.people.routes import router as people_router
from image_api.presets.routes import router as presets_router
from image_api.proofs.access_tokens import AccessTokens
from image_api.proofs.key_cache import LAST_USED_SECONDS, KeyCache
from image_api.proofs.passwords import Passwords
from image_api.proofs.session_cache import SessionCache
from image_api.proofs.signing_key_source import SigningKeySource, from_secret
from image_api.reconcile.routes import router as reconcile_router
from image_api.reprocessing.routes import router as reprocessing_router
from image_api.request_counts import FLUSH_SECONDS, RequestCounts
from image_api.saved_searches.routes import router as saved_searches_router
from image_api.services import Services
from image_api.settings import ApiSettings
from image_api.share_pages import views
from image_api.share_pages.routes import router as share_pages_router
from image_api.share_pages.views import ViewCounts
from image_api.similarity.routes import router as similarity_router
from image_api.storage_usage.routes import router as storage_usage_router
from image_api.system_health.routes import router as system_health_router
from image_api.teams.routes import router as teams_router
from image_api.upload_tokens.routes import router as upload_tokens_router
from image_api.uploads.routes import router as uploads_router
from image_api.usage.routes import router as usage_router
from image_api.users.routes import router as users_router
from image_api.webhooks.routes import delivery_router as webhook_deliveries_router
from image_api.webhooks.routes import router as webhooks_router
from image_core import errors, process_memory, telemetry
from image_core.background import supervise
from image_core.db import Database
from image_core.direct_traffic import keep_local_traffic_direct
from image_core.feed.pubsub import PubSubPublisher
from image_core.keys import master_secrets
from image_core.keys.master_secrets import MasterSecret
from image_core.storage.gcs import GcsClient

# Routes are tried in this order, so the most used ones come first.
ROUTERS = {
    API_PREFIX: (
        uploads_router,
        direct_uploads_router,
        upload_tokens_router,
        listing_router,
        timeline_router,
        changes_router,
        images_router,
        collections_router,
        links_router,
        saved_searches_router,
        batches_router,
        operations_router,
        imports_router,
        exports_router,
        import_sources_router,
        reconcile_router,
        known_hashes_router,
        analyses_router,
        classify_router,
        similarity_router,
        duplicates_router,
        teams_router,
        users_router,
        credentials_router,
        credits_router,
        delivery_addresses_router,
        delivery_keys_router,
        webhooks_router,
        webhook_deliveries_router,
        presets_router,
        audit_events_router,
        storage_usage_router,
        system_health_router,
        dead_letters_router,
        reprocessing_router,
        usage_router,
        metadata_schemas_router,
        people_router,
        people_admin_router,
    ),
    "": (health.router, share_pages_router, error_pages.router, page.router, index_page.router, *console.ROUTERS),
}


_DESCRIPTION = """\
Store, find and deliver images of teams, and analyze what they show.

Requests are authenticated with an API key (`X-API-KEY`), an access token or a session cookie, and need the scopes
listed in `x-required-scopes`; operations without `security` are open to everybody. Errors are RFC 9457 problems with a
stable `code`, which `GET /errors/{code}` explains. Lists are paged with `limit` and `cursor`. Times are RFC 3339 in
UTC, sizes are in bytes, and `PATCH` is a JSON merge patch (RFC 7396).
"""


def _do_nothing() -> None:
    return None


def create_app(
    settings: ApiSettings, tracer_provider: TracerProvider | None = None, when_warm: Callable[[], None] = _do_nothing
) -> FastAPI:
    """Create the application. `tracer_provider` overrides the one of the settings.

    `when_warm` is called once everything is loaded.
    """
    provider = tracer_provider or telemetry.tracer_provider(
        "image-api", settings.service_version, settings.otel_exporter_otlp_endpoint
    )
    app = FastAPI(
        title="image-manager",
        version=settings.service_version,
        description=_DESCRIPTION,
        license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        # A redirect would be built from the caller's Host and from the scheme behind the proxy.
        redirect_slashes=False,
        lifespan=partial(_lifespan, settings=settings, when_warm=when_warm),
        telemetry={"tracing": provider is not None, "metrics": False, "logs": False, "operation_spans": False}
        | ({"tracer_provider": provider} if provider else {}),  # type: ignore[arg-type]
    )
    app.state.metrics, app.state.request_counts, app.state.view_counts = Metrics(), RequestCounts(), ViewCounts()
    problems.install(app)
    document.install(app, ROUTERS, settings.session_cookie_name, settings.public_base_url)
    app.add_middleware(AddressLimitMiddleware)
    app.add_middleware(CompressionMiddleware)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(RequestShapeMiddleware)
    if settings.cors_allow_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_allow_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=[
                "ETag",
                "Idempotency-Replayed",
                "Location",
                "RateLimit",
                "RateLimit-Policy",
                "Retry-After",
                "X-Request-ID",
            ],
        )
    addresses = frozenset(str(address) for address in settings.trusted_proxy_addresses)
    app.add_middleware(
        ObservabilityMiddleware,
        metrics=app.state.metrics,
        request_counts=app.state.request_counts,
        trusted_proxies=TrustedProxies(settings.trusted_proxy_depth, addresses),
    )
    app.add_middleware(ConsoleMiddleware, settings=settings)
    app.add_middleware(EarlyRefusalMiddleware)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI, *, settings: ApiSettings, when_warm: Callable[[], None]) -> AsyncIterator[None]:
    """Open the services of an application, run its background work, and release everything at shutdown."""
    gcs = GcsClient(settings.storage_emulator_host, settings.gcloud_creds_path)
    publisher = PubSubPublisher(settings.google_cloud_project, settings.topics, settings.pubsub_emulator_host)
    services = _services(settings, app.state.metrics, gcs, publisher)
    cache = KeyCache(services.database)
    app.state.services, app.state.key_cache = services, cache
    await services.database.open()
    await services.rate_limits.open()
    services.shutdown.listen()
    # The Google clients take longer to load than everything else, so the port opens before them.
    tasks = [
        asyncio.create_task(_warm(services, gcs, publisher, when_warm)),
        asyncio.create_task(supervise("key_uses", partial(_flush_uses, cache))),
        asyncio.create_task(supervise("request_counts", partial(_flush_counts, app.state.request_counts, services))),
        asyncio.create_task(supervise("view_counts", partial(_flush_views, app.state.view_counts, services))),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _try_to_flush(cache)
        await app.state.request_counts.flush(services.database)
        await app.state.view_counts.flush(services.database)
        services.shutdown.release()
        await services.feed_watch.close()
        await services.background.close()
        services.passwords.close()
        await services.rate_limits.close()
        await publisher.close()
        await gcs.close()
        await services.database.close()


def _services(settings: ApiSettings, metrics: Metrics, gcs: GcsClient, publisher: PubSubPublisher) -> Services:
    database, originals = Database(settings.database), gcs.bucket(settings.image_upload_bucket_name)
    return Services(
        settings=settings,
        database=database,
        originals=originals,
        derivatives=gcs.bucket(settings.image_derivatives_bucket_name),
        scratch=gcs.bucket(settings.image_scratch_bucket_name),
        publisher=publisher,
        rate_limits=RateLimits(settings, metrics.rate_limit_fallbacks.inc),
        storage_probe=StorageProbe(originals),
        analyzer_models=AnalyzerModels(database),
        session_cache=SessionCache(database),
        passwords=Passwords(settings.password_hash_memory_kib, settings.password_hash_iterations),
        access_tokens=_access_tokens(settings),
        team_delivery=TeamDeliveries(database),
        feed_watch=FeedWatch(database),
        long_requests=LongRequests(settings.request_concurrency),
        delivery_master=_delivery_master(settings),
        purged_hash_master=settings.open_purged_hash_master(),
        upload_session_master=settings.open_upload_session_master(),
        webhook_master=settings.open_webhook_master(),
    )


def _access_tokens(settings: ApiSettings) -> AccessTokens:
    keys, secret = settings.token_signing_keys, settings.token_signing_secret
    source = from_secret(secret) if secret else SigningKeySource(keys.get_secret_value if keys else None)
    return AccessTokens(source, settings.base_url or "image-manager", settings.access_token_seconds)


def _delivery_master(settings: ApiSettings) -> MasterSecret | None:
    if settings.delivery_master_secret is not None:
        return master_secrets.from_secret(settings.delivery_master_secret)
    return None if settings.delivery_master is None else MasterSecret(settings.delivery_master.get_secret_value)


async def _warm(services: Services, gcs: GcsClient, publisher: PubSubPublisher, when_warm: Callable[[], None]) -> None:
    await asyncio.to_thread(gcs.warm)
    await services.storage_probe.ask()
    await asyncio.to_thread(publisher.warm)
    when_warm()


async def _flush_uses(cache: KeyCache) -> None:
    while True:
        await asyncio.sleep(LAST_USED_SECONDS)
        await _try_to_flush(cache)


async def _flush_counts(counts: RequestCounts, services: Services) -> None:
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        await counts.flush(services.database)


async def _flush_views(counts: ViewCounts, services: Services) -> None:
    while True:
        await asyncio.sleep(views.FLUSH_SECONDS)
        await counts.flush(services.database)


async def _try_to_flush(cache: KeyCache) -> None:
    try:
        await cache.flush()
    except errors.DatabaseUnavailable:
        telemetry.log("key_uses_not_written", severity="WARNING")


def create_app_from_environment() -> FastAPI:
    """Create the application with settings from the environment, logging to standard output."""
    keep_local_traffic_direct(os.environ)
    settings = ApiSettings()
    telemetry.configure_logging(
        "image-api", settings.service_version, settings.google_cloud_project, settings.log_level
    )
    return create_app(settings, when_warm=process_memory.freeze_long_lived_objects)
