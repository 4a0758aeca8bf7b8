"""The first request of a rendition, 640 pixels in WebP of a 12-megapixel photograph, beside pyvips by hand.

    uv run --frozen python -m benchmarks.delivery.first_request [PICTURE.jpg] [--rounds 15]

By hand is one call of `thumbnail` with shrink-on-load and one of the saver, at the same quality and effort. The
engine's side goes from the bytes in the service to the bytes in the service, worker and transport included. Every side
runs in a process of its own, one after the other within each round, so that none profits from a quieter moment; the
fastest round counts. CPU time is that of all threads of the service's process and the worker together.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.processing import cpu_seconds, describe_machine, make_photograph, process_cpu_seconds

SIDE_PX, QUALITY, EFFORT = 640, 80, 2
FORMATS = ("webp", "jpeg", "avif", "png")


# --- The sides ----------------------------------------------------------------------------------------------------


def by_hand(path: str) -> Callable[[], int]:
    import pyvips

    content = Path(path).read_bytes()

    def run() -> int:
        image = pyvips.Image.thumbnail_buffer(content, SIDE_PX, height=SIDE_PX, size="down")
        return len(image.webpsave_buffer(Q=QUALITY, effort=EFFORT, keep="none"))

    return run


def in_process(path: str) -> Callable[[], int]:
    """The engine's steps within one process: what is left is the cost of handing pictures over."""
    from image_core.delivery.spec import Recipe
    from image_engine.contract.renditions import RenditionRequest
    from image_engine.worker.rendition import render_picture

    descriptor = os.open(path, os.O_RDONLY)
    request = RenditionRequest(Recipe(SIDE_PX, SIDE_PX, quality=QUALITY), "webp", EFFORT)
    return lambda: len(render_picture(descriptor, request, time.monotonic() + 60).content)


SIDES: dict[str, Callable[[str], Callable[[], int]]] = {"by_hand": by_hand, "in_process": in_process}


def measure_side(name: str, path: str, rounds: int) -> dict[str, Any]:
    if name in FORMATS:
        return asyncio.run(measure_pool(path, name, rounds))
    run = SIDES[name](path)
    cpu, wall, size = [], [], run()
    for _ in range(rounds):
        started_cpu, started = cpu_seconds(), time.perf_counter()
        run()
        cpu.append(cpu_seconds() - started_cpu)
        wall.append(time.perf_counter() - started)
    return {"cpu": min(cpu), "median": statistics.median(cpu), "wall": min(wall), "size": size}


async def measure_pool(path: str, image_format: Any, rounds: int) -> dict[str, Any]:
    from image_core.delivery.spec import Recipe
    from image_engine.contract.picture_file import open_picture_file
    from image_engine.contract.renditions import RenditionRequest
    from image_engine.pool.pool import WorkerPool

    content = await asyncio.to_thread(Path(path).read_bytes)
    effort = EFFORT if image_format == "webp" else None
    request = RenditionRequest(Recipe(SIDE_PX, SIDE_PX, quality=QUALITY), image_format, effort)
    pool = WorkerPool(size=1)
    await pool.start()
    worker = pool.process_ids[0]
    cpu, parent, wall, size, steps, first = [], [], [], 0, {}, 0.0
    for index in range(rounds + 1):
        before, before_worker, started = cpu_seconds(), process_cpu_seconds(worker), time.perf_counter()
        with open_picture_file() as picture:
            picture.write(content)
            made = await pool.render(picture, request)
        if index == 0:
            first = time.perf_counter() - started
            continue
        parent.append(cpu_seconds() - before)
        in_worker = process_cpu_seconds(worker) - before_worker
        cpu.append(parent[-1] + max(in_worker, made.worker_cpu_seconds))
        wall.append(time.perf_counter() - started)
        size, steps = len(made.content), made.step_seconds
    await pool.stop()
    return {
        "cpu": min(cpu),
        "median": statistics.median(cpu),
        "wall": min(wall),
        "size": size,
        "parent": min(parent),
        "first": first,
        "steps": steps,
    }


# --- The comparison -----------------------------------------------------------------------------------------------


def compare(path: str, rounds: int) -> None:
    best: dict[str, dict[str, Any]] = {}
    for _ in range(3):
        for name in (*SIDES, *FORMATS):
            found = run_side(path, name, rounds)
            if name not in best or found["cpu"] < best[name]["cpu"]:
                best[name] = found
    hand = best["by_hand"]
    print(f"\n{'side':12} CPU ms  median  wall ms  to hand   KiB")
    for name, found in best.items():
        print(
            f"{name:12} {found['cpu'] * 1e3:6.1f} {found['median'] * 1e3:7.1f} {found['wall'] * 1e3:8.1f} "
            f"{found['cpu'] / hand['cpu']:8.2f} {found['size'] / 1024:5.0f}"
        )
    made = best["webp"]
    print(f"\nFirst request, WebP, beside pyvips by hand: {made['cpu'] / hand['cpu']:.2f} of the CPU (goal: 1.15)")
    print(
        f"In the service's process: {made['parent'] * 1e3:.1f} ms; first of a pool: {made['first'] * 1e3:.0f} ms wall"
    )
    print("Steps, ms wall: " + ", ".join(f"{name} {seconds * 1e3:.1f}" for name, seconds in made["steps"].items()))


def run_side(path: str, name: str, rounds: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.delivery.first_request", path, "--side", name, "--rounds", str(rounds)]
    # One thread for every side: it is what a worker has, and costs the others no more CPU, only time.
    environment = {**os.environ, "VIPS_CONCURRENCY": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", nargs="?", help="a photograph; one is made when none is given")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--side", choices=[*SIDES, *FORMATS], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure_side(options.side, options.picture, options.rounds)))
        return
    describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        path = options.picture or make_photograph(folder)
        compare(path, options.rounds)


if __name__ == "__main__":
    main()
