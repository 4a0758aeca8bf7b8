from typing import Any

import orjson
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import text

from image_api.observability import TrustedProxies, client_address
from image_core import testing
from image_core.db import to_json
from image_core.telemetry import JsonFormatter
from image_core.testing import UserWithKey

from .conftest import Api, MakeApi
from .pictures import picture


class TestHeaders:
    @pytest.mark.parametrize("path", ["/health/live", "/api/v1/whoami", "/nothing", "/docs", "/errors/rate-limited"])
    async def test_every_answer_carries_the_security_headers_and_an_id(self, api: Api, path: str) -> None:
        headers = (await api.client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "max-age" in headers["strict-transport-security"]
        assert len(headers["x-request-id"]) == 32

    async def test_every_request_has_an_id_of_its_own(self, api: Api) -> None:
        answers = [await api.client.get("/health/live", headers={"x-request-id": "mine"}) for _ in range(3)]
        assert len({answer.headers["x-request-id"] for answer in answers} | {"mine"}) == 4

    async def test_a_key_sees_how_much_it_may_still_ask(self, make_api: MakeApi) -> None:
        async with make_api(rate_limit_per_second=5) as api:
            member = await api.user()
            answers = [await api.client.get("/api/v1/whoami", headers=member.headers) for _ in range(2)]
        left = [int(answer.headers["ratelimit"].split("r=")[1].split(";")[0]) for answer in answers]
        assert left[1] < left[0]
        assert answers[0].headers["ratelimit-policy"].startswith('"requests";q=')


class TestRateLimit:
    async def test_a_key_that_asks_too_much_is_told_when_to_come_again(self, make_api: MakeApi) -> None:
        async with make_api(rate_limit_per_second=2) as api:
            member, other = await api.user(), await api.user()
            answers = [await api.client.get("/api/v1/whoami", headers=member.headers) for _ in range(6)]
            assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
            assert answers[-1].json()["code"] == "rate-limited"
            assert int(answers[-1].headers["retry-after"]) >= 1
            assert (await api.client.get("/api/v1/whoami", headers=other.headers)).status_code == 200


class TestCors:
    async def test_without_the_setting_no_browser_may_call(self, api: Api) -> None:
        answer = await api.client.get("/health/live", headers={"origin": "https://a.example"})
        assert "access-control-allow-origin" not in answer.headers

    async def test_a_named_origin_may_and_another_may_not(self, make_api: MakeApi) -> None:
        async with make_api(cors_allow_origins=["https://a.example"]) as api:
            headers = {"origin": "https://a.example", "access-control-request-method": "PATCH"}
            preflight = await api.client.options("/api/v1/images", headers=headers)
            own = await api.client.get("/health/live", headers={"origin": "https://a.example"})
            other = await api.client.get("/health/live", headers={"origin": "https://b.example"})
        assert preflight.headers["access-control-allow-origin"] == "https://a.example"
        assert own.headers["access-control-allow-origin"] == "https://a.example"
        assert "RateLimit" in own.headers["access-control-expose-headers"]
        assert "access-control-allow-origin" not in other.headers


def lines(caplog: pytest.LogCaptureFixture, event: str) -> list[Any]:
    return [record for record in caplog.records if record.message == event]


class TestLogs:
    async def test_a_request_is_one_line_with_ids_and_no_secrets(
        self, api: Api, member: UserWithKey, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", "image_manager")
        headers = {**member.headers, "x-forwarded-for": "192.0.2.7"}
        await api.client.get("/api/v1/images?q=personal", headers=headers)
        (record,) = lines(caplog, "request")
        line = orjson.loads(JsonFormatter().format(record))
        assert line["httpRequest"]["status"] == 200
        assert line["httpRequest"]["requestUrl"] == "/api/v1/images"
        assert "target" not in line
        assert line["route"] == "/images"
        assert line["user_id"] == str(member.user_id)
        for secret in (member.api_key, "personal", "192.0.2.7"):
            assert secret not in to_json(line)

    @pytest.mark.parametrize(
        "path",
        ["/api/v1/images/{key}", "/api/v1/images/{key}/content", "/{key}", "/api/v1/{key}/images", "/errors/{key}",
         "/api/v1/whoami?{key}=1", "/api/v1/whoami?a={key}", "/s/{key}", "/api/v1/images/?k={key}"],
    )  # fmt: skip
    async def test_no_line_and_no_answer_repeats_a_key_in_a_path_or_query(
        self, api: Api, member: UserWithKey, caplog: pytest.LogCaptureFixture, path: str
    ) -> None:
        caplog.set_level("DEBUG")
        for secret in (member.api_key, "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"):
            for method in ("GET", "HEAD", "DELETE"):
                answer = await api.client.request(method, path.format(key=secret), headers=member.headers)
                assert secret not in answer.text + str(answer.headers)
            written = [JsonFormatter().format(record) for record in caplog.records if record.name == "image_manager"]
            assert written
            assert not [line for line in written if secret in line]

    async def test_a_line_names_the_route_and_what_it_is_about(
        self, api: Api, member: UserWithKey, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", "image_manager")
        image_id = (await api.upload(member))["id"]
        await api.client.get(f"/api/v1/images/{image_id}", headers=member.headers)
        line = orjson.loads(JsonFormatter().format(lines(caplog, "request")[-1]))
        assert line["httpRequest"]["requestUrl"] == "/api/v1/images/{image_id}"
        assert line["target"] == {"image_id": image_id}

    async def test_a_span_names_the_route_alone(self, make_api: MakeApi) -> None:
        exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        async with make_api(tracer_provider=provider) as api:
            headers = {**api.admin.headers, "referer": "https://images.example.com/s/im_secret"}
            for path in (
                "/api/v1/images/im_secret?im_secret=im_secret",
                "/im_secret",
                "/s/im_secret",
                "/s/im_secret/1",
            ):
                await api.client.get(path, headers=headers)
        spans = exporter.get_finished_spans()
        assert {span.attributes["url.path"] for span in spans if span.attributes and "url.path" in span.attributes} == {
            "/api/v1/images/{image_id}", "unmatched", "/s/{token}", "/s/{token}/{picture}",
        }  # fmt: skip
        assert not [span for span in spans if "im_secret" in f"{span.name}{dict(span.attributes or {})}"]

    async def test_health_is_not_worth_a_line(self, api: Api, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", "image_manager")
        await api.client.get("/health/live")
        assert lines(caplog, "request") == []

    async def test_an_upload_tells_no_name(
        self, api: Api, member: UserWithKey, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG", "image_manager")
        await api.upload(member, picture(), filename="ada-lovelace.png", tags="private-tag")
        written = to_json([orjson.loads(JsonFormatter().format(record)) for record in caplog.records])
        assert "lovelace" not in written
        assert "private-tag" not in written


class TestMetrics:
    async def test_requests_and_uploads_are_counted(self, make_api: MakeApi) -> None:
        async with make_api() as api:
            member = await api.user()
            await api.upload(member, picture(3))
            await api.upload(member, picture(3))
            await api.client.get("/nothing")
            await api.client.request("BREW", "/nothing")
            text_of = (await api.client.get("/metrics")).text
        assert 'http_requests_total{method="POST",route="/images",status="201"} 1.0' in text_of
        assert 'route="unmatched"' in text_of
        assert 'method="other"' in text_of
        assert "BREW" not in text_of
        assert 'uploads_total{outcome="stored"} 1.0' in text_of
        assert 'uploads_total{outcome="duplicate"} 1.0' in text_of
        assert f"upload_bytes_total {float(len(picture(3)))}" in text_of
        assert "process_resident_memory_bytes" in text_of

    async def test_the_age_of_the_outbox_is_shown(self, api: Api) -> None:
        team_id = await api.team()
        image_id = await testing.add_image(api.rows, team_id)
        await api.rows.execute(
            text(
                "INSERT INTO event (id, topic, type, payload, created_at)"
                f" VALUES ('{image_id}', 'uploads', 'image.process', '{{}}', now() - interval '100 s')"
            )
        )
        shown = (await api.client.get("/metrics")).text
        age = float(shown.split("\noutbox_age_seconds ")[1].split("\n")[0])
        assert 100 <= age < 130

    async def test_metrics_are_shown_without_a_database(self, make_api: MakeApi) -> None:
        async with make_api(database_url="postgresql://nobody@127.0.0.1:9/none") as api:
            answer = await api.client.get("/metrics")
        assert answer.status_code == 200

    async def test_metrics_are_closed_by_default(self, make_api: MakeApi) -> None:
        async with make_api(metrics_enabled=False) as api:
            answer = await api.client.get("/metrics")
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


@pytest.mark.parametrize(
    ("depth", "forwarded", "expected"),
    [
        (0, "1.1.1.1", "9.9.9.9"),
        (1, "1.1.1.1", "1.1.1.1"),
        (1, "1.1.1.1, 2.2.2.2", "2.2.2.2"),
        (2, "1.1.1.1, 2.2.2.2", "1.1.1.1"),
        (2, "2.2.2.2", "9.9.9.9"),
        (1, "", "9.9.9.9"),
        (1, " , ", "9.9.9.9"),
    ],
)
def test_of_forwarded_addresses_only_the_trusted_depth_counts(depth: int, forwarded: str, expected: str) -> None:
    scope = {"client": ("9.9.9.9", 1)}
    assert client_address(scope, {b"x-forwarded-for": forwarded.encode()}, TrustedProxies(depth)) == expected


def test_settings_that_are_wrong_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    from image_api.settings import ApiSettings

    monkeypatch.setenv("DATABASE_URL", "postgresql://user:hunter2@db/x")
    monkeypatch.setenv("CLOUD_SQL_INSTANCE", "a:b:c")
    with pytest.raises(ValueError, match="either DATABASE_URL") as caught:
        ApiSettings(
            google_cloud_project="p", image_upload_bucket_name="o", image_derivatives_bucket_name="d",
            image_scratch_bucket_name="s",
        )  # fmt: skip
    assert "hunter2" not in str(caught.value)
