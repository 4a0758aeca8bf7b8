"""Finds or creates the admin's key: the first run rotates the default key, later runs reuse theirs."""

import json
import subprocess
import sys
from dataclasses import dataclass

import httpx2

from local_cloud.errors import ChildCrashed
from local_cloud.postgres.database import DatabaseUrls
from local_cloud.system.environment import Layout, service_environment
from local_cloud.system.system_file import SystemFile

ADMIN_USER_ID = "00000000-0000-7000-8000-000000000001"
BOOTSTRAP_SECONDS = 30.0


@dataclass(frozen=True)
class AdminKey:
    """The key, if it is known here, and whether this run created it."""

    api_key: str | None
    is_new: bool


def obtain(layout: Layout, urls: DatabaseUrls, former: SystemFile | None) -> AdminKey:
    """Return the key of the last run while the API accepts it, else rotate the default key.

    Raises:
        ChildCrashed: The rotation failed.
    """
    stored_key = former.admin_api_key if former else None
    if stored_key is not None and is_accepted(layout.url, stored_key):
        return AdminKey(stored_key, is_new=False)
    made = bootstrap(layout, urls)
    return AdminKey(made, is_new=made is not None)


def is_accepted(url: str, api_key: str) -> bool:
    """Return whether the API accepts a key."""
    try:
        answer = httpx2.get(f"{url}/api/v1/whoami", headers={"X-API-KEY": api_key}, trust_env=False, timeout=5)
    except httpx2.HTTPError:
        return False
    return answer.status_code == 200


def bootstrap(layout: Layout, urls: DatabaseUrls) -> str | None:
    """Rotate the default admin key; return `None` if it was rotated before."""
    done = subprocess.run(
        [sys.executable, "-m", "image_core.admin", "bootstrap", "--print-json"],
        env=service_environment(layout, urls.owner),
        capture_output=True,
        text=True,
        timeout=BOOTSTRAP_SECONDS,
        check=False,
    )
    try:
        key: str | None = json.loads(done.stdout.strip().splitlines()[-1])["api_key"]
    except (ValueError, KeyError, IndexError, TypeError):
        raise ChildCrashed(
            f"The first admin key could not be created (status {done.returncode}): {done.stderr.strip()[-2000:]}"
        ) from None
    return key
