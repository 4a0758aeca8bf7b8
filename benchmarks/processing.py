"""The processing of one 12-megapixel photograph, beside what others need for its three derivatives alone.

    uv run --frozen python benchmarks/processing.py [PICTURE.jpg] [--rounds 7] [--memory]

Every side runs in a process of its own, one after the other within each round, so that none profits from a quieter
moment; of the rounds the fastest counts. CPU time is user and system time of the process, threads included; for the
whole job it is that of the service's process and of the worker together. `--memory` also runs 5,000 pictures through
one worker, which takes a few minutes.
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZES = (2048, 1024, 256)
QUALITY = 80


# --- The sides, each run as `processing.py PICTURE --side NAME` in a new process ----------------------------------


def by_hand(path: str, effort: int) -> Callable[[], int]:
    """The best that pyvips does: decode once with shrink-on-load, chain the sizes."""
    import pyvips

    def run() -> int:
        image, total = None, 0
        for size in SIZES:
            if image is None:
                image = pyvips.Image.thumbnail(path, size, height=size, size="down").copy_memory()
            else:
                image = image.thumbnail_image(size, height=size, size="down").copy_memory()
            total += len(image.webpsave_buffer(Q=QUALITY, effort=effort, keep="none"))
        return total

    return run


def three_thumbnails(path: str, effort: int) -> Callable[[], int]:
    """What three calls of vipsthumbnail do, within one process: decode the file for each size."""
    import pyvips

    def run() -> int:
        total = 0
        for size in SIZES:
            image = pyvips.Image.thumbnail(path, size, height=size, size="down")
            total += len(image.webpsave_buffer(Q=QUALITY, effort=effort, keep="none"))
        return total

    return run


def three_commands(path: str, effort: int) -> Callable[[], int]:
    """Three calls of the vipsthumbnail command."""
    folder = tempfile.mkdtemp()

    def run() -> int:
        for size in SIZES:
            target = f"{folder}/%s-{size}.webp[Q={QUALITY},effort={effort},keep=none]"
            subprocess.run(["vipsthumbnail", path, "-s", f"{size}x{size}>", "-o", target], check=True)
        return sum(file.stat().st_size for file in Path(folder).iterdir())

    return run


def pillow(path: str, effort: int) -> Callable[[], int]:
    """Pillow: draft mode on load, chained sizes."""
    import io

    from PIL import Image, ImageOps

    def run() -> int:
        total = 0
        with Image.open(path) as image:
            image.draft("RGB", (SIZES[0], SIZES[0]))
            current = ImageOps.exif_transpose(image)
            for size in SIZES:
                current.thumbnail((size, size), Image.Resampling.LANCZOS)
                target = io.BytesIO()
                current.save(target, "WEBP", quality=QUALITY, method=effort)
                total += target.tell()
        return total

    return run


def pipeline(path: str, effort: int) -> Callable[[], int]:
    """The whole job, facts included, within one process: what is left is the cost of handing pictures over."""
    from image_engine.worker.pipeline import process_picture

    request = _request(effort)
    descriptor = os.open(path, os.O_RDONLY)

    def run() -> int:
        picture = process_picture(descriptor, request, time.monotonic() + 60)
        return sum(len(derivative.content) for derivative in picture.derivatives)

    return run


SIDES: dict[str, Callable[[str, int], Callable[[], int]]] = {
    "by_hand": by_hand,
    "three_thumbnails": three_thumbnails,
    "three_commands": three_commands,
    "pillow": pillow,
    "pipeline": pipeline,
}


def measure_side(name: str, path: str, effort: int, rounds: int) -> dict[str, Any]:
    if name == "whole_job":
        return asyncio.run(measure_whole_job(path, effort, rounds))
    run = SIDES[name](path, effort)
    cpu, wall, size = [], [], run()
    for _ in range(rounds):
        started_cpu, started = cpu_seconds(), time.perf_counter()
        run()
        cpu.append(cpu_seconds() - started_cpu)
        wall.append(time.perf_counter() - started)
    return {"cpu": min(cpu), "cpu_median": statistics.median(cpu), "wall": min(wall), "size": size, "rss": peak_bytes()}


async def measure_whole_job(path: str, effort: int, rounds: int) -> dict[str, Any]:
    """From the bytes in the service to derivatives and facts in the service, worker and transport included."""
    from image_engine.contract.picture_file import open_picture_file
    from image_engine.pool.pool import WorkerPool

    content = await asyncio.to_thread(Path(path).read_bytes)
    pool = WorkerPool(size=1)
    started = time.perf_counter()
    await pool.start()
    start_seconds = time.perf_counter() - started
    worker = pool.process_ids[0]
    cpu, parent, wall, size, steps = [], [], [], 0, {}
    for index in range(rounds + 1):
        before, before_worker, started = cpu_seconds(), process_cpu_seconds(worker), time.perf_counter()
        with open_picture_file() as picture:
            picture.write(content)
            result = await pool.process(picture, _request(effort))
        if index == 0:
            first = time.perf_counter() - started
            continue
        parent.append(cpu_seconds() - before)
        # Where /proc is missing the worker's own account is taken, which leaves out its part of the transport.
        in_worker = process_cpu_seconds(worker) - before_worker or result.worker_cpu_seconds
        cpu.append(parent[-1] + max(in_worker, result.worker_cpu_seconds))
        wall.append(time.perf_counter() - started)
        size = sum(len(derivative.content) for derivative in result.derivatives)
        steps = result.step_seconds
    rss = process_peak_bytes(worker)
    await pool.stop()
    return {
        "cpu": min(cpu),
        "cpu_median": statistics.median(cpu),
        "wall": min(wall),
        "size": size,
        "rss": rss,
        "parent_cpu": min(parent),
        "first_wall": first,
        "start_wall": start_seconds,
        "steps": steps,
    }


def _request(effort: int) -> Any:
    from dataclasses import replace

    from image_engine.contract.presets import DEFAULT_PRESETS
    from image_engine.contract.requests import ProcessingRequest

    return ProcessingRequest(presets=tuple(replace(preset, effort=effort) for preset in DEFAULT_PRESETS))


# --- Accounts -----------------------------------------------------------------------------------------------------


def cpu_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def process_cpu_seconds(process_id: int) -> float:
    """CPU time of all threads of another process, 0 where there is no /proc; exact to a nanosecond, not to a tick."""
    try:
        tasks = Path(f"/proc/{process_id}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except OSError:
        return 0.0


def process_peak_bytes(process_id: int) -> int:
    try:
        lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def peak_bytes() -> int:
    """Of this process or of the largest that it has started."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


