"""Upload of 1, 10 and 20 MB: CPU of the API's process, beside a bare endpoint that streams to the same store.

    uv run --frozen python -m benchmarks.uploads [--rounds 3]

The bare endpoint hashes the body on its way and hands it to google-cloud-storage in one request up to 8 MiB and with
BlobWriter above. The bodies are JPEG headers followed by random bytes, so that every one is new to the team and none
can be decoded: what the processor does with them is not part of this.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time

from benchmarks.machine import cpu_seconds, describe, peak_resident_bytes
from benchmarks.parts import new_member, repeat, running_system, wait_for_port

_SIZES_MB = {1: 60, 10: 12, 20: 8}
_JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffc00011080100010003011100021101031101")

BARE = """
import asyncio, hashlib, io, os, uuid
import uvicorn
from fastapi import FastAPI, Request
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

client = storage.Client(project="p", credentials=AnonymousCredentials(),
                        client_options={"api_endpoint": os.environ["STORAGE_EMULATOR_HOST"]})
bucket = client.bucket(os.environ["BUCKET"])
app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})
CHUNK = 8 * 1024 * 1024

@app.post("/images")
async def upload(request: Request):
    digest, body, writer = hashlib.sha256(), bytearray(), None
    blob = bucket.blob(f"bare/{uuid.uuid4()}", chunk_size=CHUNK)
    async for chunk in request.stream():
        digest.update(chunk)
        body += chunk
        if len(body) >= CHUNK:
            writer = writer or blob.open("wb", if_generation_match=0)
            await asyncio.to_thread(writer.write, bytes(body))
            body.clear()
    if writer is None:
        await asyncio.to_thread(blob.upload_from_file, io.BytesIO(body), size=len(body), if_generation_match=0)
    else:
        await asyncio.to_thread(writer.write, bytes(body))
        await asyncio.to_thread(writer.close)
    return {"sha256": digest.hexdigest()}

uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=False, log_level="error")
"""


def upload_requests(path: str, key: str, size_mb: int, count: int) -> list[list[bytes]]:
    """Return requests that upload files of random bytes behind the header of a JPEG."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-API-KEY: {key}\r\nContent-Type: image/jpeg\r\nContent-Length: "
    bodies = [_JPEG + os.urandom(size_mb * 1_000_000 - len(_JPEG)) for _ in range(count)]
    return [[f"{head}{len(body)}\r\n\r\n".encode(), body] for body in bodies]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(describe("fastapi", "google-cloud-storage", "uvicorn"))
    with running_system() as system:
        _, key = new_member(system, "Uploads")
        port = "18998"
        environment = {**os.environ, "PORT": port, "PYTHONDONTWRITEBYTECODE": ""}
        environment["BUCKET"] = "image-manager-local-derivatives"
        environment["STORAGE_EMULATOR_HOST"] = system["storage_emulator_host"]
        bare = subprocess.Popen([sys.executable, "-c", BARE], env=environment)
        try:
            wait_for_port(f"http://127.0.0.1:{port}")
            ours = (system["url"], system["pids"]["image_api"], "/api/v1/images")
            sides = {"ours": ours, "bare": (f"http://127.0.0.1:{port}", bare.pid, "/images")}
            for size_mb, count in _SIZES_MB.items():
                _compare(sides, key, size_mb, count, options.rounds)
        finally:
            bare.terminate()
    for count in (8, 32):
        # A process of its own, so that its peak is that of these.
        with running_system() as system:
            _, key = new_member(system, "Together")
            _together((system["url"], system["pids"]["image_api"], "/api/v1/images"), key, count)


def _compare(sides: dict[str, tuple[str, int, str]], key: str, size_mb: int, count: int, rounds: int) -> None:
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(rounds + 1):  # the first round warms up
        for name, (url, process_id, path) in sides.items():
            requests = upload_requests(path, key, size_mb, count)
            before = cpu_seconds(process_id)
            asyncio.run(repeat(url, requests, 1))
            best[name] = min(best[name], (cpu_seconds(process_id) - before) / count * 1000)
    ratio = best["ours"] / best["bare"]
    print(f"{size_mb:3} MB  ours {best['ours']:6.2f} ms of CPU   bare {best['bare']:6.2f} ms   ratio {ratio:.2f}")


def _together(side: tuple[str, int, str], key: str, count: int) -> None:
    url, process_id, path = side
    requests = upload_requests(path, key, 20, count)
    started = time.perf_counter()
    asyncio.run(repeat(url, requests, count))
    took = time.perf_counter() - started
    peak = peak_resident_bytes(process_id) / 2**20
    print(f"{count} × 20 MB at once: {took:.2f} s, the API's peak {peak:.0f} MiB resident")


if __name__ == "__main__":
    main()
