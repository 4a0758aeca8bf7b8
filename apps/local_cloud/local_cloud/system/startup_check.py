"""A test upload before the system is reported as ready: the picture is processed, and its results are readable.

It is a direct upload: a pending row, the bytes to the object store, the notification, the push, a worker, and the API
that reads the result. It leaves nothing behind: its team, which has a fixed id, is removed with all its data, including
that of an earlier start that was killed. It bypasses the API's own upload, because that writes to the audit log, from
which nothing can be removed.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2

from image_core.ids import new_id
from image_core.keys import api_keys
from local_cloud.errors import NotReadyInTime
from local_cloud.postgres.database import DATABASE
from local_cloud.postgres.server import PostgresServer
from local_cloud.system.check_picture import gradient_png
from local_cloud.system.environment import PROJECT_ID, Layout

TEAM_ID = "5ca1ab1e-0000-7000-8000-000000000001"
ORIGINALS, DERIVATIVES = f"{PROJECT_ID}-originals", f"{PROJECT_ID}-derivatives"
PICTURE_SIDE_PX = 32
DEADLINE_SECONDS = 30.0
EVENT_SECONDS = 2.0
MOST_WAITING = 10
POLL_SECONDS = 0.02

_REMOVE = f"""
BEGIN;
DELETE FROM event WHERE team_id = '{TEAM_ID}';
DELETE FROM discarded_object WHERE object_name LIKE '%/{TEAM_ID}/%';
DELETE FROM image WHERE team_id = '{TEAM_ID}';
DELETE FROM "user" WHERE team_id = '{TEAM_ID}';
DELETE FROM team WHERE id = '{TEAM_ID}';
COMMIT;
"""  # noqa: S608 (nothing in it comes from outside)
_UNPUBLISHED = f"SELECT count(*) FROM event WHERE team_id = '{TEAM_ID}' AND published_at IS NULL;"  # noqa: S608


def check_upload(layout: Layout, postgres: PostgresServer, should_continue: Callable[[], bool]) -> str | None:
    """Upload a picture, check that it becomes ready and can be read, and remove every trace of it.

    Return the reason if it was skipped: older messages are processed first, which may take long.

    Raises:
        NotReadyInTime: It did not become ready; the message says how far it came.
    """
    with httpx2.Client(trust_env=False, timeout=10) as client:
        state = client.get(f"{layout.emulators_url}/_local/state").raise_for_status().json()
        pushes = state["subscriptions"]["image-uploads-push"]
        if pushes["switches"]["paused"] or pushes["switches"]["delay_seconds"]:
            return "its pushes are held back by a switch"
        if pushes["backlog"] > MOST_WAITING:
            return f"{pushes['backlog']} earlier uploads are still being processed"
        check = _Check(layout, postgres, client)
        try:
            check.perform(should_continue)
        except httpx2.HTTPError as error:
            raise _failed(f"{error!r}") from None
        finally:
            check.remove()
    return None


@dataclass(frozen=True)
class _Check:
    layout: Layout
    postgres: PostgresServer
    client: httpx2.Client

    def perform(self, should_continue: Callable[[], bool]) -> None:
        key, image_id = api_keys.generate(), str(new_id())
        name = f"originals/{TEAM_ID}/{image_id}"
        picture = gradient_png(PICTURE_SIDE_PX, PICTURE_SIDE_PX, (120, 160, 100 + secrets.randbelow(100)))
        self.postgres.execute(_REMOVE + _prepare(key, image_id, name), DATABASE)
        answer = self.client.post(
            f"{self.layout.storage_host}/upload/storage/v1/b/{ORIGINALS}/o",
            params={"uploadType": "media", "name": name, "ifGenerationMatch": "0"},
            content=picture, headers={"content-type": "image/png"},
        )  # fmt: skip
        answer.raise_for_status()
        self._wait_until_ready(image_id, key.api_key, should_continue)
        for path, expected in (("content", picture), ("derivatives/thumb", None)):
            content = self._read(f"{image_id}/{path}", key.api_key).raise_for_status().content
            if not content or content != (expected or content):
                raise _failed(f"its {path} cannot be read back")

    def _wait_until_ready(self, image_id: str, api_key: str, should_continue: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            image = self._read(image_id, api_key).raise_for_status().json()
            if image["status"] == "ready" or not should_continue():
                return
            if image["status"] in {"failed", "expired"}:
                raise _failed(f"it is {image['status']}: {image['failure']}")
            if time.monotonic() > deadline:
                raise _failed(f"it is still {image['status']} after {DEADLINE_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)

    def _read(self, path: str, api_key: str) -> Any:
        return self.client.get(f"{self.layout.url}/api/v1/images/{path}", headers={"X-API-KEY": api_key})

    def remove(self) -> None:
        # The picture's event is published as soon as the picture is ready.
        deadline = time.monotonic() + EVENT_SECONDS
        while self.postgres.execute(_UNPUBLISHED, DATABASE) != "0" and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        self.postgres.execute(_REMOVE, DATABASE)
        for bucket in (ORIGINALS, DERIVATIVES):
            self._remove_objects(f"{self.layout.storage_host}/storage/v1/b/{bucket}/o", bucket.rpartition("-")[2])
        self.client.delete(f"{self.layout.emulators_url}/_local/messages", params={"team_id": TEAM_ID})

    def _remove_objects(self, url: str, folder: str) -> None:
        listed = self.client.get(url, params={"prefix": f"{folder}/{TEAM_ID}/", "versions": "true"}).json()
        for entry in listed.get("items", []):
            self.client.delete(f"{url}/{quote(entry['name'], safe='')}", params={"generation": entry["generation"]})


def _prepare(key: api_keys.NewKey, image_id: str, name: str) -> str:
    user_id, credential_id = new_id(), new_id()
    return f"""
BEGIN;
INSERT INTO team (id, name) VALUES ('{TEAM_ID}', 'image-manager: check of a start');
INSERT INTO "user" (id, team_id, name, role, scopes)
VALUES ('{user_id}', '{TEAM_ID}', 'check of a start', 'member', ARRAY['images:read']);
INSERT INTO credential (id, user_id, name, public_id, key_hash)
VALUES ('{credential_id}', '{user_id}', 'key', '{key.public_id}', '\\x{key.key_hash.hex()}');
INSERT INTO image (id, team_id, status, content_type, format, object_name, deadline_at)
VALUES ('{image_id}', '{TEAM_ID}', 'pending', 'image/png', 'png', '{name}', now() + interval '5 minutes');
COMMIT;
"""  # noqa: S608 (nothing in it comes from outside)


def _failed(reason: str) -> NotReadyInTime:
    return NotReadyInTime(
        f"Everything runs, but an upload of our own did not go through: {reason}. The logs of image_processor and "
        "emulators say more."
    )
