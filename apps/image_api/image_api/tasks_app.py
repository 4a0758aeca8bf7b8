"""`image-tasks`, the second application of this package: housekeeping and background work.

Started by `python -m image_api.tasks_app`.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

import uvicorn
from fastapi import FastAPI

from image_api.analyses import tasks as analyses
from image_api.audit_events import tasks as audit_events
from image_api.batches import tasks as batches
from image_api.batches.estimates import ANALYSES, CHANGES
from image_api.credentials import tasks as credentials
from image_api.credits import tasks as credits
from image_api.dead_letters import intake as dead_letter_intake
from image_api.dead_letters import tasks as dead_letters
from image_api.delivery_usage import tasks as delivery_usage
from image_api.direct_uploads import tasks as direct_uploads
from image_api.exports import tasks as exports
from image_api.exports.images import EXPORT
from image_api.fetching.guarded_fetch import GuardedFetcher
from image_api.idempotency import tasks as idempotency
from image_api.images import tasks as images
from image_api.imports import service as imports_service
from image_api.imports import tasks as imports
from image_api.known_hashes import tasks as known_hashes
from image_api.links import tasks as links
from image_api.operations import tasks as operations
from image_api.operations.kinds import Kind
from image_api.outbox import tasks as outbox
from image_api.people import tasks as people
from image_api.presets import tasks as presets
from image_api.reconcile import tasks as reconcile
from image_api.reconcile.service import KIND as RECONCILE
from image_api.removals import tasks as removals
from image_api.renditions import tasks as renditions
from image_api.reprocessing import tasks as reprocessing
from image_api.reprocessing.service import REPROCESSING
from image_api.server.shutdown import Shutdown
from image_api.storage_usage import tasks as storage_usage
from image_api.tasks import health, intake
from image_api.tasks.intake import EventHandler
from image_api.tasks.locks import StepLocks
from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import Step
from image_api.tasks.settings import TasksSettings
from image_api.teams import tasks as teams
from image_api.teams.service import REMOVAL as TEAM_REMOVAL
from image_api.upload_tokens import tasks as upload_tokens
from image_api.uploads import tasks as uploads
from image_api.usage import tasks as usage
from image_api.users import tasks as users
from image_api.users.service import REMOVAL as USER_REMOVAL
from image_api.webhooks import STEP as WEBHOOKS_SENT
from image_api.webhooks import tasks as webhooks
from image_core import process_memory, telemetry
from image_core.db import Database
from image_core.direct_traffic import keep_local_traffic_direct
from image_core.feed.pubsub import PubSubPublisher
from image_core.images.removal.lost_originals import STEP as ORIGINALS_REPLACED
from image_core.intake.identity import IssuerKeys
from image_core.intake.request_log import RequestLog
from image_core.storage.gcs import GcsClient

KINDS: dict[str, Kind] = {
    CHANGES: batches.Changes(),
    ANALYSES: batches.Analyses(),
    imports_service.FROM_BUCKET: imports.CopyBucket(),
    imports_service.FROM_URLS: imports.FetchUrls(),
    REPROCESSING: reprocessing.Reprocessing(),
    TEAM_REMOVAL: removals.TeamRemoval(),
    USER_REMOVAL: removals.UserRemoval(),
    RECONCILE: reconcile.Reconcile(),
    EXPORT: exports.Export(),
}
"""The kinds of operations, by the name in their rows."""

# Each can be nudged by its name. Ordered: steps that others depend on come first, and slow ones last.
STEPS: dict[str, Step] = {
    "events_published": outbox.publish_left_behind,
    "asked_again": images.request_again,
    "exhausted": images.fail_exhausted,
    "analyses_asked_again": analyses.request_again,
    "analyses_exhausted": analyses.fail_exhausted,
    "reservations_lapsed": credits.lapse_reservations,
    "accounts_refilled": credits.refill_accounts,
    "expiry_warnings": credentials.warn_of_expiry,
    "storage_told": storage_usage.report_low_storage,
    "delivery_told": delivery_usage.report_low_delivery,
    "links_ended": links.end_expired,
    "audit_seals": audit_events.seal,
    "dead_letters_open": dead_letters.report_open,
    "old_events": outbox.remove_old_events,
    "old_uploads": uploads.remove_expired,
    "old_sign_ins": people.remove_old_sign_ins,
    "old_answers": idempotency.remove_expired,
    "old_upload_tokens": upload_tokens.remove_expired,
    "old_link_visits": links.forget_visits,
    "old_dead_letters": dead_letters.remove_handled,
    "old_hashes": known_hashes.forget_old,
    "operations_stuck": operations.report_stuck,
    "webhooks_stuck": webhooks.report_stuck,
    "old_operations": operations.remove_old,
    "old_request_counts": usage.remove_old_counts,
    "users_removed": users.remove_marked,
    "teams_removed": teams.remove_marked,
    "remakes_requested": presets.request_remakes,
    "renditions_removed": renditions.remove_unused,
    "rendition_failures_forgotten": renditions.forget_failures,
    "capture_filled": images.fill_capture,
    "search_terms_filled": images.fill_search_terms,
    ORIGINALS_REPLACED: reconcile.replace_lost,
    "overdue_uploads": uploads.end_overdue,
    "sessions_forgotten": direct_uploads.forget_ended,
    "purged": images.purge,
    "objects_removed": images.remove_discarded,
    "old_webhook_deliveries": webhooks.remove_old_deliveries,
    WEBHOOKS_SENT: webhooks.send_due,
    "operations": operations.step(KINDS),
}


EVENT_HANDLERS: Sequence[EventHandler] = (webhooks.on_event,)
"""What is told of every event that is published."""


def create_app(
    settings: TasksSettings,
    steps: Mapping[str, Step] = STEPS,
    event_handlers: Sequence[EventHandler] = EVENT_HANDLERS,
) -> FastAPI:
    """Wire the parts of `image-tasks` together."""
    app = FastAPI(
        title="image-tasks",
        version=settings.service_version,
        openapi_url=None,
        lifespan=partial(_lifespan, settings=settings),
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.steps = steps
    app.state.event_handlers = event_handlers
    app.include_router(intake.router)
    app.include_router(dead_letter_intake.router)
    app.include_router(health.router)
    app.add_middleware(RequestLog)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI, *, settings: TasksSettings) -> AsyncIterator[None]:
    gcs = GcsClient(settings.storage_emulator_host, settings.gcloud_creds_path)
    publisher = PubSubPublisher(settings.google_cloud_project, settings.topics, settings.pubsub_emulator_host)
    database = Database(settings.database)
    shutdown = Shutdown()
    parts = app.state.parts = TaskParts(
        settings=settings,
        database=database,
        locks=StepLocks(database),
        is_stopping=lambda: shutdown.stopping,
        open_bucket=gcs.bucket,
        fetcher=GuardedFetcher(settings.fetch_allow_addresses),
        originals=gcs.bucket(settings.image_upload_bucket_name),
        derivatives=gcs.bucket(settings.image_derivatives_bucket_name),
        publisher=publisher,
        issuer_keys=IssuerKeys(settings.push_jwks_url),
        purged_hash_master=settings.open_purged_hash_master(),
        webhook_master=settings.open_webhook_master(),
    )
    await parts.database.open()
    shutdown.listen()
    # The Google clients take longer to load than everything else, so the port opens before them.
    warming = asyncio.create_task(asyncio.to_thread(_warm, gcs, publisher))
    try:
        yield
    finally:
        shutdown.release()
        await asyncio.gather(warming, return_exceptions=True)
        await publisher.close()
        await gcs.close()
        await parts.database.close()


def _warm(gcs: GcsClient, publisher: PubSubPublisher) -> None:
    gcs.warm()
    publisher.warm()


def create_app_from_environment(settings: TasksSettings) -> FastAPI:
    """Wire the parts together, with settings from the environment, logging to standard output."""
    keep_local_traffic_direct(os.environ)
    telemetry.configure_logging(
        "image-tasks", settings.service_version, settings.google_cloud_project, settings.log_level
    )
    return create_app(settings)


if __name__ == "__main__":
    process_memory.bound_allocator()
    from_environment = TasksSettings()
    uvicorn.run(
        create_app_from_environment(from_environment),
        host=from_environment.host,
        port=from_environment.port,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        # Steps end when the signal arrives; an interrupted one leaves what it has not committed to the next sweep.
        timeout_graceful_shutdown=8,
    )