# --- The comparison -----------------------------------------------------------------------------------------------


def compare(path: str, rounds: int) -> None:
    commands = shutil.which("vipsthumbnail") is not None
    thumbnails = "three_commands" if commands else "three_thumbnails"
    if not commands:
        print("vipsthumbnail is not on PATH: pyvips' thumbnail() from the file, three times, stands for it.")
    cases = [("by_hand", 2), ("whole_job", 2), ("pipeline", 2), (thumbnails, 2), ("pillow", 2)]
    cases += [("by_hand", 4), ("whole_job", 4), (thumbnails, 4), ("pillow", 4)]
    best: dict[tuple[str, int], dict[str, Any]] = {}
    for _ in range(3):
        for case in cases:
            found = run_side(path, case, rounds)
            if case not in best or found["cpu"] < best[case]["cpu"]:
                best[case] = found
    print(f"\n{'side':18} effort  CPU ms  wall ms  to hand   KiB  peak MiB")
    for (name, effort), found in best.items():
        ratio = found["cpu"] / best["by_hand", effort]["cpu"]
        print(
            f"{name:18} {effort:6} {found['cpu'] * 1e3:7.1f} {found['wall'] * 1e3:8.1f} {ratio:8.2f} "
            f"{found['size'] // 1024:5} {found['rss'] / 2**20:9.0f}"
        )
    job = best["whole_job", 2]
    print(f"\nWhole job beside pyvips by hand, effort 2: {job['cpu'] / best['by_hand', 2]['cpu']:.2f} (goal: 1.25)")
    handing_over = job["cpu"] - best["pipeline", 2]["cpu"]
    print(
        f"Handing over: {handing_over * 1e3:.1f} ms of CPU in both processes, {job['parent_cpu'] * 1e3:.1f} ms of them "
        "in the service's"
    )
    print(
        f"Pool of one ready after {job['start_wall'] * 1e3:.0f} ms, first picture {job['first_wall'] * 1e3:.0f} ms wall"
    )
    print("Steps, ms wall: " + ", ".join(f"{name} {seconds * 1e3:.1f}" for name, seconds in job["steps"].items()))


