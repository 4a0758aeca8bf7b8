"""The parts of the running system that services use."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from image_api.limits.long_requests import LongRequests
from image_api.limits.rate_limits import RateLimits
from image_api.lookups.analyzer_models import AnalyzerModels
from image_api.lookups.feed_watch import FeedWatch
from image_api.lookups.storage_probe import StorageProbe
from image_api.lookups.team_delivery import TeamDeliveries
from image_api.proofs.access_tokens import AccessTokens
from image_api.proofs.passwords import Passwords
from image_api.proofs.session_cache import SessionCache
from image_api.proofs.sign_in_links import SignInLinks
from image_api.server.background_work import BackgroundWork
from image_api.server.shutdown import Shutdown
from image_api.settings import ApiSettings
from image_core import errors
from image_core.db import Database
from image_core.events import Publisher
from image_core.keys.master_secrets import MasterSecret
from image_core.storage.protocol import ObjectStorage

if TYPE_CHECKING:
    from image_api.fetching.guarded_fetch import GuardedFetcher

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 0.5


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
    team_delivery: TeamDeliveries
    feed_watch: FeedWatch
    long_requests: LongRequests
    delivery_master: MasterSecret | None
    purged_hash_master: MasterSecret | None
    upload_session_master: MasterSecret | None
    webhook_master: MasterSecret | None
    sign_in_links: SignInLinks = field(default_factory=SignInLinks)
    shutdown: Shutdown = field(default_factory=Shutdown)
    background: BackgroundWork = field(default_factory=BackgroundWork)

    async def require_delivery_master(self) -> bytes:
        """Return the master secret of delivery. No transaction may be open.

        Raises:
            errors.DeliveryNotConfigured: There is none.
            errors.MasterSecretUnavailable: It cannot be read.
        """
        if self.delivery_master is None:
            raise errors.DeliveryNotConfigured
        return await self.delivery_master.get()

    async def polls(self, seconds: float) -> AsyncIterator[None]:
        """Yield before each poll of something that may end soon; stop after `seconds`, or at shutdown."""
        loop = asyncio.get_running_loop()
        ends_at, pause = loop.time() + seconds, _FIRST_PAUSE_SECONDS
        while (left := ends_at - loop.time()) > 0 and not self.shutdown.stopping:
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
            yield

    @cached_property
    def fetcher(self) -> "GuardedFetcher":
        """Fetches URLs that callers name. Its HTTP client is imported at first use."""
        from image_api.fetching.guarded_fetch import GuardedFetcher

        return GuardedFetcher(self.settings.fetch_allow_addresses)
