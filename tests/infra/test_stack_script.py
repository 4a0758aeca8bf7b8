"""Plan, apply, destroy: what is shown is what is done, and no database or bucket is lost by accident."""

import io
import json
import re
from pathlib import Path

import pytest
from scripts.infra import project as project_script
from scripts.infra import stack as script

from .fake_cloud import FakeCloud


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    for name in ("environments", "stack"):
        (tmp_path / name).mkdir()
    for environment in ("dev", "prod"):
        values = {"project_id": "example-project", "region": "europe-west1"}
        (tmp_path / "environments" / f"{environment}.local.tfvars.json").write_text(json.dumps(values))
        (tmp_path / "environments" / f"{environment}.gcs.tfbackend").write_text(
            'bucket = "example-project-terraform"\n'
        )
        (tmp_path / "environments" / f"{environment}.tfvars").write_text('database = {\n  name_suffix = "p002"\n}\n')
    for name in ("TERRAFORM_STATE_BUCKET", "TF_VAR_project_id", "TF_VAR_region"):
        monkeypatch.delenv(name, raising=False)
    cloud = FakeCloud(exists={"stack", "schema", "versions of the state", "imported bucket"})
    monkeypatch.setattr(script, "TERRAFORM", tmp_path)
    monkeypatch.setattr(script, "run", cloud)
    monkeypatch.setattr(project_script, "run", cloud)
    return cloud


def change(kind: str, *actions: str) -> dict[str, object]:
    return {"address": f"module.x.{kind}.this", "type": kind, "change": {"actions": list(actions)}}


def applied(cloud: FakeCloud) -> bool:
    return any(call.startswith("terraform apply") for call in cloud.calls)


def test_nothing_to_change_applies_nothing(cloud: FakeCloud) -> None:
    assert script.main(["apply", "dev", "--yes"]) == 0
    assert not applied(cloud)


def test_apply_carries_out_the_plan_that_was_shown(cloud: FakeCloud) -> None:
    cloud.planned_changes = [change("google_pubsub_topic", "update")]
    assert script.main(["apply", "dev", "--yes", "--plan-file", "the.tfplan"]) == 0
    assert "terraform apply -input=false the.tfplan" in cloud.calls


@pytest.mark.parametrize("kind", ["google_sql_database_instance", "google_storage_bucket"])
@pytest.mark.parametrize("actions", [("delete",), ("delete", "create"), ("create", "delete")], ids=" ".join)
def test_plan_that_loses_data_is_refused(kind: str, actions: tuple[str, ...], cloud: FakeCloud) -> None:
    cloud.planned_changes = [change(kind, *actions)]
    assert script.main(["apply", "prod", "--yes"]) == 1
    assert not applied(cloud)


