"""`make redrive`: list the open dead letters of a system, or publish them again after their cause has been fixed.

`IMAGE_MANAGER_URL` names the API, and `IMAGE_MANAGER_KEY` holds an admin's key, which is never an argument, because
arguments are visible to everybody on a machine. A message that is handled twice does its work once.
"""

import argparse
import os
import sys
from typing import Any

import httpx2
from scripts.infra.commands import say

PATH = "/api/v1/admin/dead-letters"
TIMEOUT_SECONDS = 30


def open_letters(client: httpx2.Client, most: int) -> list[dict[str, Any]]:
    """Return up to `most` open dead letters, newest first."""
    found: list[dict[str, Any]] = []
    query: dict[str, str | int] = {"status": "open", "limit": 200}
    while len(found) < most:
        page = client.get(PATH, params=query).raise_for_status().json()
        found += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    return found[:most]


def line(letter: dict[str, Any]) -> str:
    """Describe a dead letter in a line."""
    again = "" if letter["is_redrivable"] else "  cannot be published again"
    return (
        f"{letter['id']}  {letter['work_key']}  tried {letter['attempts']} times  from {letter['subscription']}{again}"
    )


def redrive(client: httpx2.Client, most: int, *, send: bool) -> int:
    """Show up to `most` open dead letters, and publish them again if `send` is set; return how many that concerns."""
    count = 0
    for letter in open_letters(client, most):
        say(line(letter))
        if not letter["is_redrivable"]:
            continue
        if send:
            client.post(f"{PATH}/{letter['id']}/redrive").raise_for_status()
        count += 1
    return count


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--send", action="store_true", help="publish them again; without, they are only shown")
    parser.add_argument("--most", type=int, default=1000, help="how many at once")
    options = parser.parse_args(arguments)
    url, key = os.environ.get("IMAGE_MANAGER_URL"), os.environ.get("IMAGE_MANAGER_KEY")
    if not url or not key:
        say("Set IMAGE_MANAGER_URL to the URL of the API, and IMAGE_MANAGER_KEY to the key of an admin.")
        return 2
    try:
        with httpx2.Client(base_url=url, headers={"X-API-KEY": key}, timeout=TIMEOUT_SECONDS) as client:
            count = redrive(client, options.most, send=options.send)
    except httpx2.HTTPError as error:
        say(f"Stopped: {error}. What was not published again is still open.")
        return 1
    say(f"{count} published again." if options.send else f"{count} open. ARGS=--send publishes them again.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
