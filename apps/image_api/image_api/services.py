"""The parts of the running system, as rules see them."""

from dataclasses import dataclass, field

from image_api.rate_limits import RateLimits
from image_api.settings import ApiSettings
from image_api.shutdown import Shutdown
from image_api.storage_probe import StorageProbe
from image_core.db import Database
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
