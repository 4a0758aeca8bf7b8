"""Tools of npm, in the versions of a lock file that lies beside a test."""

import shutil
import subprocess
from pathlib import Path


def install(sources: Path, folder: Path) -> None:
    """Copy the files of `sources` into a folder, and install what their lock file names."""
    for source in sources.iterdir():
        shutil.copy(source, folder)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True, timeout=300)


def npx(folder: Path, *command: str) -> None:
    """Run a tool of the folder's own, and show what it said where it failed."""
    done = subprocess.run(["npx", "--no-install", *command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
