"""Where a service and its candidate are called: at their own addresses, or through the load balancer before them."""

import json
from typing import Any

import pytest
from scripts.delivery import cloud_run, rollout
from scripts.delivery.cloud_run import CloudRun, GcloudError

from .conftest import ROOT


def service(ingress: str, *environment: tuple[str, str]) -> dict[str, Any]:
    container = {"env": [{"name": name, "value": value} for name, value in environment]}
    return {
        "metadata": {"annotations": {"run.googleapis.com/ingress": ingress}},
        "spec": {"template": {"spec": {"containers": [container]}}},
        "status": {
            "url": "https://image-api-abc-ew.a.run.app",
            "latestCreatedRevisionName": "image-api-00002",
            "traffic": [
                {
                    "tag": "candidate",
                    "revisionName": "image-api-00002",
                    "url": "https://candidate---image-api.a.run.app",
                }
            ],
        },
    }


def cloud_of(described: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> CloudRun:
    created = {**described, "status": {**described["status"], "latestCreatedRevisionName": "image-api-00001"}}
    answers = [created, described, described]

    def answer(*arguments: str, **_: float) -> str:
        asked = "describe" in arguments
        return json.dumps(answers.pop(0) if asked and len(answers) > 1 else answers[0]) if asked else ""

    monkeypatch.setattr(cloud_run, "run_gcloud", answer)
    return CloudRun("project", "europe-west1")


PUBLIC = ("PUBLIC_BASE_URL", "https://images.example.com")


@pytest.mark.parametrize("ingress", ["all", "internal"])
def test_a_service_is_called_at_its_own_address(ingress: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = cloud_of(service(ingress, PUBLIC), monkeypatch)
    candidate = cloud.create_revision("image-api", "image", rollout.TAG)
    assert candidate.url == "https://candidate---image-api.a.run.app"
    assert cloud.url("image-api") == "https://image-api-abc-ew.a.run.app"


def test_behind_an_exclusive_load_balancer_both_are_called_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = cloud_of(service("internal-and-cloud-load-balancing", PUBLIC), monkeypatch)
    assert cloud.create_revision("image-api", "image", rollout.TAG).url == "https://candidate.images.example.com"
    assert cloud.url("image-api") == "https://images.example.com"


def test_a_load_balancer_that_nobody_names_ends_the_rollout(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = cloud_of(service("internal-and-cloud-load-balancing"), monkeypatch)
    with pytest.raises(GcloudError, match="PUBLIC_BASE_URL does not say which"):
        cloud.url("image-api")


def test_delivery_behind_an_exclusive_load_balancer_is_called_at_the_host_of_its_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The URL of the API is in its environment too, and leads to the API."""
    delivery = ("DELIVERY_URL", "https://pictures.example.com")
    described = {
        "image-delivery": service("internal-and-cloud-load-balancing", PUBLIC),
        "image-api": service("internal-and-cloud-load-balancing", PUBLIC, delivery),
    }
    cloud = cloud_of(described["image-api"], monkeypatch)
    monkeypatch.setattr(cloud, "_described", described.__getitem__)
    assert cloud.url("image-delivery") == "https://pictures.example.com"
    assert cloud.url("image-api") == "https://images.example.com"


def test_the_load_balancer_has_a_host_for_the_tag_of_the_rollout() -> None:
    edge = (ROOT / "terraform" / "modules" / "edge" / "variables.tf").read_text()
    block = edge.partition('variable "candidate_tag"')[2].partition("\n}")[0]
    assert f'default     = "{rollout.TAG}"' in block
    assert "candidate_tag" not in (ROOT / "terraform" / "stack" / "edge.tf").read_text()
