"""One trace from the upload through the push to `ready`, and one picture on the whole way with its real codecs."""

import base64
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from asgi_lifespan import LifespanManager
from joserfc import jwt
from joserfc.jwk import RSAKey
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import select

from image_api.app import create_app as create_api
from image_api.settings import ApiSettings
from image_core import testing
from image_core.db import Database
from image_core.models import image
from image_engine.testing.pictures import scene
from image_processor.app import create_app as create_processor
from image_processor.settings import ProcessorSettings

AUDIENCE, EMAIL = "https://processor.test", "push@test.iam.gserviceaccount.com"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> TracerProvider:
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(exporter))
    return made


@pytest.fixture
async def api(urls: Any, emulators: Any, provider: TracerProvider) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_api(ApiSettings(**emulators.settings, database_url=urls.api), provider)
    async with (
        LifespanManager(app, startup_timeout=60, shutdown_timeout=60),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://a") as it,
    ):
        yield it


@pytest.fixture
async def processor(urls: Any, emulators: Any, provider: TracerProvider) -> AsyncIterator[httpx2.AsyncClient]:
    settings = ProcessorSettings(
        **emulators.settings, database_url=urls.processor, push_audience=AUDIENCE, push_service_account_email=EMAIL,
        scheduler_service_account_email=EMAIL, push_jwks_url=f"{emulators.storage_host}/certs", worker_count=1,
    )  # fmt: skip
    app = create_processor(settings, provider)
    async with (
        LifespanManager(app, startup_timeout=60, shutdown_timeout=60),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://p", timeout=30) as it,
    ):
        yield it


def token(folder: Path) -> str:
    key = RSAKey.import_key((folder / "oidc-key.pem").read_text())
    key.ensure_kid()
    claims = {"iss": "https://accounts.google.com", "aud": AUDIENCE, "email": EMAIL, "email_verified": True}
    return jwt.encode({"alg": "RS256", "kid": key.kid}, claims | {"exp": int(time.time()) + 600}, key)


@pytest.mark.parametrize("from_the_caller", [None, f"00-{'c' * 32}-{'d' * 16}-01"], ids=["ours", "the-callers"])
async def test_one_trace_leads_from_the_upload_to_ready(
    rows: Database,
    api: httpx2.AsyncClient,
    processor: httpx2.AsyncClient,
    emulators: Any,
    exporter: InMemorySpanExporter,
    from_the_caller: str | None,
) -> None:
    member = await testing.add_user(rows, await testing.add_team(rows), scopes=("images:read", "images:write"))
    headers = {**member.headers, "content-type": "image/jpeg"}
    if from_the_caller:
        headers["traceparent"] = from_the_caller
    body = scene().write_to_buffer(".jpg")
    uploaded = await api.post("/api/v1/images", content=body, headers=headers)
    assert uploaded.status_code == 201
    row = await rows.fetch_one(select(image))
    assert row is not None
    attributes = {
        "eventType": "OBJECT_FINALIZE", "bucketId": emulators.settings["image_upload_bucket_name"],
        "objectId": row["object_name"], "objectGeneration": str(row["generation"]),
    }  # fmt: skip
    pushed = await processor.post(
        "/push/uploads",
        json={"message": {"data": base64.b64encode(b"{}").decode(), "attributes": attributes}},
        headers={"authorization": f"Bearer {token(emulators.data_dir)}"},
    )
    assert pushed.status_code == 204
    ready = (await api.get(f"/api/v1/images/{row['id']}", headers=member.headers)).json()
    assert (ready["status"], ready["width"], ready["height"]) == ("ready", 320, 240)
    assert {each["preset"] for each in ready["derivatives"]} == {"thumb", "preview", "large"}
    for each in ready["derivatives"]:
        content = await api.get(each["url"], headers=member.headers)
        assert (content.status_code, content.content[8:12]) == (200, b"WEBP")

    spans = exporter.get_finished_spans()
    process = next(span for span in spans if span.name == "process image")
    upload = next(span for span in spans if "POST" in span.name)
    assert process.context is not None
    assert upload.context is not None
    assert process.context.trace_id == upload.context.trace_id
    assert process.parent is not None
    assert process.attributes == {"image_id": str(row["id"])}
    if from_the_caller:
        assert f"{process.context.trace_id:032x}" == "c" * 32
