"""Images: found by their commit, copied without a change, tried with compose."""

import json
import re
from pathlib import Path

import pytest
import yaml
from scripts.delivery import compose_smoke, promote_image

from image_core.keys import master_secrets

from .conftest import ROOT, Commands
from .fake_api import ADMIN_KEY, FakeApi

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
BUILT = "ghcr.io/Owner/Repository/image-api:abc"
SOURCE, TARGET = f"ghcr.io/owner/repository/image-api@{DIGEST}", "europe-west1-docker.pkg.dev/p/images/image-api:abc"
UNKNOWN = {"to": "inspect", "status": 1, "stderr": "manifest unknown"}


def digest(*more: str) -> int:
    return promote_image.main(["digest", BUILT, "--poll-seconds", "0.01", *more])


def test_an_image_that_is_still_built_is_waited_for(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    commands.answer({**UNKNOWN, "times": 2}, {"to": "inspect", "stdout": f"{DIGEST}\n"})
    assert digest() == 0
    name = "ghcr.io/owner/repository/image-api"
    assert (tmp_path / "output").read_text() == f"image={name}@{DIGEST}\nname={name}\ndigest={DIGEST}\n"
    assert commands.calls[-1][-1] == f"docker://{BUILT.lower()}"


def test_an_image_that_was_never_built_is_an_error(commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    commands.answer(UNKNOWN)
    assert digest("--minutes", "0.001") == 1
    assert "never built" in capsys.readouterr().err


def test_a_registry_that_refuses_is_not_waited_for(commands: Commands) -> None:
    commands.answer({"to": "inspect", "status": 1, "stderr": "unauthorized"})
    assert digest() == 1
    assert len(commands.calls) == 1


def test_a_copy_is_the_same_by_digest(commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    commands.answer({**UNKNOWN, "times": 1}, {"to": "inspect", "stdout": DIGEST})
    assert promote_image.main(["copy", SOURCE, TARGET]) == 0
    assert capsys.readouterr().out == f"{TARGET.removesuffix(':abc')}@{DIGEST}\n"
    assert commands.calls[1][1:] == [
        "copy", "--all", "--preserve-digests", f"docker://{SOURCE}", f"docker://{TARGET}",
    ]  # fmt: skip


def test_a_copy_that_is_there_already_is_not_pushed_again(commands: Commands) -> None:
    commands.answer({"to": "inspect", "stdout": DIGEST})
    assert promote_image.main(["copy", SOURCE, TARGET]) == 0
    assert [call[1] for call in commands.calls] == ["inspect"]


def test_another_image_under_the_same_tag_is_an_error(commands: Commands) -> None:
    commands.answer({"to": "inspect", "stdout": OTHER})
    assert promote_image.main(["copy", SOURCE, TARGET]) == 1


@pytest.mark.parametrize("source", ["ghcr.io/owner/image-api:abc", "ghcr.io/owner/image-api@sha256:short"])
def test_only_an_image_named_by_its_digest_is_copied(commands: Commands, source: str) -> None:
    assert promote_image.main(["copy", source, TARGET]) == 1
    assert commands.calls == []


@pytest.fixture
def compose(commands: Commands, api: FakeApi) -> Commands:
    commands.answer({"to": "bootstrap", "stdout": "Rotated.\n" + json.dumps({"api_key": ADMIN_KEY}) + "\n"})
    return commands


def try_images(api: FakeApi, folder: Path) -> int:
    return compose_smoke.main(["--port", api.url.rpartition(":")[2], "--folder", str(folder)])


def test_the_images_are_built_started_tried_and_removed(compose: Commands, api: FakeApi, tmp_path: Path) -> None:
    assert try_images(api, tmp_path) == 0
    steps = [call[6] for call in compose.calls]
    assert steps == ["build", "up", "run", "down"]
    assert "--wait" in compose.calls[1]
    assert "--volumes" in compose.calls[3]
    assert api.images["image-0"]["deleted_at"] is not None
    assert list(tmp_path.glob("*.env")) == []


@pytest.mark.parametrize(("step", "expected"), [("build", ["build", "down"]), ("up", ["build", "up", "down"])])
def test_whatever_fails_it_is_removed(
    compose: Commands, api: FakeApi, tmp_path: Path, step: str, expected: list[str]
) -> None:
    compose.answer({"to": f" {step}", "status": 1})
    assert try_images(api, tmp_path) == 1
    assert [call[6] for call in compose.calls] == expected


def test_a_key_that_is_not_printed_is_an_error(compose: Commands, api: FakeApi, tmp_path: Path) -> None:
    compose.answer({"to": "bootstrap", "stdout": "no key\n"})
    assert try_images(api, tmp_path) == 1
    assert compose.calls[-1][6] == "down"


def test_a_failed_smoke_test_shows_the_logs(compose: Commands, api: FakeApi, tmp_path: Path) -> None:
    api.fault = lambda method, *_: (503, {}) if method == "POST" else None
    assert try_images(api, tmp_path) == 1
    assert [call[6] for call in compose.calls][-2:] == ["logs", "down"]


def test_every_secret_of_the_example_is_filled_in() -> None:
    made = compose_smoke.settings((ROOT / ".env.example").read_text())
    found = dict(re.findall(r"^(\w+_(?:PASSWORD|MASTER))=(.*)$", made, re.MULTILINE))
    assert len(set(found.values())) == len(found) == 7
    assert all(len(master_secrets.from_text(secret)) == 32 for secret in found.values())


def test_every_service_of_compose_is_waited_for() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert set(compose_smoke.SERVICES) == {name for name in services if name.startswith("image-")}
