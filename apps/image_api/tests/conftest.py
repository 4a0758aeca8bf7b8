"""The API as it is, over ASGI, with its whole middleware; each answer is compared with the OpenAPI document."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from opentelemetry.trace import TracerProvider
from sqlalchemy import insert, select, update

from image_api.actor import DEFAULT_SCOPES, Role
from image_api.app import create_app
from image_api.changes import streams
from image_api.http import pagination
from image_api.limits.rate_limits import RateLimits
from image_api.lookups.analyzer_models import AnalyzerModels
from image_api.services import Services
from image_api.settings import ApiSettings
from image_core import db, testing
from image_core.admin import ADMIN_USER_ID
from image_core.db import Database, Record
from image_core.ids import new_id
from image_core.keys import master_secrets, signing_keys
from image_core.models import credential, image, session
from image_core.testing import UserWithKey

from .housekeeping import PURGED_HASH_MASTER, WEBHOOK_MASTER, running_tasks, tasks  # noqa: F401 (fixtures of every room)
from .openapi_truth import OpenApiTruth
from .pictures import picture
from .tenancy_rule import TenancyRule

# No test is to meet a limit by its speed; those about limits set their own.
PLENTY = {
    "rate_limit_per_second": 100_000,
    "upload_rate_limit_per_second": 100_000,
    "address_rate_limit_per_second": 100_000,
    "sign_in_limit_per_minute": 100_000,
}
SIGNING_KEY = signing_keys.generate()
UPLOAD_SESSION_MASTER = master_secrets.generate()
DELIVERY = {"delivery_url": "https://pictures.test", "delivery_master": master_secrets.generate()}
# Weak, so that no test waits for a hash.
SIGN_IN = {
    "password_hash_memory_kib": 32,
    "password_hash_iterations": 1,
    "token_signing_keys": signing_keys.to_text([SIGNING_KEY]),
}
# Where the servers listen from which tests import.
LOCAL_SOURCES = ["127.0.0.1/32"]


PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Person(UserWithKey):
    """Somebody with an e-mail address and the password of all tests."""

    email: str


@dataclass
class Api:
    """A running application, and the rows behind it."""

    app: FastAPI
    client: httpx2.AsyncClient
    rows: Database
    truth: OpenApiTruth
    admin: UserWithKey = field(init=False)

    @property
    def services(self) -> Services:
        services: Services = self.app.state.services
        return services

    async def team(self, name: str | None = None) -> UUID:
        return await testing.add_team(self.rows, name)

    async def user(self, team_id: UUID | None = None, role: Role = Role.MEMBER, **columns: Any) -> UserWithKey:
        """A user with its role's scopes, in a team of its own unless one is given."""
        if team_id is None and role is not Role.ADMIN:
            team_id = await self.team()
        columns.setdefault("scopes", tuple(DEFAULT_SCOPES[role]))
        return await testing.add_user(self.rows, team_id, role, **columns)

    async def upload(self, by: UserWithKey, body: bytes | None = None, **parameters: Any) -> dict[str, Any]:
        """The body of an upload that is expected to come through."""
        headers = {**by.headers, "content-type": "image/png"}
        answer = await self.client.post(
            "/api/v1/images", content=picture() if body is None else body, headers=headers, params=parameters
        )
        assert answer.status_code in (200, 201), answer.text
        uploaded: dict[str, Any] = answer.json()
        return uploaded

    async def row(self, image_id: UUID | str) -> Record:
        found = await self.rows.fetch_one(select(image).where(image.c.id == UUID(str(image_id))))
        assert found is not None
        return found

    async def only_row(self) -> Record:
        (found,) = await self.rows.fetch(select(image))
        return found

    async def set_row(self, image_id: UUID | str, **columns: Any) -> None:
        await self.rows.execute(update(image).where(image.c.id == UUID(str(image_id))).values(**columns))

    async def person(self, **columns: Any) -> "Person":
        """A member with a password, who has not signed in."""
        number = new_id().hex[-12:]
        email = columns.pop("email", f"ada.{number}@example.org")
        password_hash = await self.services.passwords.hash(PASSWORD)
        made = await self.user(email=email, password_hash=password_hash, **columns)
        return Person(made.user_id, made.team_id, made.credential_id, made.api_key, email)

    async def login(
        self, email: str, password: str = PASSWORD, mode: str = "token", address: str | None = None
    ) -> httpx2.Response:
        body = {"email": email, "password": password, "mode": mode}
        headers = {"X-Forwarded-For": address} if address else {}
        return await self.client.post("/api/v1/auth/login", json=body, headers=headers)

    async def bearer(self, by: UserWithKey) -> dict[str, str]:
        """The headers of somebody who has signed in, by whatever way."""
        session_id, ends_at = new_id(), datetime.now(UTC) + timedelta(hours=1)
        await self.rows.execute(insert(session).values(id=session_id, user_id=by.user_id, expires_at=ends_at))
        token, _ = await self.services.access_tokens.issue(session_id, by.user_id, datetime.now(UTC), ends_at)
        return {"Authorization": f"Bearer {token}"}

    def forget_keys(self) -> None:
        """As if the cache's time were over."""
        self.app.state.key_cache.rows.clear()
        self.services.session_cache.rows.clear()
        self.services.team_delivery.known.clear()


MakeApi = Callable[..., AbstractAsyncContextManager[Api]]
_TRUTHS: dict[tuple[object, ...], OpenApiTruth] = {}


