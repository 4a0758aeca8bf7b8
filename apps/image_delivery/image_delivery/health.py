"""Whether image-delivery is up and can answer addresses."""

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import column, select, table
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from image_core import errors
from image_core.db import Query
from image_core.migrations import HEAD
from image_delivery.grants.keys import DeliveryKeys
from image_delivery.parts import Parts

_revision = Query(select(column("version_num")).select_from(table("alembic_version")))


@dataclass
class Readiness:
    """What has been seen since the process started: once everything has, later faults cost misses only."""

    database: str = "unavailable"
    schema_revision: str | None = None
    keys: str = "unavailable"
    master: str = "unavailable"
    workers_started: bool = False

    @property
    def is_complete(self) -> bool:
        """Tell whether schema, delivery keys and master secret have been read."""
        return self.database == self.keys == self.master == "ok"

    async def look(self, parts: Parts, keys: DeliveryKeys) -> None:
        """Read what has not been read yet."""
        if self.database != "ok":
            await self._look_at_schema(parts)
        if self.database == "ok" and self.keys != "ok":
            with suppress(errors.DatabaseUnavailable):
                await keys.read()
                self.keys = "ok"
        if self.master != "ok":
            with suppress(errors.MasterSecretUnavailable):
                await parts.master.get()
                self.master = "ok"

    async def _look_at_schema(self, parts: Parts) -> None:
        try:
            self.schema_revision = await parts.database.fetch_value(_revision)
        except Exception:  # noqa: BLE001 (whatever it is, no address could be looked up)
            self.database = "unavailable"
            return
        is_new_enough = self.schema_revision is not None and self.schema_revision >= HEAD
        self.database = "ok" if is_new_enough else "schema-behind"


async def live(_: Request) -> Response:
    """Say that the process answers."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """Say whether schema, keys and master secret have been read since the start, and whether workers are there."""
    parts: Parts = request.app.state.parts
    readiness: Readiness = request.app.state.readiness
    await readiness.look(parts, request.app.state.keys)
    workers = len(parts.pool.process_ids) if readiness.workers_started else 0
    is_ready = readiness.is_complete and workers > 0
    confinement = parts.pool.confinement
    answer: dict[str, Any] = {
        "ready": is_ready,
        "database": readiness.database,
        "schema_revision": readiness.schema_revision,
        "keys": readiness.keys,
        "master": readiness.master,
        "workers": workers,
        "confinement": asdict(confinement),
    }
    if workers and not confinement.system_calls:
        answer["warnings"] = [
            "confinement: code in a codec could open sockets, start programs and read this user's files"
        ]
    return JSONResponse(answer, 200 if is_ready else 503, {} if is_ready else {"retry-after": "2"})


async def version(request: Request) -> Response:
    """Say what is running."""
    parts: Parts = request.app.state.parts
    return JSONResponse(
        {"service": "image-delivery", "version": parts.settings.service_version, "schema_revision": HEAD}
    )


async def metrics(request: Request) -> Response:
    """Return the Prometheus metrics of this process, where they are switched on."""
    parts: Parts = request.app.state.parts
    if not parts.settings.metrics_enabled:
        return Response(status_code=404)
    return Response(generate_latest(parts.metrics.registry), media_type=CONTENT_TYPE_LATEST)


ROUTES = [
    Route("/health/live", live),
    Route("/health/ready", ready),
    Route("/version", version),
    Route("/metrics", metrics),
]
