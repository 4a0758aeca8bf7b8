"""Copy an image into the registry of an environment, unchanged.

    python -m scripts.delivery.promote_image digest ghcr.io/owner/repository/image-api:COMMIT
    python -m scripts.delivery.promote_image copy ghcr.io/…/image-api@sha256:… …-docker.pkg.dev/…/image-api:COMMIT

`digest` waits until the build has pushed the image, and prints its name with digest. `copy` prints the copy's name with
digest. Both write it to GITHUB_OUTPUT as `image`, and `digest` also writes the parts `name` and `digest`.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")
COMMAND_SECONDS = 900


class PromotionError(Exception):
    """An image does not exist or is not the expected one."""


def digest_of(image: str) -> str | None:
    """Return the digest of an image, or `None` if the registry does not have it. Raises `PromotionError`."""
    done = _skopeo("inspect", "--no-tags", "--format", "{{.Digest}}", f"docker://{image}")
    if done.returncode == 0 and _DIGEST.match(done.stdout.strip()):
        return done.stdout.strip()
    if re.search(r"manifest unknown|not found|name unknown", done.stderr, re.IGNORECASE):
        return None
    raise PromotionError(f"{image}: {done.stderr.strip() or done.stdout.strip()}")


def wait_for(image: str, seconds: float, poll_seconds: float) -> str:
    """Wait until the image exists and return its digest. Raises `PromotionError`."""
    deadline = time.monotonic() + seconds
    while True:
        found = digest_of(image)
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise PromotionError(f"{image} is not there: its commit was never built on the main branch")
        time.sleep(poll_seconds)


def copy(source: str, target: str) -> str:
    """Copy an image given by digest and return the copy's name with digest. Raises `PromotionError`."""
    digest = source.partition("@")[2]
    if not _DIGEST.match(digest):
        raise PromotionError(f"{source} is not named by its digest")
    name = target.rpartition(":")[0]
    # The registry's tags cannot be moved, so that a repeated run must not push again.
    there = digest_of(target)
    if there is None:
        done = _skopeo("copy", "--all", "--preserve-digests", f"docker://{source}", f"docker://{target}")
        if done.returncode != 0:
            raise PromotionError(f"{source} to {target}: {done.stderr.strip()}")
        there = digest_of(target)
    if there != digest:
        raise PromotionError(f"{target} is {there} and not {digest}")
    return f"{name}@{digest}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the image's name with digest; return 1 if there is none."""
    parser = argparse.ArgumentParser(description="Bring an image into another registry, unchanged.")
    commands = parser.add_subparsers(dest="command", required=True)
    digest = commands.add_parser("digest", help="wait for an image and name it by its digest")
    digest.add_argument("image")
    digest.add_argument("--minutes", type=float, default=30)
    digest.add_argument("--poll-seconds", type=float, default=20)
    copying = commands.add_parser("copy", help="copy an image without a change")
    copying.add_argument("source", help="by digest")
    copying.add_argument("target", help="with a tag")
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "copy":
            image = copy(arguments.source.lower(), arguments.target)
        else:
            # Registries know no capitals, which owners of repositories may have.
            named = arguments.image.lower()
            found = wait_for(named, arguments.minutes * 60, arguments.poll_seconds)
            image = f"{named.rpartition(':')[0]}@{found}"
    except PromotionError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{image}\n")
    if "GITHUB_OUTPUT" in os.environ:
        name, _, digest_text = image.partition("@")
        with Path(os.environ["GITHUB_OUTPUT"]).open("a") as file:
            file.write(f"image={image}\nname={name}\ndigest={digest_text}\n")
    return 0


def _skopeo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(  # noqa: S603 (no shell)
            ["skopeo", *arguments],  # noqa: S607 (from the PATH, as everywhere)
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PromotionError(f"skopeo {arguments[0]}: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