def run_side(path: str, case: tuple[str, int], rounds: int) -> dict[str, Any]:
    name, effort = case
    command = [sys.executable, __file__, path, "--side", name, "--effort", str(effort), "--rounds", str(rounds)]
    # One thread for every side: it is what a worker has, and costs the others no more CPU, only time.
    environment = {**os.environ, "VIPS_CONCURRENCY": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def compare_efforts(path: str) -> None:
    """Size and likeness of the derivatives at both efforts, each beside the pixels that were encoded."""
    import pyvips

    print("\npixels   effort  KiB    SSIM")
    image = pyvips.Image.thumbnail(path, SIZES[0], height=SIZES[0], size="down").copy_memory()
    for size in SIZES:
        image = image.thumbnail_image(size, height=size, size="down").copy_memory()
        for effort in (2, 4):
            content = image.webpsave_buffer(Q=QUALITY, effort=effort, keep="none")
            likeness = ssim(image, pyvips.Image.webpload_buffer(content))
            print(f"{size:6} {effort:8} {len(content) / 1024:6.1f}  {likeness:.4f}")


def ssim(first: Any, second: Any) -> float:
    """Structural similarity of luma. Source: Wang et al. 2004, Gaussian window of 1.5 pixels."""
    x, y = (image.colourspace("b-w").extract_band(0).cast("float") for image in (first, second))
    mean_x, mean_y = x.gaussblur(1.5, precision="float"), y.gaussblur(1.5, precision="float")
    variance_x = (x * x).gaussblur(1.5, precision="float") - mean_x * mean_x
    variance_y = (y * y).gaussblur(1.5, precision="float") - mean_y * mean_y
    covariance = (x * y).gaussblur(1.5, precision="float") - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (mean_x * mean_y * 2 + c1) * (covariance * 2 + c2)
    bottom = (mean_x * mean_x + mean_y * mean_y + c1) * (variance_x + variance_y + c2)
    return float((top / bottom).avg())


async def watch_memory(path: str, pictures: int = 5000) -> None:
    """One worker that is never replaced, so that whatever creeps is seen."""
    import pyvips

    from image_engine.contract.picture_file import open_picture_file
    from image_engine.pool.pool import WorkerPool
    from image_engine.pool.worker_limits import WorkerLimits

    contents = [
        pyvips.Image.thumbnail(path, width, height=width).jpegsave_buffer(Q=85)
        for width in (640, 1000, 1400, 900, 1200)
    ]
    pool = WorkerPool(1, WorkerLimits(max_pictures=pictures + 1, rss_mark_bytes=2**40))
    await pool.start()
    at: dict[int, int] = {}
    for index in range(1, pictures + 1):
        with open_picture_file() as picture:
            picture.write(contents[index % len(contents)])
            result = await pool.process(picture, _request(2))
        if index in {50, 500, 1000, 2500, pictures}:
            at[index] = result.worker_rss_bytes
            print(f"after {index:5} pictures: {at[index] / 2**20:.1f} MiB resident", flush=True)
    print(f"{pictures} beside 500 pictures: {at[pictures] / at[500]:.3f} (goal: no more than 1)")
    await pool.stop()


def describe_machine() -> None:
    import numpy as np
    import PIL
    import pyvips

    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    libvips = ".".join(str(pyvips.version(part)) for part in range(3))
    print(f"{platform.system()} {platform.machine()}, {model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(
        f"Python {platform.python_version()}, pyvips {pyvips.__version__}, libvips {libvips}, "
        f"numpy {np.__version__}, Pillow {PIL.__version__}"
    )


def make_photograph(folder: str) -> str:
    from image_engine.testing.pictures import photograph

    path = f"{folder}/photograph.jpg"
    Path(path).write_bytes(photograph())
    print("picture: made, 4000 x 3000")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", nargs="?", help="a photograph; one is made when none is given")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--side", choices=[*SIDES, "whole_job"], help=argparse.SUPPRESS)
    parser.add_argument("--effort", type=int, default=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure_side(options.side, options.picture, options.effort, options.rounds)))
        return
    describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        path = options.picture or make_photograph(folder)
        compare(path, options.rounds)
        compare_efforts(path)
        if options.memory:
            asyncio.run(watch_memory(path))


if __name__ == "__main__":
    main()
