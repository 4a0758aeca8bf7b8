"""The parts of the running system, as rules see them."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from image_api.access_tokens import AccessTokens
from image_api.analyzer_models import AnalyzerModels
from image_api.passwords import Passwords
from image_api.rate_limits import RateLimits
from image_api.session_cache import SessionCache
from image_api.settings import ApiSettings
from image_api.shutdown import Shutdown
from image_api.storage_probe import StorageProbe
from image_core.db import Database
from image_core.events import Publisher
from image_core.storage import ObjectStorage

if TYPE_CHECKING:
    from image_core.guarded_fetch import GuardedFetcher


@dataclass(frozen=True)
class Services:
    """The parts that `create_app` wired together."""

    settings: ApiSettings
    database: Database
    originals: ObjectStorage
    derivatives: ObjectStorage
    scratch: ObjectStorage
    publisher: Publisher
    rate_limits: RateLimits
    storage_probe: StorageProbe
    analyzer_models: AnalyzerModels
    session_cache: SessionCache
    passwords: Passwords
    access_tokens: AccessTokens
    shutdown: Shutdown = field(default_factory=Shutdown)

    @cached_property
    def fetcher(self) -> "GuardedFetcher":
        """Gets what callers name by URL. Its HTTP client is loaded with the first of them."""
        from image_core.guarded_fetch import GuardedFetcher

        return GuardedFetcher(self.settings.fetch_allow_addresses)
