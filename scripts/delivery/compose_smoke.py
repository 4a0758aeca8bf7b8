"""Build the images, start the whole system from them with compose, send one image through it, and remove it.

python -m scripts.delivery.compose_smoke [--port 8080]
"""

import argparse
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = "image-manager-smoke"
SERVICES = ("image-api", "image-processor", "image-tasks", "image-delivery")
_SECRET = re.compile(r"^(\w+_(?:PASSWORD|MASTER))=$", re.MULTILINE)


class ComposeError(Exception):
    """A compose command failed; its output has already been shown."""


def settings(example: str) -> str:
    """Return the example settings with generated secrets: 32 random bytes each, in base64url."""
    return _SECRET.sub(lambda matched: f"{matched[1]}={secrets.token_urlsafe(32)}", example)


def main(argv: Sequence[str] | None = None) -> int:
    """Build, start, test and remove the system; return 1 if anything failed."""
    parser = argparse.ArgumentParser(description="Try the images with compose.")
    parser.add_argument("--port", type=int, default=8080, help="port of the API on this machine")
    parser.add_argument("--delivery-port", type=int, default=8083, help="port of image-delivery on this machine")
    parser.add_argument("--folder", type=Path, default=ROOT / ".local", help="where the settings are written")
    arguments = parser.parse_args(argv)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    environment_file = arguments.folder / "compose-smoke.env"
    environment_file.touch(mode=0o600)
    ports = f"\nAPI_PORT={arguments.port}\nDELIVERY_PORT={arguments.delivery_port}\n"
    environment_file.write_text(settings((ROOT / ".env.example").read_text()) + ports)
    compose = Compose(environment_file)
    try:
        compose.run("build")
        # By name, because the migration ends by itself, which counts as a failure to one that waits for everything.
        compose.run("up", "--detach", "--wait", "--wait-timeout", "300", *SERVICES)
        key = compose.admin_key()
        return compose.smoke_test(f"http://127.0.0.1:{arguments.port}", key)
    except ComposeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        compose.end()
        environment_file.unlink()


class Compose:
    """The system under a separate name, so that another running system is not affected."""

    def __init__(self, environment_file: Path) -> None:
        """Set the name; nothing is started yet."""
        self._command = ["docker", "compose", "--project-name", PROJECT, "--env-file", str(environment_file)]

    def run(self, *arguments: str) -> None:
        """Run a command and show its output. Raises `ComposeError`."""
        if subprocess.run([*self._command, *arguments], cwd=ROOT, check=False).returncode != 0:  # noqa: S603 (no shell)
            raise ComposeError(f"docker compose {arguments[0]} failed")

    def admin_key(self) -> str:
        """Rotate the default key and return the new one, which is never shown. Raises `ComposeError`."""
        command = ("run", "--rm", "--no-deps", "migrate", "image-manager-admin", "bootstrap", "--print-json")
        done = subprocess.run(  # noqa: S603 (no shell)
            [*self._command, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
        )
        try:
            return str(json.loads(done.stdout.strip().splitlines()[-1])["api_key"])
        except (IndexError, KeyError, TypeError, ValueError):
            raise ComposeError(f"the first admin key was not printed; status {done.returncode}") from None

    def smoke_test(self, url: str, key: str) -> int:
        """Send one image through the system, and show the services' logs if that fails."""
        environment = {**os.environ, "IMAGE_MANAGER_URL": url, "IMAGE_MANAGER_KEY": key}
        done = subprocess.run(  # noqa: S603 (our own script)
            [sys.executable, str(ROOT / "scripts" / "smoke.py"), "--expect-delivery", "--expect-links"],
            env=environment,
            check=False,
        )
        if done.returncode != 0:
            subprocess.run([*self._command, "logs", "--no-color", "--tail", "200"], cwd=ROOT, check=False)  # noqa: S603
        return 1 if done.returncode else 0

    def end(self) -> None:
        """Remove containers, networks and data, but not the images."""
        subprocess.run([*self._command, "down", "--volumes", "--timeout", "20"], cwd=ROOT, check=False)  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
