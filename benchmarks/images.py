"""Size of the images, what a change of our code moves, and the time to a container's first answer.

    uv run --frozen python -m benchmarks.images [--rounds 5] [--image image-api …]

Needs root, buildah, debootstrap and crun. The base is a stand-in made from Debian packages, so that its own size says
nothing about the official one; everything above it is the same. Each service is started as built, without bytecode of
the standard library (as the official base comes), and without any; one start of each in every round, of which the
fastest counts. CPU time is that of all processes of the container until the first 200 from /health/live, whose
neighbours are all away.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.containers.container import Container, folder_of_the_service
from tests.containers.image_store import IMAGES, ROOT, Image, ImageStore
from tests.containers.test_images import CHANGED_FILES, environment

from benchmarks.machine import describe
from local_cloud.ports import free_port

LIBRARIES = ("usr/lib/python3.13", "usr/local/lib/python3.13")
VARIANTS = {"as built": (), "standard library not compiled": LIBRARIES, "nothing compiled": (*LIBRARIES, "opt/venv")}


@dataclass(frozen=True)
class Start:
    """What it took until the first answer."""

    cpu_seconds: float
    wall_seconds: float


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--image", nargs="+", choices=IMAGES, default=list(IMAGES), help="measure only these")
    options = parser.parse_args()
    store = ImageStore.in_cache()
    built = subprocess.run(["buildah", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{describe()}{built}\n")
    images = {name: store.build(name) for name in options.image}
    for name, image in images.items():
        print_sizes(store, name, image)
    for name, image in images.items():
        print_starts(store, name, image, options.rounds)


def print_sizes(store: ImageStore, name: str, image: Image) -> None:
    """Print the layers, and those that another image has after one of our files was changed."""
    changed = changed_image(store, name)
    sizes, changed_sizes = compressed_sizes(store, image), compressed_sizes(store, changed)
    base, *own = image.layers
    above = sum(layer.size_bytes for layer in own)
    print(f"{name}: {megabytes(above)} above the base, {megabytes(sum(sizes[1:]))} compressed")
    print(f"  (the stand-in base: {megabytes(base.size_bytes)}, {megabytes(sizes[0])} compressed)")
    for layer, size in zip(own, sizes[1:], strict=True):
        print(f"    layer of {megabytes(layer.size_bytes):>9}, {megabytes(size):>9} compressed")
    former = {layer.digest for layer in image.layers}
    moved = [size for layer, size in zip(changed.layers, changed_sizes, strict=True) if layer.digest not in former]
    print(f"  a change in {CHANGED_FILES[name]} moves {len(moved)} layer of {sum(moved) / 1000:.0f} kB compressed\n")


def changed_image(store: ImageStore, name: str) -> Image:
    """Build the image once more, after a change of our code."""
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        for part in ("pyproject.toml", "uv.lock", ".dockerignore"):
            shutil.copy2(ROOT / part, context)
        for part in ("apps", "packages", "containers"):
            shutil.copytree(ROOT / part, context / part, ignore=shutil.ignore_patterns("__pycache__", "tests"))
        with (context / CHANGED_FILES[name]).open("a") as changed:
            changed.write(f"\nCHANGED_AT = {time.time()}\n")
        return store.build(name, context, tag="changed")


def compressed_sizes(store: ImageStore, image: Image) -> list[int]:
    """Bytes of each layer as a registry stores it."""
    with tempfile.TemporaryDirectory() as folder:
        store.push(image, Path(folder))
        blobs = Path(folder) / "blobs"
        index = json.loads((Path(folder) / "index.json").read_text())
        manifest = json.loads((blobs / index["manifests"][0]["digest"].replace(":", "/")).read_text())
        return [layer["size"] for layer in manifest["layers"]]


def print_starts(store: ImageStore, name: str, image: Image, rounds: int) -> None:
    """Start every variant in turn and print the fastest start of each."""
    starts: dict[str, list[Start]] = {variant: [] for variant in VARIANTS}
    with ExitStack() as stack:
        roots = {variant: stack.enter_context(store.mounted(image)) for variant in VARIANTS}
        for variant, folders in VARIANTS.items():
            for folder in folders:
                remove_bytecode(roots[variant] / folder)
        for _ in range(rounds):
            for variant, root in roots.items():
                starts[variant].append(start_once(name, image, root))
    best = {
        variant: Start(min(start.cpu_seconds for start in all_starts), min(start.wall_seconds for start in all_starts))
        for variant, all_starts in starts.items()
    }
    print(f"{name}: to the first answer")
    for variant, start in best.items():
        ratio = start.cpu_seconds / best["as built"].cpu_seconds
        print(f"    {variant:<30} {start.cpu_seconds:5.2f} s CPU ({ratio:.2f}), {start.wall_seconds:5.2f} s")
    print()


def remove_bytecode(folder: Path) -> None:
    """Take all compiled files away."""
    for cache in list(folder.rglob("__pycache__")):
        shutil.rmtree(cache)


def start_once(name: str, image: Image, root: Path) -> Start:
    """Start a container, wait for its first answer, and stop it."""
    port = free_port()
    with folder_of_the_service(image) as folder:
        volumes = {folder: "/var/lib/emulators"} if name == "emulators" else {}
        with Container(image, root, environment(name, port, free_port()), volumes=volumes) as container:
            wall_seconds = container.wait_for(f"http://127.0.0.1:{port}/health/live")
            return Start(cpu_seconds_of(container.process_id), wall_seconds)


def cpu_seconds_of(process_id: int) -> float:
    """User and system time of a process and all that descend from it, those that have ended included."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    own = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
    return own + sum(cpu_seconds_of(int(child)) for child in children)


def megabytes(size_bytes: int) -> str:
    """For people."""
    return f"{size_bytes / 1e6:.1f} MB"


if __name__ == "__main__":
    main()
