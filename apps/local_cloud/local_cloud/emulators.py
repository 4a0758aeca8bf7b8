"""Runs object store, Pub/Sub, OIDC issuer and scheduler in one process: `python -m local_cloud.emulators`."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator

import grpc
import uvicorn

from image_core.background import supervise
from image_core.direct_traffic import keep_local_traffic_direct
from image_core.telemetry import configure_logging
from local_cloud.identity import Identity
from local_cloud.object_store.store import ObjectStore, Publish
from local_cloud.pubsub.broker import Broker
from local_cloud.pubsub.push import PushDelivery
from local_cloud.pubsub.records import Subscription
from local_cloud.pubsub.service import PubSubService
from local_cloud.scheduler import Scheduler
from local_cloud.settings import EmulatorSettings
from local_cloud.web.admin_app import EmulatorApp

SHUTDOWN_SECONDS = 2
MAX_GRPC_MESSAGE_BYTES = 11 * 1024 * 1024  # a Publish request holds up to 10 MB


class _Server(uvicorn.Server):
    """A server that leaves signals to this process, which has more to stop than HTTP."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: EmulatorSettings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        OSError: A port is taken.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    identity = Identity(settings.data_dir, settings.project_id)
    async with contextlib.AsyncExitStack() as stack:
        scheduler = _scheduler(settings, identity)
        stack.push_async_callback(scheduler.close)
        broker = await stack.enter_async_context(_pubsub(settings, identity)) if settings.emulate_pubsub else None
        publish = _publish_to(broker) if broker else await stack.enter_async_context(_outside_publisher(settings))
        store = _object_store(settings, publish) if settings.emulate_storage else None
        background = []
        if store is not None:
            stack.callback(store.close)
            background.append(asyncio.create_task(supervise("notifications", store.send_notifications)))
            background.append(asyncio.create_task(supervise("soft_delete", store.keep_removing_overdue)))
        if settings.sweep_seconds > 0:
            background.append(asyncio.create_task(supervise("scheduler", scheduler.run)))
        stack.push_async_callback(_cancel, background)
        await _serve_http(settings, EmulatorApp(settings, identity, store, broker, scheduler))


