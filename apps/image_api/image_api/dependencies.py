"""What routes are given: the parts of the running system, and a transaction."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from fastapi.params import Depends as DependsMarker

from image_api.rate_limits import RateLimits
from image_api.settings import ApiSettings
from image_api.shutdown import Shutdown
from image_api.storage_probe import StorageProbe
from image_core import events
from image_core.db import Database, Transaction
from image_core.events import Publisher
from image_core.storage import ObjectStorage


@dataclass(frozen=True)
class Services:
    """The parts that `create_app` wired together."""

    settings: ApiSettings
    database: Database
    originals: ObjectStorage
    derivatives: ObjectStorage
    publisher: Publisher
    rate_limits: RateLimits
    storage_probe: StorageProbe
    shutdown: Shutdown = field(default_factory=Shutdown)


def services_of(request: Request) -> Services:
    """The parts of the application that serves this request."""
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(services_of)]


async def open_transaction(services: ServicesDep) -> AsyncIterator[Transaction]:
    """One transaction for the request, committed before the answer leaves; then its events are published."""
    async with services.database.transaction() as transaction:
        yield transaction
    for call in transaction.on_commit:
        call()
    if transaction.recorded:
        await events.publish(services.database, services.publisher, transaction.recorded)


# With the default scope the answer would leave before the commit, and a failed commit would look like a success.
TransactionDep = Annotated[Transaction, DependsMarker(open_transaction, scope="function")]
