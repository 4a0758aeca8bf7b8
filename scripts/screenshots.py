"""Takes the screenshots of the console in the README and in docs/console.md: `make screenshots`.

It starts a system of its own with the demo team, and needs Chromium.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).resolve().parents[1] / "docs"
COMMAND = Path(sys.executable).with_name("image-manager")
SETTLED_MS = 1500


class Shot(NamedTuple):
    """A screenshot: its file's name, the page, and the size of the window in pixels."""

    name: str
    path: str
    width: int
    height: int
    scheme: str


SHOTS = (
    Shot("console-images", "/console/images", 1280, 800, "light"),
    Shot("console-image", "", 1280, 800, "dark"),
)


@contextmanager
def demo_system() -> Iterator[tuple[str, str]]:
    """Yield the URL of a system with a demo team, and the key of the team's user."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(COMMAND), "up", "--data-dir", f"{folder}/data", "--port", "0", "--demo"]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603
        try:
            yield _url_and_key(running)
        finally:
            running.terminate()
            running.wait(60)


def _url_and_key(running: "subprocess.Popen[str]") -> tuple[str, str]:
    url = ""
    for line in running.stdout or ():
        if found := re.match(r"API:\s+(\S+)", line):
            url = found[1]
        if found := re.search(r"Key of its user: (\S+)", line):
            return url, found[1]
    raise SystemExit("The system with the demo team did not start.")


def take(browser: Any, url: str, key: str, shot: Shot) -> None:
    """Sign in, open the page, or the first image of the list without one, and save what is seen as WebP."""
    size = {"width": shot.width, "height": shot.height}
    page = browser.new_page(viewport=size, color_scheme=shot.scheme, reduced_motion="reduce")
    page.goto(f"{url}/console/sign-in?next=/console/images")
    page.fill("input[name=api_key]", key)
    page.press("input[name=api_key]", "Enter")
    page.wait_for_url("**/console/images")
    if shot.path:
        page.goto(url + shot.path)
    else:
        page.click(".cell a >> nth=6")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(SETTLED_MS)
    picture = Image.open(BytesIO(page.screenshot()))
    picture.convert("RGB").save(DOCS / f"{shot.name}.webp", quality=80, method=6)
    page.close()


def main() -> None:
    """Take all screenshots."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("Chromium is needed: install it, and run this again.")
    with demo_system() as (url, key), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for shot in SHOTS:
            take(browser, url, key, shot)
        browser.close()


if __name__ == "__main__":
    main()
