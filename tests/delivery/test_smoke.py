"""The smoke test against a server that answers as it should, and against one that fails at each step in turn."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripts.smoke import main

from .conftest import ROOT
from .fake_api import ADMIN_KEY, MEMBER_KEY, READER_KEY, FakeApi, Reply
from .in_process import call, surroundings

SCRIPT = ROOT / "scripts" / "smoke.py"
STEPS = [
    *("live", "ready", "processor", "tasks", "version", "key", "tokens"),
    *("upload", "processing", "derivative", "address", "delivery", "link", "original", "trash"),
]


def smoke(*arguments: str, folder: Path | None = None, **environment: str) -> "subprocess.CompletedProcess[str]":
    with surroundings(folder, **environment):
        return call(main, ["--start-seconds", "0", "--ready-seconds", "1", *arguments])


def at(api: FakeApi, *arguments: str, key: str = MEMBER_KEY) -> "subprocess.CompletedProcess[str]":
    return smoke("--url", api.url, *arguments, IMAGE_MANAGER_KEY=key)


def test_all_steps_pass_in_order_and_the_picture_ends_in_the_trash(api: FakeApi) -> None:
    api.statuses = ["stored", "processing", "ready"]
    done = at(api, "--expect-version", "1.4.0")
    assert done.returncode == 0, done.stdout
    assert [line.split()[1] for line in done.stdout.splitlines()[1:-1]] == STEPS
    assert [image["deleted_at"] is not None for image in api.images.values()] == [True]
    assert MEMBER_KEY not in " ".join(api.calls)


def test_it_needs_only_python_and_takes_address_and_key_from_the_environment(api: FakeApi) -> None:
    command = [sys.executable, "-I", "-S", str(SCRIPT)]
    with surroundings(IMAGE_MANAGER_URL=api.url, IMAGE_MANAGER_KEY=MEMBER_KEY):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_address_and_key_come_from_the_local_system(api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "system.json").write_text(json.dumps({"url": api.url, "admin_api_key": ADMIN_KEY}))
    done = smoke(folder=tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("system_calls", "status"), [(True, 0), (False, 1 if sys.platform == "linux" else 0)])
def test_workers_of_the_local_system_are_confined(
    api: FakeApi, tmp_path: Path, system_calls: bool, status: int
) -> None:
    api.confinement = {"system_calls": system_calls, "landlock": 0}
    system = {"url": api.url, "processor_url": f"{api.url}/processor", "admin_api_key": ADMIN_KEY}
    (tmp_path / "system.json").write_text(json.dumps(system))
    done = smoke("--data-dir", str(tmp_path))
    assert done.returncode == status, done.stdout
    assert "confined" in done.stdout


@pytest.mark.parametrize(
    ("housekeeping", "status"),
    [((200, {"service": "image-tasks"}), 0), ((200, {"service": "image-api"}), 1), ((503, {}), 1)],
)
def test_housekeeping_of_the_local_system_is_asked(
    api: FakeApi, tmp_path: Path, housekeeping: Reply, status: int
) -> None:
    api.fault = lambda _method, path, prefix: housekeeping if (prefix, path) == ("/tasks", "/version") else None
    system = {"url": api.url, "tasks_url": f"{api.url}/tasks", "admin_api_key": ADMIN_KEY}
    (tmp_path / "system.json").write_text(json.dumps(system))
    done = smoke("--data-dir", str(tmp_path))
    assert done.returncode == status, done.stdout
    assert "GET /tasks/health/ready" in api.calls or status


def test_housekeeping_that_cannot_work_fails(api: FakeApi, tmp_path: Path) -> None:
    asked = {"/version": (200, {"service": "image-tasks"}), "/health/ready": (503, {"ready": False})}
    api.fault = lambda _method, path, prefix: asked.get(path) if prefix == "/tasks" else None
    system = {"url": api.url, "tasks_url": f"{api.url}/tasks", "admin_api_key": ADMIN_KEY}
    (tmp_path / "system.json").write_text(json.dumps(system))
    done = smoke("--data-dir", str(tmp_path))
    assert done.returncode == 1, done.stdout
    assert "FAIL  tasks" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([], 0),
        (["--expect-delivery"], 1),
        (["--expect-delivery-version", "1.4.0"], 1),
        (["--delivery-url", "http://127.0.0.1:1"], 1),
    ],
)
def test_a_deployment_may_do_without_addresses_unless_they_are_expected(
    api: FakeApi, arguments: list[str], status: int
) -> None:
    api.issues_addresses = False
    done = at(api, *arguments)
    assert done.returncode == status, done.stdout
    assert ("FAIL  address" in done.stdout) == bool(status)


def test_the_local_system_issues_addresses(api: FakeApi, tmp_path: Path) -> None:
    api.issues_addresses = False
    system = {"url": api.url, "delivery_url": f"{api.url}/image-delivery", "admin_api_key": ADMIN_KEY}
    (tmp_path / "system.json").write_text(json.dumps(system))
    done = smoke("--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert "FAIL  address" in done.stdout


def test_an_address_is_tried_without_the_key_at_its_own_host(api: FakeApi) -> None:
    assert at(api).returncode == 0
    assert "GET /image-delivery/i/grant/image.tag/thumb@71b0.auto" in api.calls


def test_a_tag_of_image_delivery_is_tried_instead_of_the_addresses_host(api: FakeApi) -> None:
    tag = f"{api.url}/candidate-image-delivery"
    done = at(api, "--delivery-url", tag, "--expect-delivery-version", "1.4.0")
    assert done.returncode == 0, done.stdout
    called = [call.split()[1] for call in api.calls if "image-delivery" in call]
    assert [call.rpartition("-delivery")[0] for call in called] == ["/candidate-image"] * 3


OF_A_LINK = "/image-delivery/i/of-a-link/image.tag/thumb@71b0.auto"


@pytest.mark.parametrize("key", [MEMBER_KEY, ADMIN_KEY])
def test_a_share_link_is_opened_without_a_key_and_deleted(api: FakeApi, key: str) -> None:
    done = at(api, "--expect-links", key=key)
    assert done.returncode == 0, done.stdout
    assert [call for call in api.calls if "/s/" in call or "of-a-link" in call or "/links/" in call] == [
        f"GET /s/{(token := next(call for call in api.calls if '/s/' in call).rpartition('/')[2])}",
        f"GET {OF_A_LINK}",
        f"DELETE /api/v1/links/{token}",
        f"GET /s/{token}",
    ]
    assert token not in done.stdout


def test_no_share_link_is_made_while_a_revision_without_them_may_answer(api: FakeApi) -> None:
    assert at(api).returncode == 0
    assert not [call for call in api.calls if "/links" in call]


def test_a_key_without_the_scope_makes_no_share_link(api: FakeApi) -> None:
    api.scopes = ["images:read", "images:write", "images:delete"]
    done = at(api, "--expect-links")
    assert done.returncode == 0, done.stdout
    assert "the key lacks delivery:manage" in done.stdout


def test_an_image_delivery_of_the_release_before_need_not_know_share_links(api: FakeApi) -> None:
    api.delivery_version = "1.3.0"
    done = at(api, "--expect-links")
    assert done.returncode == 0, done.stdout
    assert f"GET {OF_A_LINK}" not in api.calls
    assert not api.links


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/passwd"])
def test_image_delivery_is_called_at_a_web_address(api: FakeApi, url: str) -> None:
    done = at(api, "--delivery-url", url)
    assert done.returncode == 2
    assert "address" in done.stderr


def test_another_version_of_image_delivery_fails(api: FakeApi) -> None:
    done = at(api, "--expect-delivery-version", "1.5.0")
    assert done.returncode == 1
    assert "FAIL  delivery" in done.stdout
    assert "version 1.4.0 answers instead of 1.5.0" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a local system has no filter for system calls")
def test_workers_of_image_delivery_are_confined(api: FakeApi) -> None:
    api.confinement = {"system_calls": False, "landlock": 0}
    done = at(api)
    assert done.returncode == 1
    assert "FAIL  delivery" in done.stdout
    assert "not confined" in done.stdout


def test_the_local_key_is_never_sent_to_another_address(api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "system.json").write_text(json.dumps({"url": "http://127.0.0.1:1", "admin_api_key": ADMIN_KEY}))
    done = smoke("--data-dir", str(tmp_path), "--url", api.url)
    assert done.returncode == 2
    assert "set IMAGE_MANAGER_KEY" in done.stderr
    assert api.calls == []


@pytest.mark.parametrize("url", [None, "ftp://127.0.0.1/", "file:///etc/passwd"])
def test_without_a_web_address_it_does_not_begin(url: str | None, tmp_path: Path) -> None:
    done = smoke(*(["--url", url] if url else []), folder=tmp_path, IMAGE_MANAGER_KEY=MEMBER_KEY)
    assert done.returncode == 2
    assert "address" in done.stderr


def test_an_admin_uploads_for_a_team_of_the_test_which_the_next_run_finds(api: FakeApi) -> None:
    api.teams = [{"id": "other", "name": "Somebody else"}]
    assert at(api, key=ADMIN_KEY).returncode == 0
    assert at(api, key=ADMIN_KEY).returncode == 0
    assert [team["name"] for team in api.teams] == ["Somebody else", "Smoke test"]


def test_a_tag_is_tried_instead_of_the_service(api: FakeApi) -> None:
    done = at(api, "--tag-url", f"{api.url}/candidate")
    assert done.returncode == 0, done.stdout
    assert {call.split()[1].split("/")[1] for call in api.calls} == {"candidate", "image-delivery"}


def test_several_pictures_are_sent_one_after_the_other(api: FakeApi) -> None:
    assert at(api, "--uploads", "3").returncode == 0
    assert len({image["sha256"] for image in api.images.values()}) == 3


def answers(status: int, body: Any, *, method: str, ends: str) -> Callable[[str, str, str], Reply | None]:
    return lambda asked, path, _prefix: (status, body) if asked == method and path.endswith(ends) else None


def at_delivery(begins: str, reply: Reply) -> Callable[[str, str, str], Reply | None]:
    return lambda _method, path, prefix: reply if "delivery" in prefix and path.startswith(begins) else None


BROKEN = {"sha256": "0" * 64, "id": "image-0"}
FAULTS: dict[str, tuple[str, Callable[[str, str, str], Reply | None]]] = {
    "the process answers 500": ("live", answers(500, {}, method="GET", ends="/health/live")),
    "the database is away": ("ready", answers(503, {}, method="GET", ends="/health/ready")),
    "the answer is a page": ("ready", answers(200, b"<html>", method="GET", ends="/health/ready")),
    "the answer has another shape": ("version", answers(200, [], method="GET", ends="/version")),
    "everybody is let in": ("key", answers(200, {}, method="GET", ends="/whoami")),
    "uploads fail": ("upload", answers(503, {}, method="POST", ends="/images")),
    "other bytes are stored": ("upload", answers(201, BROKEN, method="POST", ends="/images")),
    "images cannot be read": ("processing", answers(500, {}, method="GET", ends="/image-0")),
    "derivatives are missing": ("derivative", answers(404, {}, method="GET", ends="/thumb")),
    "derivatives are cut": ("derivative", answers(200, b"RIFF", method="GET", ends="/thumb")),
    "image-delivery is not ready": ("delivery", at_delivery("/health/ready", (503, {}))),
    "addresses are unknown to image-delivery": ("delivery", at_delivery("/i/", (404, {}))),
    "addresses show something else": ("delivery", at_delivery("/i/", (200, b"RIFF"))),
    "something else answers addresses": ("delivery", at_delivery("/version", (200, {"service": "image-api"}))),
    "share links cannot be made": ("link", answers(503, {}, method="POST", ends="/links")),
    "a share link shows no picture": ("link", lambda _m, path, _p: (200, b"<html>") if "/s/" in path else None),
    "the picture of a share link is missing": ("link", at_delivery("/i/of-a-link/", (404, {}))),
    "a share link outlives its end": ("link", lambda method, path, _p: (204, b"") if "/links/" in path else None),
    "originals are cut": ("original", answers(200, b"half", method="GET", ends="/content")),
    "nothing can be deleted": ("trash", answers(403, {}, method="DELETE", ends="/image-0")),
    "deleting does nothing": ("trash", answers(204, b"", method="DELETE", ends="/image-0")),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_failure_is_told_at_its_step(api: FakeApi, name: str) -> None:
    step, api.fault = FAULTS[name]
    done = at(api, *(["--expect-links"] if step == "link" else []))
    assert done.returncode == 1, done.stdout
    lines = done.stdout.splitlines()
    assert lines[-2].split()[:2] == ["FAIL", step]
    assert lines[-1].startswith("Smoke test FAILED")
    assert [line.split()[1] for line in lines[1:-2]] == STEPS[: STEPS.index(step)]


def test_signing_keys_that_cannot_be_read_are_told_before_anything_is_uploaded(api: FakeApi) -> None:
    api.has_signing_keys = False
    done = at(api)
    assert done.returncode == 1
    assert "FAIL  tokens" in done.stdout
    assert "signing-keys-unavailable" in done.stdout
    assert not api.images


@pytest.mark.parametrize("name", ["derivatives are missing", "a share link shows no picture", "originals are cut"])
def test_a_failure_leaves_neither_picture_nor_link_behind(api: FakeApi, name: str) -> None:
    _, api.fault = FAULTS[name]
    at(api, "--expect-links")
    assert api.images["image-0"]["deleted_at"] is not None
    assert not api.links


@pytest.mark.parametrize(
    ("statuses", "said"), [(["stored"], "still stored after"), (["processing", "failed"], "is failed")]
)
def test_a_picture_that_does_not_become_ready_fails(api: FakeApi, statuses: list[str], said: str) -> None:
    api.statuses = statuses
    done = at(api)
    assert (done.returncode, said in done.stdout) == (1, True), done.stdout


def test_another_version_fails(api: FakeApi) -> None:
    done = at(api, "--expect-version", "1.5.0")
    assert done.returncode == 1
    assert "version 1.4.0 answers instead of 1.5.0" in done.stdout


def test_a_key_that_may_not_delete_is_told_before_anything_is_uploaded(api: FakeApi) -> None:
    done = at(api, key=READER_KEY)
    assert done.returncode == 1
    assert "lacks images:delete, images:write" in done.stdout
    assert api.images == {}


def test_a_wrong_key_fails_and_is_not_shown(api: FakeApi) -> None:
    done = at(api, key="im_mistyped")
    assert done.returncode == 1
    assert "401 instead of 200" in done.stdout
    assert "im_mistyped" not in done.stdout + done.stderr


def test_nobody_there_is_a_sentence() -> None:
    done = smoke("--url", "http://127.0.0.1:1", IMAGE_MANAGER_KEY=MEMBER_KEY)
    assert done.returncode == 1
    assert "no answer" in done.stdout
    assert "Traceback" not in done.stderr


def test_an_instance_that_starts_slowly_is_waited_for(api: FakeApi) -> None:
    asked: list[str] = []

    def cold(_method: str, path: str, _prefix: str) -> Reply | None:
        asked.append(path)
        return (503, {}) if len(asked) < 3 else None

    api.fault = cold
    done = at(api, "--start-seconds", "20")
    assert done.returncode == 0, done.stdout


@pytest.mark.smoke
@pytest.mark.timeout(300)
def test_the_local_cloud_passes(tmp_path: Path) -> None:
    with (tmp_path / "up.log").open("w") as log:
        command = [
            sys.executable,
            "-m",
            "image_client.main",
            "up",
            "--port",
            "0",
            "--data-dir",
            str(tmp_path / "local"),
        ]
        system = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        written = tmp_path / "local" / "system.json"
        for _ in range(1200):
            if written.exists() and json.loads(written.read_text() or "{}").get("admin_api_key"):
                break
            assert system.poll() is None, (tmp_path / "up.log").read_text()
            time.sleep(0.1)
        done = smoke("--data-dir", str(tmp_path / "local"), "--start-seconds", "60", "--ready-seconds", "60")
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        system.terminate()
        system.wait(60)