def test_answer_other_than_yes_changes_nothing(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.planned_changes = [change("google_pubsub_topic", "update")]
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert script.main(["apply", "dev"]) == 1
    assert not applied(cloud)


def test_plan_keeps_the_running_images(cloud: FakeCloud) -> None:
    script.main(["plan", "dev"])
    planned = next(call for call in cloud.calls if call.startswith("terraform plan"))
    assert "images/image-api@sha256:" in planned
    assert "images/image-processor@sha256:" in planned


def planned_images(cloud: FakeCloud) -> dict[str, str]:
    planned = next(call for call in cloud.calls if call.startswith("terraform plan"))
    found: dict[str, str] = json.loads(re.findall(r"-var=images=(\{.*?\})", planned)[0])
    return found


@pytest.fixture
def with_a_new_service(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (script, project_script):
        monkeypatch.setattr(module, "IMAGES", {**project_script.IMAGES, "other": "image-other"})
    monkeypatch.setenv("GITHUB_SHA", "0123456789abcdef")


@pytest.mark.usefixtures("with_a_new_service")
def test_a_new_service_gets_the_image_of_its_commit(cloud: FakeCloud) -> None:
    cloud.exists |= {"pushed image-other"}
    cloud.missing_services = {"image-other"}
    script.main(["plan", "dev"])
    images = planned_images(cloud)
    assert set(images) == {"api", "processor", "tasks", "delivery", "other"}
    assert any("images describe" in call and "image-other:0123456789abcdef" in call for call in cloud.calls)


@pytest.mark.usefixtures("with_a_new_service")
def test_a_new_service_without_an_image_is_left_out(cloud: FakeCloud) -> None:
    cloud.missing_services = {"image-other"}
    script.main(["plan", "dev"])
    assert set(planned_images(cloud)) == {"api", "processor", "tasks", "delivery"}


def test_a_service_that_cannot_be_asked_for_is_not_planned_away(
    cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.unreachable_services = {"image-processor"}
    assert script.main(["plan", "dev"]) == 1
    assert "whether image-processor runs cannot be told" in capsys.readouterr().out
    assert not any(call.startswith("terraform plan") for call in cloud.calls)


def test_plan_without_a_lock_for_who_may_only_read(cloud: FakeCloud) -> None:
    script.main(["plan", "dev", "--no-lock"])
    assert any("-lock=false" in call for call in cloud.calls)


def test_detailed_exit_code_tells_of_drift(cloud: FakeCloud) -> None:
    assert script.main(["plan", "dev", "--detailed-exitcode"]) == 0
    cloud.planned_changes = [change("google_pubsub_topic", "update")]
    assert script.main(["plan", "dev", "--detailed-exitcode"]) == 2


def test_prod_is_never_destroyed(cloud: FakeCloud) -> None:
    assert script.main(["destroy", "prod", "--yes"]) == 1
    assert not cloud.calls


def test_destroy_removes_the_abandoned_peering(cloud: FakeCloud) -> None:
    assert script.main(["destroy", "dev", "--yes"]) == 0
    assert cloud.calls[-1].startswith("gcloud services vpc-peerings delete")


def test_destroy_waits_for_the_addresses_of_cloud_run(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    cloud.holds_addresses = 3
    assert script.main(["destroy", "dev", "--yes"]) == 0
    assert pauses == [script.RELEASE_SECONDS] * 3
    assert len([call for call in cloud.calls if "terraform plan" in call and "-destroy" in call]) == 4
    assert cloud.calls[-1].startswith("gcloud services vpc-peerings delete")


def test_destroy_gives_up_after_some_hours(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    cloud.holds_addresses = script.RELEASE_ATTEMPTS + 1
    assert script.main(["destroy", "dev", "--yes"]) == 1
    assert not any("vpc-peerings" in call for call in cloud.calls)


def test_destroy_that_stops_elsewhere_does_not_wait(
    cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it waits for nothing"))
    cloud.holds_addresses = 1
    cloud.left_by_destroy += ["module.image_api.google_cloud_run_v2_service.this"]
    assert script.main(["destroy", "dev", "--yes"]) == 1
    assert "not everything is gone" in capsys.readouterr().out


def test_log_bucket_of_an_earlier_stack_is_brought_back_first(cloud: FakeCloud) -> None:
    cloud.planned_changes = [change("google_logging_project_bucket_config", "create")]
    cloud.log_bucket = "DELETE_REQUESTED"
    assert script.main(["apply", "dev", "--yes"]) == 0
    undelete = next(call for call in cloud.calls if "undelete" in call)
    place = "--location=europe-west1 --project=example-project"
    assert undelete == f"gcloud logging buckets undelete image-manager-audit {place}"
    assert cloud.calls.index(undelete) < next(i for i, call in enumerate(cloud.calls) if "terraform apply" in call)


@pytest.mark.parametrize("state", ["", "ACTIVE"])
def test_log_bucket_that_is_there_or_never_was_is_left_alone(state: str, cloud: FakeCloud) -> None:
    cloud.planned_changes = [change("google_pubsub_topic", "update")]
    cloud.log_bucket = state
    assert script.main(["apply", "dev", "--yes"]) == 0
    assert not any("undelete" in call for call in cloud.calls)


def test_log_bucket_is_the_one_that_terraform_makes() -> None:
    module = Path(script.__file__).parents[2] / "terraform" / "modules" / "observability"
    assert f'bucket_id      = "{script.AUDIT_BUCKET}"' in (module / "audit_log.tf").read_text()


def test_destroy_asks_for_the_environments_name(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    assert script.main(["destroy", "dev"]) == 1
    assert not applied(cloud)


def test_missing_backend_says_what_to_do(cloud: FakeCloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "environments" / "dev.gcs.tfbackend").unlink()
    assert script.main(["plan", "dev"]) == 1
    assert "make bootstrap" in capsys.readouterr().out


DATABASE = {
    "module.database.google_sql_database_instance.this": "projects/example-project/instances/image-manager-p002",
    "module.database.google_sql_database.this": (
        "projects/example-project/instances/image-manager-p002/databases/image_manager"
    ),
    'module.database.google_sql_user.service_account["api"]': (
        "example-project/image-manager-p002/image-api@example-project.iam"
    ),
    'module.database.google_sql_user.service_account["processor"]': (
        "example-project/image-manager-p002/image-processor@example-project.iam"
    ),
    'module.database.google_sql_user.service_account["tasks"]': (
        "example-project/image-manager-p002/image-tasks@example-project.iam"
    ),
    'module.database.google_sql_user.service_account["delivery"]': (
        "example-project/image-manager-p002/image-delivery@example-project.iam"
    ),
    'module.database.google_sql_user.service_account["migrator"]': (
        "example-project/image-manager-p002/image-migrate@example-project.iam"
    ),
}


def test_restored_database_is_managed_in_place_of_the_one_before(cloud: FakeCloud) -> None:
    assert script.main(["adopt-database", "prod", "--yes"]) == 0
    imported = [call.split()[-2:] for call in cloud.calls if call.startswith("terraform import")]
    assert dict(imported) == DATABASE
    assert cloud.managed == list(DATABASE)
    assert not [call for call in cloud.calls if "delete" in call or call.startswith("terraform apply")]


@pytest.mark.parametrize("lacking", ["tasks", "delivery"])
def test_service_that_does_not_run_yet_has_no_user_to_adopt(lacking: str, cloud: FakeCloud) -> None:
    cloud.missing_services = {f"image-{lacking}"}
    assert script.main(["adopt-database", "prod", "--yes"]) == 0
    assert cloud.managed == [address for address in DATABASE if f'"{lacking}"' not in address]


def test_adoption_that_cannot_tell_which_services_run_changes_nothing(cloud: FakeCloud) -> None:
    cloud.unreachable_services = {"image-delivery"}
    assert script.main(["adopt-database", "prod", "--yes"]) == 1
    assert not any(call.startswith(("terraform state rm", "terraform import")) for call in cloud.calls)


@pytest.mark.parametrize("after_effect", [False, True], ids=["before_its_effect", "after_its_effect"])
@pytest.mark.parametrize("call", range(1, 20))
def test_adoption_that_stopped_is_run_again(call: int, after_effect: bool, cloud: FakeCloud) -> None:
    cloud.fails_at, cloud.after_effect = call, after_effect
    script.main(["adopt-database", "prod", "--yes"])
    cloud.fails_at = None
    assert script.main(["adopt-database", "prod", "--yes"]) == 0
    assert cloud.managed == list(DATABASE)


def test_database_that_is_still_being_restored_is_not_adopted(cloud: FakeCloud) -> None:
    cloud.instance_state = "PENDING_CREATE"
    assert script.main(["adopt-database", "prod", "--yes"]) == 1
    assert cloud.managed == ["module.database.google_sql_database_instance.this"]


def test_what_an_adoption_imports_is_what_the_module_manages() -> None:
    module = Path(script.__file__).parents[2] / "terraform" / "modules" / "database"
    text = "".join(path.read_text() for path in module.glob("*.tf"))
    managed = {f"{kind}.{name}" for kind, name in re.findall(r'^resource "(\w+)" "(\w+)"', text, re.MULTILINE)}
    assert managed == {address.removeprefix("module.database.").partition("[")[0] for address in DATABASE}
