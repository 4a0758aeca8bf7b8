"""Rules of the house for the configuration, and what scanners do not look at."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from scripts.infra import cost, generate_docs
from scripts.infra.hcl_blocks import Block, blocks_in
from scripts.infra.joined_tests import joined_refusals, joined_runs, references
from scripts.infra.terraform_checks import TERRAFORM, applied_state, planned

FOLDERS = sorted({path.parent for path in TERRAFORM.rglob("*.tf") if ".terraform" not in path.parts})
CONFIGURATIONS = [folder for folder in FOLDERS if folder.name != "example"]


def all_blocks(kind: str) -> list[Block]:
    return [block for folder in FOLDERS for block in blocks_in(folder, kind)]


def where(block: Block) -> str:
    return f"{block.path.relative_to(TERRAFORM)}:{'.'.join(block.labels)}"


def test_every_variable_says_what_it_is_and_of_which_type() -> None:
    assert not [
        where(each) for each in all_blocks("variable") if not each.argument("description") or not each.argument("type")
    ]


def test_every_output_says_what_it_is() -> None:
    assert not [where(each) for each in all_blocks("output") if not each.argument("description")]


def test_no_variable_and_no_output_is_secret() -> None:
    found = [where(each) for each in all_blocks("variable") + all_blocks("output") if each.argument("sensitive")]
    assert not found, "what is secret does not belong into the state"


def test_only_the_google_provider_is_asked_for() -> None:
    sources = {source for block in all_blocks("terraform") for source in re.findall(r'source += "([^"]+)"', block.text)}
    assert sources == {"hashicorp/google"}


def test_provider_stays_below_8() -> None:
    versions = {
        version for block in all_blocks("terraform") for version in re.findall(r' version += "([^"]+)"', block.text)
    }
    assert versions == {">= 7.45, < 8"}


FORBIDDEN_TYPES = {
    "google_service_account_key": "accounts have no keys",
    "google_secret_manager_secret_version": "its value would be in the state",
    "google_project_iam_binding": "it takes away what others were granted",
    "google_project_iam_policy": "it takes away what others were granted",
    "google_storage_bucket_acl": "buckets have no rules for single objects",
    "google_compute_instance": "there are no machines to look after",
}


@pytest.mark.parametrize("kind", FORBIDDEN_TYPES)
def test_resource_is_not_used(kind: str) -> None:
    assert not [where(each) for each in all_blocks("resource") if each.labels[0] == kind], FORBIDDEN_TYPES[kind]


@pytest.mark.parametrize(
    "argument", ["password", "password_wo", "root_password", "secret_data", "auth_token", "private_key"]
)
def test_no_resource_takes_a_secret(argument: str) -> None:
    assert not [
        where(each) for each in all_blocks("resource") if re.search(rf"^ +{argument} +=", each.text, re.MULTILINE)
    ]


def test_nobody_is_everybody() -> None:
    files = [path for path in TERRAFORM.rglob("*") if path.suffix in {".tf", ".yaml"}]
    everybody = re.compile(r"(member|actor).*all(Authenticated)?Users")
    assert not [path for path in files if everybody.search(path.read_text())]


# With the revision's name among them every apply after a deploy would ask for a name that is taken.
OF_DEPLOYS = {
    "google_cloud_run_v2_service": (
        "template[0].",
        {"client", "client_version", "template[0].annotations", "template[0].labels", "traffic"},
    ),
    "google_cloud_run_v2_job": (
        "template[0].template[0].",
        {"client", "client_version", "template[0].annotations", "template[0].labels"},
    ),
}


@pytest.mark.parametrize("kind", OF_DEPLOYS)
def test_an_apply_leaves_to_deploys_what_is_theirs_and_no_more(kind: str) -> None:
    resource = next(each for each in all_blocks("resource") if each.labels[0] == kind)
    listed = re.search(r"ignore_changes = \[(.*?)\n +\]", resource.text, re.DOTALL)
    assert listed
    ignored = {each.strip(", ") for each in listed[1].split("\n")} - {""}
    template, others = OF_DEPLOYS[kind]
    assert ignored == others | {f"{template}containers[0].image", f"{template}containers[0].name"}


def test_every_module_has_tests_and_an_example() -> None:
    modules = [folder for folder in (TERRAFORM / "modules").iterdir() if folder.is_dir()]
    assert len(modules) == 12
    assert all(list((folder / "tests").glob("*.tftest.hcl")) for folder in modules)
    assert all((folder / "example" / "main.tf").is_file() for folder in modules)


def test_every_run_has_one_assertion_or_one_expected_failure() -> None:
    wrong = []
    for path in TERRAFORM.rglob("*.tftest.hcl"):
        for name, body in re.findall(r'^run "(\w+)" \{\n(.*?)^\}', path.read_text(), re.MULTILINE | re.DOTALL):
            checks = body.count("  assert {") + body.count("expect_failures")
            if checks != 1 and name not in {"example_plans", "plans"}:
                wrong.append(f"{path.name}: {name}")
    assert not wrong


def run_of_a_test(name: str, check: str, variables: str = "") -> str:
    return f'run "{name}" {{\n  command = plan\n{variables}\n{check}\n}}\n\n'


def test_runs_that_make_the_same_plan_are_joined_for_a_check_and_no_assertion_is_lost() -> None:
    assertion = '  assert {\n    condition     = length("}") == 1\n    error_message = "Wrong."\n  }'
    variables = '  variables {\n    region = "elsewhere"\n  }\n'
    runs = (
        run_of_a_test("first", assertion),
        run_of_a_test("elsewhere", assertion, variables),
        run_of_a_test("refused", "  expect_failures = [var.region]", variables),
        run_of_a_test("second", assertion),
    )
    joined = joined_runs("".join(runs))
    assert re.findall(r'^run "(\w+)"', joined, re.MULTILINE) == ["first", "elsewhere", "refused"]
    assert re.findall(r'error_message = "(.*)"', joined) == ["first: Wrong.", "second: Wrong.", "elsewhere: Wrong."]
    assert joined.count("expect_failures") == 1
    applied = joined_runs("".join((*runs, runs[3])).replace("command = plan", "command = apply"))
    assert re.findall(r'^run "(\w+)"', applied, re.MULTILINE) == ["first", "elsewhere", "refused", "second"]
    assert applied.count("second: Wrong.") == 2


def refusal(run: str, variable: str, **values: str) -> str:
    lines = "".join(f"    {each} = {value}\n" for each, value in values.items())
    return run_of_a_test(run, f"  expect_failures = [var.{variable}]", f"  variables {{\n{lines}  }}\n")


def test_refusals_of_variables_that_do_not_meet_are_joined_for_a_check() -> None:
    runs = (
        refusal("first", "region", region='"a"'),
        refusal("another", "name", name='"b"'),
        refusal("again", "region", region='"c"'),
        # What the validation of edge says may depend on api.
        refusal("related", "edge", edge="{}"),
        refusal("api", "api", api="{}"),
        refusal("with_another", "size", size="0", name='"d"'),
        run_of_a_test("no_variable", "  expect_failures = [terraform_data.budget]"),
    )
    joined = joined_refusals("".join(runs), {"edge": {"api"}})
    found = dict(re.findall(r'^run "(\w+)" \{\n(.*?)^\}', joined, re.MULTILINE | re.DOTALL))
    assert {name: re.findall(r"expect_failures = \[(.*)\]", body)[0] for name, body in found.items()} == {
        "first": "var.region, var.name, var.edge",
        "again": "var.region, var.api, var.size",
        "no_variable": "terraform_data.budget",
    }
    assert '    region = "a"\n    name = "b"\n    edge = {}\n' in found["first"]
    applied = "".join(runs).replace("command = plan", "command = apply", 1)
    assert joined_refusals(applied, {}) == applied


def test_validations_of_the_stack_that_mention_other_variables_are_known() -> None:
    found = references(TERRAFORM / "stack")
    assert found["edge"] == {"api", "delivery", "images"}
    assert found["project_id"] == set()


def planted_faults() -> list[dict[str, str]]:
    rows: list[dict[str, str]] = yaml.safe_load(Path(generate_docs.__file__).with_name("faults.yaml").read_text())
    return rows


def test_every_planted_fault_names_a_run_that_exists() -> None:
    faults = planted_faults()
    texts = [path.read_text() for path in TERRAFORM.rglob("*.tftest.hcl")]
    runs = {name for text in texts for name in re.findall(r'^run "(\w+)"', text, re.MULTILINE)}
    written = [path.read_text() for path in (TERRAFORM.parent / "tests").glob("*/test_*.py")]
    runs |= {name for text in written for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
    assert len(faults) >= 20
    assert not [fault["fault"] for fault in faults if fault["caught_by"].partition("[")[0] not in runs]


def test_every_planted_fault_is_where_it_is_to_be_planted() -> None:
    faults, root = planted_faults(), TERRAFORM.parent
    assert not [fault["fault"] for fault in faults if fault["old"] not in (root / fault["path"]).read_text()]
    assert len({fault["fault"] for fault in faults}) == len(faults)


def test_documents_are_what_the_code_makes_them() -> None:
    assert not [path.name for path, text in generate_docs.documents().items() if path.read_text() != text]


def test_every_alert_has_a_runbook() -> None:
    text = generate_docs.runbooks_document()
    template = (TERRAFORM / "modules" / "observability" / "alerts.yaml.tftpl").read_text()
    names = re.findall(r"^([a-z-]+):$", template, re.MULTILINE)
    assert len(names) >= 14
    assert all(f"\n## {name}\n" in text for name in names)


def test_more_images_cost_more() -> None:
    sums = [sum(cost.lines(cost.PROD, images).values()) for images in (0, 100_000, 1_000_000)]
    assert sums == sorted(sums)
    assert sums[0] < sums[2]


def test_what_an_image_costs_rests_on_what_was_measured() -> None:
    seen = (TERRAFORM.parent / "benchmarks" / "README.md").read_text()
    for megabytes, most in cost.UPLOAD_MS.items():
        # The last column is the present code's.
        assert re.search(rf"^\| an upload of {megabytes} MB \|.*–{most:g} ms \|$", seen, re.MULTILINE)
    assert f"({cost.READS_PER_SECOND:,}–" in seen
    assert f"one at a time, median | < 0.9 s | {cost.READY_SECONDS:g} s |" in seen


@pytest.mark.infra
@pytest.mark.parametrize("setup", [cost.DEV, cost.SMALL, cost.PROD], ids=lambda setup: str(setup.name))
def test_cost_counts_the_conditions_that_alert(setup: cost.Setup) -> None:
    policies = [each for each in planned(setup.name).values() if each["type"] == "google_monitoring_alert_policy"]
    count = sum(len(policy["change"]["after"]["conditions"]) for policy in policies)
    assert count == cost.conditions(setup.alert_set)
    assert setup is cost.PROD or count <= 14


def test_cost_is_that_of_the_environments() -> None:
    for setup in (cost.DEV, cost.SMALL, cost.PROD):
        text = (TERRAFORM / "environments" / f"{setup.name}.tfvars").read_text()
        values = dict(re.findall(r'^ *(\w+) += "?([^"\n]*)"?$', text, re.MULTILINE))
        assert int(values.get("disk_size_gb", 10)) == setup.disk_gib
        assert sum(map(int, re.findall(r"min_instances += (\d+)", text))) == setup.warm_instances
        tiers = {"dev": "db-f1-micro", "small": "db-g1-small", "prod": "db-custom-2-7680"}
        assert values["tier"] == tiers[setup.name]


def test_what_idle_prod_pays_for_is_all_of_it() -> None:
    itemised = sum(float(row.split("|")[2].replace(",", "")) for row in cost._prod_idle_table()[2:])
    assert itemised == pytest.approx(sum(cost.lines(cost.PROD, 0).values()), abs=0.1)


def test_every_price_names_its_list() -> None:
    assert all(price.source.startswith("https://") and price.dollars > 0 for price in cost.PRICES.values())


SECRET_KEYS = re.compile(
    r"password|secret_data|private_key|auth_token|api_key|client_secret|credentials", re.IGNORECASE
)
SECRET_VALUES = re.compile(
    r"-----BEGIN|im_[A-Za-z0-9]{8}_|AIza[0-9A-Za-z_-]{35}|postgres(ql)?://[^ ]*:[^ ]*@|ADMIN_ACCESS"
)


def secrets_in(value: Any, path: str = "") -> list[str]:
    """The paths of everything that looks like a secret. What is null or empty holds none."""
    if isinstance(value, dict):
        return [found for key, each in value.items() for found in secrets_in(each, f"{path}.{key}")]
    if isinstance(value, list):
        return [found for each in value for found in secrets_in(each, path)]
    if not isinstance(value, str) or not value:
        return []
    leaf = path.rpartition(".")[2]
    return [path] if SECRET_VALUES.search(value) or SECRET_KEYS.search(leaf) else []


def test_search_finds_what_it_looks_for() -> None:
    assert secrets_in({"a": [{"password": "hunter2"}], "b": {"url": "postgresql://me:pw@host/db"}}) == [
        ".a.password",
        ".b.url",
    ]


@pytest.mark.infra
@pytest.mark.parametrize("environment", ["dev", "small", "prod"])
def test_plan_holds_no_secret(environment: str) -> None:
    assert not [found for change in planned(environment).values() for found in secrets_in(change["change"]["after"])]


# The stand-in for the provider invents a value for everything that the provider would compute.
INVENTED = re.compile(r"^[0-9a-z]{8}$")


@pytest.mark.infra
def test_state_holds_no_secret() -> None:
    state = json.loads(json.dumps(applied_state("prod")), object_hook=_without_invented)
    assert not secrets_in(state)


def _without_invented(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if not (isinstance(value, str) and INVENTED.match(value))}
