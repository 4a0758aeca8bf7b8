"""What no plan shows, or shows in one of many places: each rule holds for all members of its kind."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from scripts.infra.hcl_blocks import Block, blocks_in
from scripts.infra.terraform_checks import TERRAFORM, planned

from image_api.tasks.runner import STEP_SECONDS, SWEEP_SECONDS

EVERYTHING = "everything.tftest.hcl"
FOLDERS = sorted({path.parent for path in TERRAFORM.rglob("*.tf") if ".terraform" not in path.parts})
CONFIGURATIONS = [folder for folder in FOLDERS if folder.name != "example"]


def resources() -> list[Block]:
    return [block for folder in CONFIGURATIONS for block in blocks_in(folder, "resource")]


# --- Arguments whose loss costs data --------------------------------------------------------------------------------

# What each resource that holds data, or without which data is out of reach, has to say.
KEEPS_DATA = {
    "google_sql_database_instance": (
        "deletion_protection = var.instance.deletion_protection",
        "deletion_protection_enabled = var.instance.deletion_protection",
        "retain_backups_on_delete = var.instance.deletion_protection",
        "ignore_changes = [settings[0].disk_size]",
        "final_backup_config {",
    ),
    "google_sql_database": ('deletion_policy = "ABANDON"',),
    "google_sql_user": ('deletion_policy = "ABANDON"',),
    "google_storage_bucket": ("force_destroy = var.force_destroy",),
    "google_secret_manager_secret": ("deletion_protection = var.deletion_protection", "version_destroy_ttl ="),
    "google_service_networking_connection": ('deletion_policy = "ABANDON"',),
    "google_pubsub_subscription": ('ttl = ""', "message_retention_duration ="),
    "google_cloud_run_v2_service": ("deletion_protection = var.deletion_protection", "ignore_changes = ["),
    "google_cloud_run_v2_job": ("deletion_protection = var.deletion_protection", "ignore_changes = ["),
    "google_project_service": ("disable_on_destroy = false",),
}
# The bucket of the state has stricter ones: nothing that Terraform does may remove it.
OF_ITS_OWN = {"state": ("force_destroy = false", "prevent_destroy = true", "enabled = true")}
# Without these an upgrade would make a resource anew, and what lies in it would be gone.
MOVED = {
    "google_pubsub_subscription.uploads": 'google_pubsub_subscription.push["uploads"]',
    "google_logging_metric.images_failed": 'google_logging_metric.counted["images_failed"]',
}


def squeezed(block: Block) -> str:
    return re.sub(r" +", " ", block.text)


def test_what_keeps_data_is_said() -> None:
    missing = [
        f"{block.path.name}:{'.'.join(block.labels)}: {argument}"
        for block in resources()
        for argument in OF_ITS_OWN.get(block.labels[1]) or KEEPS_DATA.get(block.labels[0], ())
        if argument not in squeezed(block)
    ]
    assert missing == []


def test_every_kind_that_keeps_data_is_there() -> None:
    assert KEEPS_DATA.keys() <= {block.labels[0] for block in resources()}


def test_moves_stay_for_who_upgrades() -> None:
    found = {
        block.argument("from"): block.argument("to")
        for folder in CONFIGURATIONS
        for block in blocks_in(folder, "moved")
    }
    assert MOVED.items() <= found.items()


# --- What has to be there first, and nothing refers to --------------------------------------------------------------

# The API that a module's resources belong to may be enabled by the same apply.
APIS_FIRST = re.compile(r"google_project_service\.\w+")
# Each for a refusal that Google documents: a notification needs the grant on its topic, an alert the metric that its
# query names, an instance with a private address the peering, and a store the policy that places it.
COMES_AFTER = {
    "stack/google_storage_notification.originals": ["google_pubsub_topic_iam_member.table"],
    "observability/google_monitoring_alert_policy.threshold": ["google_logging_metric.counted"],
    "observability/google_monitoring_alert_policy.query": [
        "google_logging_metric.counted",
        "google_logging_metric.measured",
    ],
    "network/private_services_network_id": ["google_service_networking_connection.services"],
    "rate_limit_store/google_memorystore_instance.this": ["google_network_connectivity_service_connection_policy.this"],
}
# Resources of these folders that are made with the first API that an apply enables, and wait for it by themselves.
WAIT_FOR_THEIR_API = {
    "stack/google_cloud_scheduler_job.sweep",
    "stack/google_cloud_scheduler_job.retention",
    "bootstrap/google_storage_bucket.state",
}


def dependencies() -> Iterator[tuple[str, list[str]]]:
    """Each block by its folder and name, with what it says to come after."""
    for folder in CONFIGURATIONS:
        for kind in ("module", "resource", "output"):
            for block in blocks_in(folder, kind):
                name = f"{folder.name}/{'.'.join(block.labels)}"
                yield name, re.findall(r"[a-z_]+\.\w+", block.argument("depends_on") or "")


def test_what_an_order_rests_on_is_said() -> None:
    found = {
        name: others for name, named in dependencies() if (others := [o for o in named if not APIS_FIRST.match(o)])
    }
    assert found == COMES_AFTER


def test_the_database_waits_for_its_peering() -> None:
    (database,) = [block for block in blocks_in(TERRAFORM / "stack", "module") if block.labels == ("database",)]
    assert database.argument("private_network_id") == "module.network.private_services_network_id"


def test_every_module_comes_after_its_apis() -> None:
    """Those that are enabled for everything, or for it alone."""
    modules = {f"{folder.name}/{block.labels[0]}" for folder in CONFIGURATIONS for block in blocks_in(folder, "module")}
    alone = {block.labels[1] for block in resources() if block.labels[0] == "google_project_service"}
    waiting = {name: set(filter(APIS_FIRST.match, named)) for name, named in dependencies()}
    assert {name for name, apis in waiting.items() if apis} == modules | WAIT_FOR_THEIR_API
    for name in modules:
        own = name.partition("/")[2]
        assert own not in alone or f"google_project_service.{own}" in waiting[name]


# --- Lists that must be complete ------------------------------------------------------------------------------------

# The API behind the types of resources that begin so; the longest beginning counts. Source: the provider's own table
# of endpoints, by product.
APIS = {
    "google_artifact_registry": "artifactregistry",
    "google_billing_budget": "billingbudgets",
    "google_billing_account_iam": "cloudbilling",
    "google_certificate_manager": "certificatemanager",
    "google_cloud_run_v2": "run",
    "google_cloud_scheduler": "cloudscheduler",
    "google_compute": "compute",
    "google_iam_workload_identity": "iam",
    "google_logging": "logging",
    "google_memorystore": "memorystore",
    "google_monitoring": "monitoring",
    "google_network_connectivity": "networkconnectivity",
    "google_project_iam": "cloudresourcemanager",
    "google_project_iam_custom_role": "iam",
    "google_project_service": "serviceusage",
    "google_pubsub": "pubsub",
    "google_secret_manager": "secretmanager",
    "google_service_account": "iam",
    "google_service_networking": "servicenetworking",
    "google_sql": "sqladmin",
    "google_storage": "storage",
}
# What nothing manages and something calls: federation's tokens, signed tokens of pushes, and the scan of images.
CALLED = {"sts", "iamcredentials", "containerscanning", "vision"}


def api_of(kind: str) -> str:
    beginnings = [beginning for beginning in APIS if kind.startswith(beginning)]
    assert beginnings, f"{kind}: which API is behind it?"
    return APIS[max(beginnings, key=len)]


def enabled() -> set[str]:
    texts = [block.text for block in resources() if block.labels[0] == "google_project_service"]
    return {name for text in texts for name in re.findall(r'"(\w+)\.googleapis\.com"', text)}


def test_every_api_that_is_used_is_enabled_and_no_other() -> None:
    assert (
        enabled()
        == {api_of(block.labels[0]) for block in resources() if block.labels[0].startswith("google_")} | CALLED
    )


# --- What only watches, or is switched off --------------------------------------------------------------------------

OFF = {"preview", "paused", "disabled", "suspended", "cleanup_policy_dry_run", "validate_only"}
ON = {"enabled", "enable", "log_check_failures", "validate_ssl", "use_ssl", "query_insights_enabled"}
# Said to be off, and why.
MEANT = {
    ("google_storage_bucket", "versioning.enabled"): {"derivatives", "scratch"},
    # Addresses are secrets: they stay out of the logs.
    ("google_compute_backend_service", "log_config.enable"): {
        "google_compute_backend_service.delivery",
        "google_compute_backend_service.links",
    },
}


def switches(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        for each in value:
            yield from switches(each, path)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from switches(each, f"{path}.{name}".lstrip("."))
    else:
        yield path, value


@pytest.mark.infra
def test_nothing_only_watches() -> None:
    wrong = []
    for address, change in planned("prod", EVERYTHING).items():
        for path, value in switches(change["change"]["after"] or {}):
            name = path.rpartition(".")[2]
            is_off = (name in OFF and value is True) or (name in ON and value is False)
            if is_off and not any(each in address for each in MEANT.get((change["type"], path), ())):
                wrong.append(f"{address}: {path} = {value}")
    assert wrong == []


# --- Relations between values that stand apart ----------------------------------------------------------------------


@pytest.mark.infra
def test_a_sweep_ends_before_its_request() -> None:
    """The steps of a sweep have so long together; the last may take a step's time more."""
    (job,) = [each["change"]["after"] for each in planned("prod").values() if each["address"].endswith("job.sweep")]
    (service,) = [
        each["change"]["after"]
        for each in planned("prod").values()
        if each["type"] == "google_cloud_run_v2_service" and each["change"]["after"]["name"] == "image-tasks"
    ]
    longest = SWEEP_SECONDS + STEP_SECONDS
    assert longest < float(service["template"][0]["timeout"].rstrip("s"))
    assert longest < float(job["attempt_deadline"].rstrip("s"))


