"""The settings classes, docker-compose.yml, .env.example and docs/settings.md say the same."""

import re
import runpy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from image_api.settings import ApiSettings
from image_api.tasks.settings import TasksSettings
from image_core.admin import AdminSettings
from image_delivery.settings import DeliverySettings
from image_processor.settings import ProcessorSettings
from local_cloud.postgres.database import DATABASE, OWNER, SERVICE_ROLES
from local_cloud.settings import EmulatorSettings

ROOT = Path(__file__).resolve().parent.parent
SETTINGS_DOCS = runpy.run_path(str(ROOT / "scripts" / "settings_docs.py"))
CLOUD_SQL = {"CLOUD_SQL_INSTANCE", "DATABASE_USER", "DATABASE_NAME"}
# What each service of compose reads, and what compose leaves alone: the image has set it, or it is for the cloud.
SERVICES: dict[str, tuple[type[BaseSettings], set[str]]] = {
    "image-api": (
        ApiSettings,
        {
            *CLOUD_SQL,
            "HOST",
            "SERVICE_VERSION",
            "TOKEN_SIGNING_SECRET",
            "DELIVERY_MASTER_SECRET",
            "PURGED_HASH_MASTER_SECRET",
            "UPLOAD_SESSION_MASTER_SECRET",
            "WEBHOOK_MASTER_SECRET",
        },
    ),
    "image-delivery": (
        DeliverySettings,
        {*CLOUD_SQL, "HOST", "SERVICE_VERSION", "GCLOUD_CREDS_PATH", "DELIVERY_MASTER_SECRET"},
    ),
    "image-processor": (ProcessorSettings, {*CLOUD_SQL, "HOST", "SERVICE_VERSION", "GCLOUD_CREDS_PATH"}),
    "image-tasks": (
        TasksSettings,
        {
            *CLOUD_SQL,
            "HOST",
            "SERVICE_VERSION",
            "GCLOUD_CREDS_PATH",
            "PURGED_HASH_MASTER_SECRET",
            "WEBHOOK_MASTER_SECRET",
        },
    ),
    "migrate": (
        AdminSettings,
        {
            *CLOUD_SQL,
            "ADMIN_KEY_SECRET",
            "TOKEN_SIGNING_SECRET",
            "DELIVERY_MASTER_SECRET",
            "PURGED_HASH_MASTER_SECRET",
            "UPLOAD_SESSION_MASTER_SECRET",
            "WEBHOOK_MASTER_SECRET",
            "API_DATABASE_USER",
            "PROCESSOR_DATABASE_USER",
            "TASKS_DATABASE_USER",
            "DELIVERY_DATABASE_USER",
        },
    ),
    "emulators": (
        EmulatorSettings,
        {
            "EMULATORS_BIND_HOST",
            "EMULATORS_DATA_DIR",
            "EMULATORS_EMULATE_PUBSUB",
            "EMULATORS_EMULATE_STORAGE",
            "EMULATORS_HTTP_PORT",
            "EMULATORS_OUTSIDE_PUBSUB_HOST",
            "EMULATORS_PUBSUB_PORT",
        },
    ),
}

NO_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
SECRET = r"[A-Z0-9_]*(?:PASSWORD|MASTER)"


@dataclass(frozen=True)
class Example:
    """One variable of .env.example; `is_set` says that it is not commented out."""

    value: str
    sentence: str
    is_set: bool


@cache
def examples() -> dict[str, Example]:
    """Every variable of .env.example with the comment right above it."""
    found: dict[str, Example] = {}
    comment = ""
    for line in (ROOT / ".env.example").read_text().splitlines():
        assignment = re.fullmatch(r"(# )?([A-Z][A-Z0-9_]*)=(.*)", line)
        if assignment is None:
            comment = line.removeprefix("# ") if line.startswith("# ") else ""
            continue
        commented_out, name, value = assignment.groups()
        assert name not in found, f"{name} stands twice in .env.example"
        found[name] = Example(value, comment, commented_out is None)
        comment = ""
    return found


@cache
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


def settings_of(settings_class: type[BaseSettings]) -> list[Any]:
    found: list[Any] = SETTINGS_DOCS["settings_of"](settings_class)
    return found


def interpolated() -> set[str]:
    """The variables that compose takes from .env, by `${NAME}` or by a key without a value."""
    named = set(re.findall(r"\$\{([A-Z][A-Z0-9_]*)", (ROOT / "docker-compose.yml").read_text()))
    handed_on = {
        name
        for service in compose()["services"].values()
        for name, value in service.get("environment", {}).items()
        if value is None
    }
    return named | handed_on