async def _serve_http(settings: EmulatorSettings, app: EmulatorApp) -> None:
    config = uvicorn.Config(
        app,
        host=settings.bind_host,
        port=settings.http_port,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = _Server(config)

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await server.serve()


def _object_store(settings: EmulatorSettings, publish: Publish) -> ObjectStore:
    store = ObjectStore(settings.data_dir / "objects", publish=publish, base_url=settings.base_url)
    store.catalog.configure_bucket(
        settings.originals_bucket,
        versioning=True,
        topic=settings.topic(settings.uploads_topic),
        soft_delete_seconds=settings.soft_delete_seconds,
    )
    store.catalog.configure_bucket(settings.derivatives_bucket, versioning=False, topic=None)
    store.catalog.configure_bucket(settings.scratch_bucket, versioning=False, topic=None)
    return store


@contextlib.asynccontextmanager
async def _pubsub(settings: EmulatorSettings, identity: Identity) -> AsyncIterator[Broker]:
    broker = Broker(settings.data_dir / "pubsub")
    _create_topics(broker, settings)
    server = grpc.aio.server(
        options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", MAX_GRPC_MESSAGE_BYTES)]
    )
    server.add_generic_rpc_handlers(PubSubService(broker).handlers())
    try:
        server.add_insecure_port(f"{settings.bind_host}:{settings.pubsub_port}")
    except RuntimeError:
        raise OSError(f"Port {settings.pubsub_port} on {settings.bind_host} is in use.") from None
    await server.start()
    push = PushDelivery(broker, identity.token, max_outstanding=settings.push_max_outstanding)
    try:
        yield broker
    finally:
        await push.close()
        await server.stop(0.5)
        broker.close()


def _create_topics(broker: Broker, settings: EmulatorSettings) -> None:
    dead_letters = settings.topic(settings.dead_letter_topic)
    pushed = {
        settings.uploads_topic: ("uploads", settings.push_max_attempts),
        settings.analyses_topic: ("analyses", settings.push_max_attempts),
        settings.renditions_topic: ("renditions", settings.push_renditions_max_attempts),
    }
    nudging = {settings.events_topic: "events", settings.tasks_topic: "tasks"}
    for name in (*pushed, *nudging, settings.dead_letter_topic):
        broker.ensure_topic(settings.topic(name))
    for name, (path, max_attempts) in pushed.items():
        broker.ensure_subscription(
            Subscription(
                name=settings.subscription(f"{name}-push"),
                topic=settings.topic(name),
                push_endpoint=f"{settings.processor_url}/push/{path}",
                push_audience=settings.push_audience,
                push_email=settings.push_email,
                ack_deadline_seconds=settings.push_ack_deadline_seconds,
                min_backoff_seconds=settings.push_min_backoff_seconds,
                max_backoff_seconds=settings.push_max_backoff_seconds,
                dead_letter_topic=dead_letters,
                max_delivery_attempts=max_attempts,
            )
        )
    for name, path in nudging.items():
        broker.ensure_subscription(
            Subscription(
                name=settings.subscription(f"{name}-push"),
                topic=settings.topic(name),
                push_endpoint=f"{settings.tasks_url}/push/{path}",
                push_audience=settings.tasks_audience,
                push_email=settings.push_email,
                ack_deadline_seconds=settings.nudge_ack_deadline_seconds,
                min_backoff_seconds=settings.push_min_backoff_seconds,
                max_backoff_seconds=settings.push_max_backoff_seconds,
                retention_seconds=settings.nudge_retention_seconds,
            )
        )
    # Without a dead-letter topic of its own, so that no message goes round in a circle.
    broker.ensure_subscription(
        Subscription(
            name=settings.subscription(f"{settings.dead_letter_topic}-push"),
            topic=dead_letters,
            push_endpoint=f"{settings.tasks_url}/push/dead-letters",
            push_audience=settings.tasks_audience,
            push_email=settings.push_email,
            ack_deadline_seconds=settings.push_ack_deadline_seconds,
            min_backoff_seconds=settings.push_min_backoff_seconds,
            max_backoff_seconds=settings.push_max_backoff_seconds,
        )
    )
    # Keeps them for a disaster, such as the loss of the database.
    broker.ensure_subscription(
        Subscription(settings.subscription(f"{settings.dead_letter_topic}-pull"), dead_letters, min_backoff_seconds=0.0)
    )


def _publish_to(broker: Broker) -> Publish:
    async def publish(topic: str, data: bytes, attributes: dict[str, str]) -> None:
        broker.publish(topic, data, attributes)

    return publish


@contextlib.asynccontextmanager
async def _outside_publisher(settings: EmulatorSettings) -> AsyncIterator[Publish]:
    """Return a publisher to an external Pub/Sub."""
    from google.pubsub_v1 import types

    host = settings.outside_pubsub_host or f"127.0.0.1:{settings.pubsub_port}"
    async with grpc.aio.insecure_channel(host) as channel:
        call = channel.unary_unary(
            "/google.pubsub.v1.Publisher/Publish",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=types.PublishResponse.pb().FromString,
        )

        async def publish(topic: str, data: bytes, attributes: dict[str, str]) -> None:
            message = types.PubsubMessage.pb()(data=data, attributes=attributes)
            await call(types.PublishRequest.pb()(topic=topic, messages=[message]), timeout=5)

        yield publish


def _scheduler(settings: EmulatorSettings, identity: Identity) -> Scheduler:
    def token() -> str:
        return identity.token(settings.tasks_audience, settings.scheduler_email)

    return Scheduler(f"{settings.tasks_url}/tasks/sweep", token, settings.sweep_seconds)


async def _cancel(tasks: "list[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """Run the emulators as configured by the environment."""
    keep_local_traffic_direct(os.environ)
    settings = EmulatorSettings()
    configure_logging("emulators", "local", settings.project_id, "WARNING")
    loop_factory = None
    with contextlib.suppress(ImportError):
        import uvloop

        loop_factory = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(serve(settings))
    except OSError as error:
        sys.exit(f"The emulators could not be started: {error}")


if __name__ == "__main__":
    main()
