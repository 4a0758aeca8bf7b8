"""The local Cloud Scheduler: calls one URL periodically, with the token of its own account."""

import asyncio
from collections.abc import Callable

import httpx2

from image_core.telemetry import log

ATTEMPT_SECONDS = 30.0


class Scheduler:
    """One job. Source of the headers: https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs."""

    def __init__(self, url: str, token: Callable[[], str], interval_seconds: float) -> None:
        self._url = url
        self._token = token
        self._interval_seconds = interval_seconds
        self._client = httpx2.AsyncClient(trust_env=False, timeout=ATTEMPT_SECONDS)

    async def run_now(self) -> int | None:
        """Call the URL once and return the status, or `None` if there was no response."""
        headers = {
            "authorization": f"Bearer {self._token()}",
            "user-agent": "Google-Cloud-Scheduler",
            "x-cloudscheduler": "true",
            "x-cloudscheduler-jobname": "sweep",
        }
        try:
            response = await self._client.post(self._url, headers=headers)
        except httpx2.HTTPError as error:
            log("scheduled_call_failed", reason=type(error).__qualname__)
            return None
        return response.status_code

    async def run(self) -> None:
        """Call the URL every interval, forever; a slow call delays the next one."""
        while True:
            await asyncio.sleep(self._interval_seconds)
            await self.run_now()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
