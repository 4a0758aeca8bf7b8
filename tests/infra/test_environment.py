"""What Terraform tells the services is what their settings ask for, and both name the same topics, routes and paths."""

import json
import os
import re
from typing import Any

import pytest
from pydantic_settings import BaseSettings
from scripts.infra.hcl_blocks import blocks_in
from scripts.infra.terraform_checks import TERRAFORM, planned

from image_api.app import create_app as create_api
from image_api.settings import ApiSettings
from image_api.tasks import health as tasks_health
from image_api.tasks import intake
from image_api.tasks.settings import TasksSettings
from image_core.admin import AdminSettings
from image_delivery.health import ROUTES as DELIVERY_ROUTES
from image_delivery.settings import DeliverySettings
from image_processor.app import create_app as create_processor
from image_processor.settings import ProcessorSettings

STACK = TERRAFORM / "stack"
SETTINGS: dict[str, type[BaseSettings]] = {
    "image-api": ApiSettings,
    "image-processor": ProcessorSettings,
    "image-tasks": TasksSettings,
    "image-delivery": DeliverySettings,
    "image-migrate": AdminSettings,
}
_NAME = re.compile(r"\b([A-Z][A-Z0-9_]+) *=")


def names_in_the_code() -> dict[str, set[str]]:
    """The variables that the configuration gives to each, read without Terraform."""
    text = "\n".join(block.text for block in blocks_in(STACK, "locals") if "shared_environment" in block.text)
    parts = re.split(r"\n  (\w+_environment) = ", "\n" + text)
    named = {name: set(_NAME.findall(body)) for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    job = next(block for block in blocks_in(STACK, "locals") if "migration_environment" in block.text)
    return {
        "image-api": named["shared_environment"] | named["api_environment"],
        "image-processor": named["shared_environment"] | named["processor_environment"],
        "image-tasks": named["shared_environment"] | named["tasks_environment"],
        "image-delivery": named["shared_environment"] | named["delivery_environment"],
        "image-migrate": set(_NAME.findall(job.text)),
    }


# An apply starts the previous release again, which needs them.
FOR_THE_PREVIOUS_RELEASE = {"image-processor": {"SCHEDULER_SERVICE_ACCOUNT_EMAIL", "TRASH_RETENTION_DAYS"}}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_variable_is_a_setting(name: str) -> None:
    settings = {field.upper() for field in SETTINGS[name].model_fields}
    assert names_in_the_code()[name] - FOR_THE_PREVIOUS_RELEASE.get(name, set()) <= settings


def test_decision_names_every_variable_that_the_next_release_drops() -> None:
    (decision,) = (TERRAFORM.parent / "docs" / "decisions").glob("0021-*.md")
    (sentence,) = re.findall(r"drops the processor's variables (.*?), and", decision.read_text(), re.DOTALL)
    assert set(re.findall(r"`([A-Z_]+)`", sentence)) == FOR_THE_PREVIOUS_RELEASE["image-processor"]


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_without_a_default_is_given(name: str) -> None:
    needed = {field.upper() for field, info in SETTINGS[name].model_fields.items() if info.is_required()}
    assert needed <= names_in_the_code()[name]


NOT_IN_THE_CLOUD = {
    "DATABASE_URL", "GCLOUD_CREDS_PATH", "STORAGE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "OTEL_EXPORTER_OTLP_ENDPOINT",
    "VISION_EMULATOR_HOST",
    "TOKEN_SIGNING_KEYS", "DELIVERY_MASTER", "PURGED_HASH_MASTER", "WEBHOOK_MASTER",
    "UPLOAD_SESSION_MASTER",  # would be in the state
}  # fmt: skip
# Their defaults are for one instance on a laptop; only the configuration knows how many there are, and behind what.
OF_THE_CONFIGURATION = {
    "image-api": {
        "MAX_INSTANCES",
        "DATABASE_POOL_SIZE",
        "TRASH_RETENTION_DAYS",
        "TRUSTED_PROXY_DEPTH",
        "TRUSTED_PROXY_ADDRESSES",
        "CORS_ALLOW_ORIGINS",
        "FETCH_ALLOW_ADDRESSES",
    },
    "image-processor": {"WORKER_COUNT", "WORKER_MEMORY_LIMIT_BYTES", "DATABASE_POOL_SIZE"},
    "image-tasks": {"DATABASE_POOL_SIZE", "TRASH_RETENTION_DAYS"},
    "image-delivery": {"WORKER_COUNT", "WORKER_MEMORY_LIMIT_BYTES", "DATABASE_POOL_SIZE", "DELIVERY_MASTER_SECRET"},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_that_is_nothing_by_itself_is_given(name: str) -> None:
    nothing = {
        field.upper()
        for field, info in SETTINGS[name].model_fields.items()
        if not info.is_required() and info.get_default() is None
    }
    assert nothing - NOT_IN_THE_CLOUD <= names_in_the_code()[name]


@pytest.mark.parametrize("name", OF_THE_CONFIGURATION)
def test_what_only_the_configuration_knows_is_given(name: str) -> None:
    assert OF_THE_CONFIGURATION[name] <= names_in_the_code()[name]


def test_admin_is_given_everything_that_its_commands_read() -> None:
    given = names_in_the_code()["image-migrate"]
    assert given == {field.upper() for field in AdminSettings.model_fields} - {"DATABASE_URL"}


def text_of(folder: str, file: str) -> str:
    return (STACK.parent / folder / file).read_text()


@pytest.mark.parametrize(
    "setting",
    [
        "pubsub_uploads_topic",
        "pubsub_events_topic",
        "pubsub_analyses_topic",
        "pubsub_renditions_topic",
        "pubsub_tasks_topic",
    ],
)
def test_topics_are_the_services_own_defaults(setting: str) -> None:
    for settings in (ApiSettings, ProcessorSettings, TasksSettings, DeliverySettings):
        assert f'"{settings.model_fields[setting].default}"' in text_of("modules/events", "topics.tf")


@pytest.mark.parametrize("name", ["max_delivery_attempts", "renditions_max_delivery_attempts"])
def test_delivery_attempts_are_the_settings_default(name: str) -> None:
    attempts = ProcessorSettings.model_fields[f"push_{name}"].default
    assert f"  {name} = {attempts}\n" in text_of("stack", "locals.tf")


def test_database_is_the_settings_default() -> None:
    for settings in SETTINGS.values():
        assert f'"{settings.model_fields["database_name"].default}"' in text_of("modules/database", "instance.tf")


def names_only_where_chosen() -> set[str]:
    """The variables that are left out where the configuration's own variable says nothing."""
    text = "\n".join(block.text for block in blocks_in(STACK, "locals"))
    return {name for part in re.findall(r"\? \{\} : \{(.*?)\}", text, re.DOTALL) for name in _NAME.findall(part)}


@pytest.fixture(scope="module")
def environments() -> dict[str, dict[str, str]]:
    """What each container is given in prod, as the plan says."""
    found: dict[str, dict[str, str]] = {}
    for change in planned("prod").values():
        template: Any = change["change"]["after"]
        if change["type"] not in ("google_cloud_run_v2_service", "google_cloud_run_v2_job"):
            continue
        inner = template["template"][0]
        container = (inner.get("template") or [inner])[0]["containers"][0]
        found[template["name"]] = {each["name"]: each["value"] for each in container["env"]}
    return found


@pytest.mark.infra
@pytest.mark.parametrize("name", SETTINGS)
def test_settings_take_the_planned_environment(
    name: str, environments: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in list(os.environ):
        monkeypatch.delenv(variable)
    for variable, value in environments[name].items():
        monkeypatch.setenv(variable, value)
    settings = SETTINGS[name]()
    named = names_in_the_code()[name]
    assert named - names_only_where_chosen() <= set(environments[name]) <= named
    assert settings.model_dump()["database_user"].endswith(".iam")


@pytest.mark.infra
def test_keys_are_written_where_they_are_read(environments: dict[str, dict[str, str]]) -> None:
    secrets = {environments[name]["TOKEN_SIGNING_SECRET"] for name in ("image-api", "image-migrate")}
    assert secrets == {"projects/example-project/secrets/image-manager-token-signing-keys"}


@pytest.mark.infra
def test_master_of_delivery_is_written_where_it_is_read(environments: dict[str, dict[str, str]]) -> None:
    names = ("image-api", "image-delivery", "image-migrate")
    secrets = {environments[name]["DELIVERY_MASTER_SECRET"] for name in names}
    assert secrets == {"projects/example-project/secrets/image-manager-delivery-master"}


@pytest.mark.infra
def test_master_of_purged_files_is_written_where_it_is_read(environments: dict[str, dict[str, str]]) -> None:
    names = ("image-api", "image-tasks", "image-migrate")
    secrets = {environments[name]["PURGED_HASH_MASTER_SECRET"] for name in names}
    assert secrets == {"projects/example-project/secrets/image-manager-purged-hash-master"}


@pytest.mark.infra
def test_routes_that_terraform_names_exist(environments: dict[str, dict[str, str]]) -> None:
    def settings(name: str) -> Any:
        values = {key.lower(): value for key, value in environments[name].items()}
        for listed in {"cors_allow_origins", "fetch_allow_addresses", "trusted_proxy_addresses"} & values.keys():
            values[listed] = json.loads(values[listed])
        return SETTINGS[name](**values)  # type: ignore[arg-type]

    api, processor = create_api(settings("image-api")), create_processor(settings("image-processor"))
    of_api = set(api.openapi()["paths"])
    of_processor = {path for path in map(_path_of, processor.routes) if path}
    named = set(re.findall(r'path = "(/health/\w+)"', text_of("modules/run_service", "service.tf")))
    assert named == {"/health/live", "/health/ready"}
    assert named <= of_api
    routes = re.findall(r'"(/push/\w+)"', text_of("modules/events", "subscriptions.tf"))
    pushed, nudging = set(routes[:3]), set(routes[3:])
    assert pushed == {"/push/uploads", "/push/analyses", "/push/renditions"}
    assert named | pushed <= of_processor | _included(processor)
    of_tasks = {_path_of(route) for part in (intake, tasks_health) for route in part.router.routes}
    assert nudging == {"/push/events", "/push/tasks"}
    assert named | {"/tasks/sweep"} | nudging <= of_tasks
    assert named <= {route.path for route in DELIVERY_ROUTES}


def _path_of(route: Any) -> str:
    return str(getattr(route, "path", ""))


def _included(app: Any) -> set[str]:
    from image_processor import health
    from image_processor.intake import push

    return {_path_of(route) for router in (health.router, push.router) for route in router.routes}