def _truth_of(app: FastAPI, settings: ApiSettings) -> OpenApiTruth:
    """The document is the same for all applications with these settings, and takes longer to make than the rest."""
    shown = (settings.session_cookie_name, settings.public_base_url)
    if shown not in _TRUTHS:
        _TRUTHS[shown] = OpenApiTruth(app.openapi())
    return _TRUTHS[shown]


@asynccontextmanager
async def running(
    settings: ApiSettings, rows: Database, tracer_provider: TracerProvider | None = None
) -> AsyncIterator[Api]:
    app = create_app(settings, tracer_provider)
    truth = _truth_of(app, settings)
    transport = httpx2.ASGITransport(app)
    async with (
        LifespanManager(app, startup_timeout=60, shutdown_timeout=60),
        httpx2.AsyncClient(
            transport=transport, base_url="http://api", event_hooks={"response": [truth.check]}, timeout=30
        ) as client,
    ):
        yield Api(app, client, rows, truth)


async def with_admin(api: Api) -> Api:
    """Rotates the default key away and gives the admin a key that may do everything."""
    await api.rows.execute(update(credential).where(credential.c.is_default).values(is_default=False))
    api.admin = await testing.add_key(api.rows, ADMIN_USER_ID, None)
    return api


@pytest.fixture(scope="session", autouse=True)
def every_page_is_bounded_by_its_query() -> Iterator[None]:
    """Refuse a page for which more rows were read than the one too many that shows that there is another."""
    original = pagination.next_cursor

    def checked(rows: Sequence[Record], limit: int) -> str | None:
        assert len(rows) <= limit + 1
        return original(rows, limit)

    with pytest.MonkeyPatch.context() as patched:
        for module in [module for name, module in sys.modules.items() if name.startswith("image_api.")]:
            if getattr(module, "next_cursor", None) is original:
                patched.setattr(module, "next_cursor", checked)
        yield


@pytest.fixture(scope="session", autouse=True)
def streams_are_short() -> Iterator[None]:
    """No test waits for a minute."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(streams, "TIMES", streams.Times(life=20, idle=0.2))
        yield


@pytest.fixture(scope="session")
def tenancy_rule() -> Iterator[TenancyRule]:
    rule, prepare = TenancyRule(), db._prepare

    def checked(statement: Any, values: dict[str, Any]) -> tuple[str, list[Any]]:
        sql, arguments = prepare(statement, values)
        rule.check(statement, sql)
        return sql, arguments

    with pytest.MonkeyPatch.context() as patched:
        if os.environ.get("TENANCY_RULE") != "off":
            patched.setattr(db, "_prepare", checked)
        yield rule


@pytest.fixture(autouse=True)
def every_statement_names_its_team(tenancy_rule: TenancyRule) -> Iterator[None]:
    tenancy_rule.is_on = True
    yield
    tenancy_rule.is_on = False
    broken, tenancy_rule.broken = tenancy_rule.broken, {}
    assert broken == {}, "these statements reach rows of any team"


@pytest.fixture(scope="session")
def base_settings(worker_urls: Any, emulators: Any) -> dict[str, Any]:
    """What every application of this worker is told."""
    return {
        **emulators.settings,
        **PLENTY,
        **SIGN_IN,
        **DELIVERY,
        "purged_hash_master": PURGED_HASH_MASTER,
        "upload_session_master": UPLOAD_SESSION_MASTER,
        "webhook_master": WEBHOOK_MASTER,
        "database_url": worker_urls.api,
        "metrics_enabled": True,
    }


@pytest.fixture(scope="session")
async def running_api(base_settings: dict[str, Any], superuser: Database) -> AsyncIterator[Api]:
    async with running(ApiSettings(**base_settings, fetch_allow_addresses=LOCAL_SOURCES), superuser) as api:
        yield api


async def as_just_started(running: Api) -> Api:
    """An application that a worker's tests share, as if it had just been started on a clean database."""
    running.forget_keys()
    running.app.state.key_cache._used.clear()
    running.app.state.request_counts._requests.clear()
    running.app.state.view_counts._seen.clear()
    object.__setattr__(running.services, "rate_limits", RateLimits(running.services.settings))
    object.__setattr__(running.services, "analyzer_models", AnalyzerModels(running.services.database))
    running.client.cookies.clear()
    return await with_admin(running)


@pytest.fixture
async def api(rows: Database, running_api: Api) -> Api:
    """The worker's one application."""
    return await as_just_started(running_api)


@pytest.fixture(scope="session")
async def running_local_api(base_settings: dict[str, Any], superuser: Database) -> AsyncIterator[Api]:
    async with running(ApiSettings(**base_settings, public_base_url="http://api"), superuser) as api:
        yield api


@pytest.fixture
async def local_api(rows: Database, running_local_api: Api) -> Api:
    """The worker's one application of the local cloud, which has all pages."""
    return await as_just_started(running_local_api)


@pytest.fixture
def make_api(rows: Database, base_settings: dict[str, Any]) -> MakeApi:
    """Starts another application, with settings of its own."""

    @asynccontextmanager
    async def make(*, tracer_provider: TracerProvider | None = None, **overrides: Any) -> AsyncIterator[Api]:
        async with running(ApiSettings(**{**base_settings, **overrides}), rows, tracer_provider) as made:
            yield await with_admin(made)

    return make


@pytest.fixture
async def member(api: Api) -> UserWithKey:
    return await api.user()


@pytest.fixture
async def colleague(api: Api, member: UserWithKey) -> UserWithKey:
    """Somebody else in the member's team."""
    return await api.user(member.team_id)


@pytest.fixture
async def stranger(api: Api) -> UserWithKey:
    """A member of another team."""
    return await api.user()
