"""The HTTP front of the emulator process: health, the issuer's keys, its state, and the store."""

import time
from typing import Any

from local_cloud.identity import Identity
from local_cloud.object_store.api.cors import CrossOrigin
from local_cloud.object_store.api.http import Receive, Request, Response, Scope, Send, json_response
from local_cloud.object_store.app import ObjectStoreApp
from local_cloud.object_store.errors import StoreError, invalid
from local_cloud.object_store.store import ObjectStore
from local_cloud.pubsub.broker import Broker, UnknownNameError
from local_cloud.pubsub.records import Switches
from local_cloud.scheduler import Scheduler
from local_cloud.settings import EmulatorSettings
from local_cloud.web.web_guard import WebGuard, is_own_path


class EmulatorApp:
    """Handles requests about the process itself and passes everything else to the object store."""

    def __init__(
        self,
        settings: EmulatorSettings,
        identity: Identity,
        store: ObjectStore | None,
        broker: Broker | None,
        scheduler: Scheduler,
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._store = store
        self._broker = broker
        self._scheduler = scheduler
        self._guard = WebGuard([settings.advertised_host, settings.bind_host, *settings.hosts])
        cross_origin = CrossOrigin(settings.originals_bucket, settings.direct_upload_origins)
        self._store_app = ObjectStoreApp(store, identity.signer, cross_origin) if store is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            self._guard.check(request)
            response = await self._answer(request) if is_own_path(request.path) else None
        except StoreError as error:
            response = Response(error.status, error.as_json())
        if response is not None:
            await response.send(send, head=request.method == "HEAD")
        elif self._store_app is not None:
            await self._store_app(scope, receive, send)
        else:
            await json_response({"error": "The object store is not emulated here."}, 404).send(send)

    async def _answer(self, request: Request) -> Response:
        match request.method, request.segments:
            case "GET" | "HEAD", ["health", "live" | "ready"]:
                return json_response({"status": "ok"})
            case "GET", ["certs"]:
                return json_response(self._identity.jwks(), headers={"cache-control": "public, max-age=3600"})
            case "GET", ["_local", "state"]:
                return json_response(self._state())
            case "PUT", ["_local", "subscriptions", name, "switches"]:
                return self._set_switches(name, await request.document())
            case "DELETE", ["_local", "messages"]:
                return self._forget_messages(request.query.get("team_id"))
            case "POST", ["_local", "sweep"]:
                return json_response({"status": await self._scheduler.run_now()})
        raise StoreError(404, "notFound", "NoSuchKey", "Not Found")

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {"project": self._settings.project_id, "service_account": str(self._identity.key_file)}
        if self._store is not None:
            state["buckets"] = [bucket.name for bucket in self._store.catalog.buckets()]
        if self._broker is not None:
            state["topics"] = [name.rsplit("/", 1)[-1] for name in self._broker.topics]
            state["dead_lettered"] = self._broker.dead_lettered
            state["subscriptions"] = self._subscriptions(self._broker)
        return state

    def _subscriptions(self, broker: Broker) -> dict[str, Any]:
        described = {}
        for name, backlog in broker.backlogs.items():
            oldest = backlog.oldest_published_at
            described[name.rsplit("/", 1)[-1]] = {
                "backlog": len(backlog),
                "oldest_seconds": None if oldest is None else round(time.time() - oldest, 3),
                "push_endpoint": backlog.subscription.push_endpoint,
                "switches": vars(backlog.switches),
            }
        return described

    def _forget_messages(self, team_id: str | None) -> Response:
        if self._broker is None or not team_id:
            raise invalid("Name the team whose messages are to be forgotten, as in ?team_id=…")
        return json_response({"forgotten": self._broker.forget("team_id", team_id)})

    def _set_switches(self, name: str, document: dict[str, Any]) -> Response:
        if self._broker is None:
            raise invalid("Pub/Sub is not emulated here.")
        try:
            switches = Switches.from_document(document)
            self._broker.set_switches(self._settings.subscription(name), switches)
        except ValueError as error:
            raise invalid(str(error)) from None
        except UnknownNameError:
            raise StoreError(404, "notFound", "NoSuchKey", f"There is no subscription {name}.") from None
        return json_response(vars(switches))