@pytest.mark.infra
def test_pages_of_the_named_origins_may_call_the_api_and_upload() -> None:
    """The stack passes both lists on, each to its place."""
    plan = planned("prod", EVERYTHING)
    (bucket,) = [each["change"]["after"] for address, each in plan.items() if address.endswith("bucket.originals")]
    api = plan["module.image_api.google_cloud_run_v2_service.this"]["change"]["after"]
    environment = {each["name"]: each.get("value") for each in api["template"][0]["containers"][0]["env"]}
    assert [each["origin"] for each in bucket["cors"]] == [["https://photos.example.com"]]
    assert environment["CORS_ALLOW_ORIGINS"] == '["https://pages.example.com"]'


@pytest.mark.infra
def test_a_key_reaches_everything_that_takes_one() -> None:
    """What takes a key and gets none is named in docs/operations.md."""
    taking = {
        "google_sql_database_instance": "encryption_key_name",
        "google_storage_bucket": "encryption",
        "google_pubsub_topic": "kms_key_name",
        "google_secret_manager_secret": "replication",
    }
    without = [
        address
        for address, change in planned("prod", EVERYTHING).items()
        if change["type"] in taking and "cryptoKeys/key" not in str(change["change"]["after"][taking[change["type"]]])
    ]
    assert without == []
