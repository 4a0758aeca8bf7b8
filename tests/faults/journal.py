"""What the callers of a test did and what they were told, kept for the checker."""

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx2

_SCOPES = ("images:read", "images:write", "images:delete", "keys:self", "delivery:manage", "webhooks:manage")
PATIENCE_SECONDS = 45.0
"""Longer than any answer may take, so that one that takes too long is seen as such."""


@dataclass(frozen=True)
class Answered:
    """One answer of the API, or that there was none."""

    method: str
    path: str
    status: int | None
    retry_after: str | None
    seconds: float
    text: str


@dataclass(frozen=True)
class Tried:
    """One upload; `image_id` is what a 200 or 201 promised."""

    team_id: str
    sha256: str
    image_id: str | None


@dataclass
class Journal:
    """Everything that one test did."""

    answers: list[Answered] = field(default_factory=list)
    uploads: list[Tried] = field(default_factory=list)
    api_keys: list[str] = field(default_factory=list)
    callers: list["Caller"] = field(default_factory=list)
    trashed: set[str] = field(default_factory=set)
    connections_may_break: bool = False
    """Set by a test that kills the API: only then may a request end without an answer."""


class Caller:
    """One user of one team, over HTTP."""

    def __init__(self, url: str, api_key: str, team_id: str, journal: Journal) -> None:
        self.api_key, self.team_id, self._journal = api_key, team_id, journal
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
        self._client = httpx2.AsyncClient(
            base_url=f"{url}/api/v1",
            headers={"X-API-KEY": api_key},
            trust_env=False,
            timeout=PATIENCE_SECONDS,
            limits=limits,
        )
        journal.api_keys.append(api_key)
        journal.callers.append(self)

    async def close(self) -> None:
        await self._client.aclose()

    async def ask(self, method: str, path: str, **options: Any) -> httpx2.Response | None:
        """The answer, or None where the connection broke."""
        began_at = time.monotonic()
        answer = None
        try:
            answer = await self._client.request(method, path, **options)
        except httpx2.TransportError as error:
            text = repr(error)
        else:
            text = answer.text if answer.status_code >= 400 else ""
        self._journal.answers.append(
            Answered(
                method,
                path,
                answer.status_code if answer is not None else None,
                answer.headers.get("retry-after") if answer is not None else None,
                time.monotonic() - began_at,
                text,
            )
        )
        return answer

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        answer = await self.ask("GET", path, **options)
        assert answer is not None, f"no answer to GET {path}"
        return answer

    async def upload(
        self, content: bytes, *, body: Any = None, key: str | None = None, **parameters: Any
    ) -> httpx2.Response | None:
        """Send `content`, by the way of `body` where that is given, as a raw request body, under `key`."""
        answer = await self.ask(
            "POST",
            "/images",
            params=parameters,
            content=content if body is None else body,
            headers={"Content-Type": "image/jpeg"} | ({} if key is None else {"Idempotency-Key": key}),
        )
        image_id = answer.json()["id"] if answer is not None and answer.status_code in {200, 201} else None
        self._journal.uploads.append(Tried(self.team_id, hashlib.sha256(content).hexdigest(), image_id))
        return answer

    async def uploaded(self, content: bytes, **parameters: Any) -> dict[str, Any]:
        """Upload something that has to be taken, and return the image."""
        answer = await self.upload(content, **parameters)
        assert answer is not None, "no answer to an upload"
        assert answer.status_code in {200, 201}, answer.text
        image: dict[str, Any] = answer.json()
        return image

    async def image(self, image_id: str | UUID) -> dict[str, Any]:
        answer = await self.get(f"/images/{image_id}")
        assert answer.status_code == 200, answer.text
        image: dict[str, Any] = answer.json()
        return image

    async def trash(self, image_id: str) -> None:
        answer = await self.ask("DELETE", f"/images/{image_id}")
        assert answer is not None
        assert answer.status_code == 204, answer.text
        self._journal.trashed.add(image_id)


async def new_caller(url: str, admin_api_key: str, journal: Journal) -> Caller:
    """Make a team with one user and return that user."""
    name = f"team {uuid4()}"
    async with httpx2.AsyncClient(base_url=f"{url}/api/v1", trust_env=False, timeout=30) as client:
        admin = {"X-API-KEY": admin_api_key}
        team = (await client.post("/teams", json={"name": name}, headers=admin)).raise_for_status().json()
        made = await client.post(
            f"/teams/{team['id']}/users",
            json={"name": name, "scopes": [*_SCOPES]},
            headers=admin,
        )
        return Caller(url, made.raise_for_status().json()["api_key"], team["id"], journal)
