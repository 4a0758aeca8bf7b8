"""The command `export` as a person calls it, against the running system."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from click.testing import Result
from typer.testing import CliRunner

from image_client import export
from image_client.api import connect, connect_api
from image_client.main import build
from image_engine.testing import pictures

from .conftest import RunningSystem


@pytest.fixture
def api(system: RunningSystem) -> Iterator[httpx2.Client]:
    """A member of a team of its own."""
    with closing(connect_api(system.url, system.admin_api_key)) as admin:
        team_id = admin.post("teams", json={"name": f"exports {uuid4()}"}).json()["id"]
        key = admin.post(f"teams/{team_id}/users", json={"name": "Ada"}).json()["api_key"]
    with closing(connect_api(system.url, key)) as client:
        yield client


def upload(api: httpx2.Client, number: int, filename: str) -> tuple[str, bytes]:
    body = pictures.png(pictures.scene(32 + number, 32)) + os.urandom(8)
    files = {"file": (filename, body, "image/png")}
    answer = api.post("images", files=files, data={"tags": "fjord"}, params={"wait": 20})
    assert answer.json()["status"] == "ready", answer.text
    return answer.json()["id"], body


def environment(api: httpx2.Client) -> dict[str, str]:
    url = str(api.base_url).removesuffix("/api/v1/")
    return {"IMAGE_MANAGER_URL": url, "IMAGE_MANAGER_API_KEY": api.headers["x-api-key"]}


def run(api: httpx2.Client, to: Path, *arguments: str) -> Result:
    return CliRunner().invoke(build(), ["export", "--to", str(to), *arguments], env=environment(api))


def manifest_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / export.MANIFEST).read_text().splitlines()]


def test_an_export_is_downloaded_checked_and_continued(api: httpx2.Client, tmp_path: Path) -> None:
    bodies = dict(upload(api, number, f"../fjord {number}.png") for number in (1, 2, 3))
    done = run(api, tmp_path, "--filter", "tag=fjord")
    assert done.exit_code == 0, done.output
    assert "3 of 3 images" in done.stdout
    for line in manifest_in(tmp_path):
        body = bodies[line["image_id"]]
        assert (tmp_path / line["file"]).read_bytes() == body
        assert (line["image"]["sha256"], line["code"]) == (hashlib.sha256(body).hexdigest(), None)
        assert "url" not in line
    # One file is not there, of the second one a part with other bytes, of the third one a part of it.
    missing, wrong, half = [tmp_path / line["file"] for line in manifest_in(tmp_path)]
    missing.unlink()
    wrong.rename(f"{wrong}.part")
    Path(f"{wrong}.part").write_bytes(b"other bytes")
    whole = half.read_bytes()
    half.unlink()
    Path(f"{half}.part").write_bytes(whole[:100])
    again = run(api, tmp_path)
    assert "3 of 3 images" in again.stdout, again.output
    assert {path.read_bytes() for path in (missing, wrong, half)} == set(bodies.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [export.STATE, export.MANIFEST, missing.name, wrong.name, half.name]
    )
    for others in (("--filter", "tag=fell"), ("--image-id", next(iter(bodies)))):
        other = run(api, tmp_path, *others)
        assert (other.exit_code, "other images" in other.stderr) == (1, True)


def test_images_that_are_named_are_downloaded(api: httpx2.Client, tmp_path: Path) -> None:
    bodies = dict(upload(api, number, f"fjord {number}.png") for number in (1, 2, 3))
    first, _, last = bodies
    named = ["--image-id", last, "--image-id", first, "--image-id", str(uuid4())]
    done = run(api, tmp_path, *named)
    assert (done.exit_code, "2 of 3 images" in done.stdout) == (0, True), done.output
    assert "1 could not be exported" in done.stderr
    assert [line["image_id"] for line in manifest_in(tmp_path)] == named[1::2]
    files = [line["file"] for line in manifest_in(tmp_path) if line["file"]]
    assert [(tmp_path / file).read_bytes() for file in files] == [bodies[last], bodies[first]]
    assert "2 of 3 images" in run(api, tmp_path, *named).stdout
    assert "other images" in run(api, tmp_path, *named[2:]).stderr
    both = run(api, tmp_path / "both", "--filter", "tag=fjord", *named)
    assert (both.exit_code, "either --filter or --image-id" in both.stderr) == (1, True)


def test_unicode_line_separators_in_a_description_end_no_line_of_the_manifest(
    api: httpx2.Client, tmp_path: Path
) -> None:
    # JSON leaves all three as they are.
    image_id, body = upload(api, 6, "fjord.png")
    description = "first\u2028second\u2029third\u0085fourth"
    assert api.patch(f"images/{image_id}", json={"description": description}).status_code == 200
    done = run(api, tmp_path, "--filter", "tag=fjord")
    assert done.exit_code == 0, done.output
    (line,) = map(json.loads, (tmp_path / export.MANIFEST).read_text().strip("\n").split("\n"))
    assert line["image"]["description"] == description
    assert (tmp_path / line["file"]).read_bytes() == body


def test_the_manifest_is_utf_8_whatever_the_locale_is(api: httpx2.Client, tmp_path: Path) -> None:
    image_id, _ = upload(api, 7, "fjord.png")
    assert api.patch(f"images/{image_id}", json={"description": "写真"}).status_code == 200
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    call = [sys.executable, "-m", "image_client.main", "export", "--to", str(tmp_path), "--filter", "tag=fjord"]
    subprocess.run(call, env={**os.environ, **locale, **environment(api)}, check=True, timeout=60)
    (line,) = map(json.loads, (tmp_path / export.MANIFEST).read_text("utf-8").splitlines())
    assert line["image"]["description"] == "写真"


def test_an_address_that_works_no_more_is_read_again(
    api: httpx2.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id, body = upload(api, 4, "fjord.png")
    gone_id, _ = upload(api, 5, "gone.png")
    operation_id = api.post("exports", json={"filter": {"tag": "fjord"}}).json()["operation_id"]
    export._wait(api, tmp_path, operation_id)
    (lines,) = export._pages(api, operation_id)
    by_image = {line["image_id"]: line for line in lines}
    assert api.post(f"images/{image_id}/revoke-addresses").status_code == 200
    assert api.delete(f"images/{gone_id}").status_code == 204
    with closing(connect(lines[0]["url"])) as files:
        clients = export.Clients(api, files)
        # image-delivery refuses a revoked address within 5 seconds; this one was never signed.
        stale = by_image[image_id] | {"url": by_image[image_id]["url"].replace("original.file", "full.file")}
        assert export.download(clients, tmp_path, operation_id, stale)
        unsigned = by_image[gone_id] | {"url": by_image[gone_id]["url"].replace("original.file", "full.file")}
        assert not export.download(clients, tmp_path, operation_id, unsigned)
        assert (tmp_path / f"{image_id}_fjord.png").read_bytes() == body
        # Other bytes than the manifest's are never given the name of the file.
        monkeypatch.setattr(export, "MOST_ATTEMPTS", 2)
        fresh = next(line for line in next(export._pages(api, operation_id)) if line["image_id"] == image_id)
        changed = fresh | {"image": fresh["image"] | {"sha256": "0" * 64, "filename": "other.png"}}
        with pytest.raises(export.Failed, match="SHA-256"):
            export.download(clients, tmp_path, operation_id, changed)
    assert [path.name for path in tmp_path.iterdir()] == [f"{image_id}_fjord.png"]


def test_a_filter_that_the_api_refuses_begins_nothing(api: httpx2.Client, tmp_path: Path) -> None:
    refused = run(api, tmp_path, "--filter", "tagg=fjord")
    assert (refused.exit_code, refused.stderr.startswith("filter-unknown:")) == (1, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("filename", "wanted"),
    [
        ("fjord.jpg", "_fjord.jpg"), ("../../etc/passwd", "__.._etc_passwd"), ("C:\\a.png", "_C_a.png"), ("..", ".png"),
        (None, ".png"), ("a\x00b\n.png", "_a_b_.png"), ("x" * 300 + ".png", "_" + "x" * 146 + ".png"),
    ],
)  # fmt: skip
def test_names_of_files_are_safe(filename: str | None, wanted: str) -> None:
    image_id = "0199c0de-0000-7000-8000-000000000009"
    line = {"image_id": image_id, "image": {"filename": filename, "format": "png"}}
    assert export.file_name(line) == image_id + wanted
