"""A thumbnail of 12 KB and a read of 1 MB: CPU of the API's process, beside a bare endpoint on google-cloud-storage.

    uv run --frozen python -m benchmarks.content [--rounds 4]

The bare endpoint knows neither keys nor rows: it reads the same object with Google's high-level client and answers it.
"""

import argparse
import asyncio
import os
import subprocess
import sys

import pyvips

from benchmarks.machine import cpu_seconds, describe
from benchmarks.parts import call, new_member, repeat, running_system, upload, wait_for_port

_PORT = "18997"

BARE = """
import asyncio, os
import uvicorn
from fastapi import FastAPI, Response
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

client = storage.Client(project="p", credentials=AnonymousCredentials(),
                        client_options={"api_endpoint": os.environ["STORAGE_EMULATOR_HOST"]})
app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

@app.get("/{bucket}/{name:path}")
async def read(bucket: str, name: str, size: int):
    blob = client.bucket(bucket).blob(name)
    options = {"start": 0, "end": size - 1, "raw_download": True, "checksum": None}
    data = await asyncio.to_thread(blob.download_as_bytes, **options)
    return Response(data, media_type="application/octet-stream")

uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=False, log_level="error")
"""


def _picture(side_px: int) -> bytes:
    """A JPEG of noise, whose size grows with its side and which no two calls share."""
    noise = pyvips.Image.gaussnoise(side_px, side_px, mean=128, sigma=30).cast("uchar")
    content: bytes = noise.bandjoin([noise, noise]).copy(interpretation="srgb").jpegsave_buffer(Q=80)
    return content


def _get(path: str, key: str = "") -> list[bytes]:
    head = f"X-API-KEY: {key}\r\n" if key else ""
    return [f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode()]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    print(describe("fastapi", "aiohttp", "google-cloud-storage", "uvicorn"))
    with running_system() as system:
        _, key = new_member(system, "Content")
        environment = {**os.environ, "PORT": _PORT, "PYTHONDONTWRITEBYTECODE": ""}
        environment["STORAGE_EMULATOR_HOST"] = system["storage_emulator_host"]
        bare = subprocess.Popen([sys.executable, "-c", BARE], env=environment)
        try:
            wait_for_port(f"http://127.0.0.1:{_PORT}")
            _measure(system, bare.pid, key, options.rounds)
        finally:
            bare.terminate()


def _measure(system: dict[str, object], bare_pid: int, key: str, rounds: int) -> None:
    image = upload(f"{system['url']}/api/v1/images?wait=20", key, _picture(1400))
    team, image_id, size = image["team_id"], image["id"], image["size_bytes"]
    thumb = next(each for each in image["derivatives"] if each["preset"] == "thumb")
    ours, theirs = f"/api/v1/images/{image_id}", f"http://127.0.0.1:{_PORT}"
    folder = _derivative_name(system, team, image_id)
    work = {
        f"thumbnail of {thumb['size_bytes'] / 1000:.0f} KB": (
            f"{ours}/derivatives/thumb", f"/{folder}?size={thumb['size_bytes']}", 400,
        ),
        f"read of {size / 1e6:.1f} MB": (
            f"{ours}/content", f"/image-manager-local-originals/originals/{team}/{image_id}?size={size}", 60,
        ),
    }  # fmt: skip
    for name, (our_path, bare_path, count) in work.items():
        sides = {
            "ours": (str(system["url"]), system["pids"]["image_api"], [_get(our_path, key)] * count),  # type: ignore[index]
            "bare": (theirs, bare_pid, [_get(bare_path)] * count),
        }
        best = dict.fromkeys(sides, float("inf"))
        for _ in range(rounds + 1):  # the first round warms up
            for side, (url, process_id, requests) in sides.items():
                before = cpu_seconds(process_id)
                asyncio.run(repeat(url, requests, 4))
                best[side] = min(best[side], (cpu_seconds(process_id) - before) / count * 1000)
        ratio = best["ours"] / best["bare"]
        print(f"{name:22} ours {best['ours']:5.2f} ms of CPU   bare {best['bare']:5.2f} ms   ratio {ratio:.2f}")


def _derivative_name(system: dict[str, object], team: str, image_id: str) -> str:
    bucket = "image-manager-local-derivatives"
    listing = f"{system['storage_emulator_host']}/storage/v1/b/{bucket}/o?prefix=derivatives/{team}/{image_id}/"
    names = [item["name"] for item in call(listing, "")["items"]]
    return f"{bucket}/{next(name for name in names if name.endswith('thumb.webp'))}"


if __name__ == "__main__":
    main()