def known_variables() -> dict[str, list[Any]]:
    """Every variable of every settings class, with what each class says of it."""
    known: dict[str, list[Any]] = {}
    for settings_class, _ in SERVICES.values():
        for setting in settings_of(settings_class):
            known.setdefault(setting.name, []).append(setting)
    return known


def test_every_setting_has_a_description() -> None:
    assert [
        name for name, settings in known_variables().items() if not all(item.description for item in settings)
    ] == []


def test_example_has_every_variable_and_no_other() -> None:
    assert set(examples()) == set(known_variables()) | interpolated()


def test_every_variable_of_the_example_has_a_sentence() -> None:
    assert [name for name, example in examples().items() if not re.fullmatch(r"[A-Z(].*[.`]", example.sentence)] == []


def test_example_shows_the_defaults() -> None:
    for name, settings in known_variables().items():
        example = examples()[name]
        defaults = {setting.default for setting in settings if setting.default is not None}
        if not example.is_set and example.value:
            assert example.value in defaults, name


def test_example_sets_what_compose_requires_and_nothing_that_is_secret() -> None:
    required = set(re.findall(r"\$\{([A-Z0-9_]+):\?", (ROOT / "docker-compose.yml").read_text()))
    assert required == {name for name, example in examples().items() if example.is_set}
    empty = {name for name in required if not examples()[name].value}
    assert empty == {name for name in required if re.fullmatch(SECRET, name)}


def test_no_secret_has_a_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    uses = re.findall(rf"\$\{{({SECRET})([^}}]*)\}}", text)
    assert {name for name, _ in uses} >= {"IMAGE_API_PASSWORD", "DELIVERY_MASTER"}
    assert all(rest == ":?set it in .env" for _, rest in uses)


@pytest.mark.parametrize("service", SERVICES)
def test_compose_sets_what_the_service_reads(service: str) -> None:
    settings_class, left_alone = SERVICES[service]
    expected = {setting.name for setting in settings_of(settings_class)} - left_alone
    assert set(compose()["services"][service]["environment"]) == expected


def test_each_login_goes_to_its_own_service() -> None:
    logins = {"migrate": OWNER, **{role.replace("_", "-"): role for role in SERVICE_ROLES}}
    urls = {
        service: variables["DATABASE_URL"]
        for service, parts in compose()["services"].items()
        if "DATABASE_URL" in (variables := parts.get("environment", {}))
    }
    assert urls.keys() == logins.keys()
    for service, url in urls.items():
        login = logins[service]
        assert url == f"postgresql://{login}:${{{login.upper()}_PASSWORD:?set it in .env}}@postgres:5432/{DATABASE}"


def test_services_that_decode_pictures_reach_nothing_outside() -> None:
    networks = compose()["networks"]
    for service in ("image-processor", "image-delivery"):
        for name in compose()["services"][service]["networks"]:
            options = networks[name].get("driver_opts", {})
            assert networks[name].get("internal") or options == {NO_MASQUERADE: "false"}, name


def test_services_that_share_the_master_secret_get_the_same() -> None:
    given = {
        service: variables["DELIVERY_MASTER"]
        for service, described in compose()["services"].items()
        if "DELIVERY_MASTER" in (variables := described.get("environment", {}))
    }
    assert given == dict.fromkeys(("image-api", "image-delivery"), "${DELIVERY_MASTER:?set it in .env}")


def test_addresses_name_the_port_at_which_compose_publishes_image_delivery() -> None:
    services = compose()["services"]
    assert services["image-delivery"]["ports"] == ["127.0.0.1:${DELIVERY_PORT:-8083}:8080"]
    address = services["image-api"]["environment"]["DELIVERY_URL"]
    assert address == "${DELIVERY_URL:-http://127.0.0.1:${DELIVERY_PORT:-8083}}"


def test_bootstrap_makes_the_roles_of_the_local_cloud() -> None:
    sql = (ROOT / "containers" / "postgres" / "bootstrap.sql").read_text()
    assert f"CREATE DATABASE {DATABASE} OWNER {OWNER}" in sql
    assert all(f"'{role}'" in sql for role in (OWNER, *SERVICE_ROLES))


@pytest.mark.parametrize("service", compose()["services"])
def test_container_gives_up_what_it_does_not_need(service: str) -> None:
    described = compose()["services"][service]
    assert described["read_only"] is True
    assert described["cap_drop"] == ["ALL"]
    assert described["security_opt"] == ["no-new-privileges:true"]
    assert described["networks"]
    assert "healthcheck" in described


def test_no_image_is_whatever_is_latest() -> None:
    for described in compose()["services"].values():
        tag = described["image"].rpartition(":")[2]
        assert tag
        assert "latest" not in tag


def test_page_of_the_settings_is_up_to_date() -> None:
    assert SETTINGS_DOCS["main"](["--check"]) == 0
