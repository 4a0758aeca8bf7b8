"""What is in the images, what is not, and what they do with no more rights than they need."""

import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_core.keys import master_secrets
from local_cloud.ports import free_port

from .container import Container, folder_of_the_service, run_once, running
from .image_store import IMAGES, ROOT, Image, ImageStore

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

UID = 10001
# What a module has to be compiled for; the standard library's own tests and tools stay as they are.
NOT_COMPILED = re.compile(r"/(ensurepip|idlelib|lib2to3|dist-packages|test|tkinter|turtledemo)/|lib/python3/")
BUILD_TOOLS = {"as", "c++", "cc", "clang", "g++", "gcc", "ld", "make", "uv", "cargo", "rustc"}
CODECS = {"numpy", "pyvips", "pyvips_binary.libs", "PIL", "pillow_heif", "onnxruntime"}
CODECS_OF = {"image-processor": CODECS, "image-delivery": CODECS - {"onnxruntime"}}
# The last layer holds our source, its bytecode and the padding of an archive; what others wrote is tens of megabytes.
MOST_LAYER_BYTES_PER_SOURCE_BYTE = 3
CHANGED_FILES = {
    "image-api": "apps/image_api/image_api/health.py",
    "image-processor": "apps/image_processor/image_processor/health.py",
    "image-delivery": "apps/image_delivery/image_delivery/health.py",
    "emulators": "apps/local_cloud/local_cloud/scheduler.py",
}
NOBODY_THERE = "127.0.0.1:1"


def environment(name: str, port: int, grpc_port: int) -> dict[str, str]:
    """Settings of a service whose neighbours are all away."""
    if name == "emulators":
        return {"EMULATORS_HTTP_PORT": str(port), "EMULATORS_PUBSUB_PORT": str(grpc_port)}
    return {
        "PORT": str(port),
        "GOOGLE_CLOUD_PROJECT": "image-manager-test",
        "IMAGE_UPLOAD_BUCKET_NAME": "originals",
        "IMAGE_DERIVATIVES_BUCKET_NAME": "derivatives",
        "IMAGE_SCRATCH_BUCKET_NAME": "scratch",
        "STORAGE_EMULATOR_HOST": f"http://{NOBODY_THERE}",
        "PUBSUB_EMULATOR_HOST": NOBODY_THERE,
        "DATABASE_URL": f"postgresql://nobody:none@{NOBODY_THERE}/none",
        "PUSH_AUDIENCE": "http://127.0.0.1",
        "PUSH_SERVICE_ACCOUNT_EMAIL": "push@example.com",
        "SCHEDULER_SERVICE_ACCOUNT_EMAIL": "scheduler@example.com",
        "DELIVERY_MASTER": master_secrets.generate(),
        "WORKER_CONFINEMENT_REQUIRED": "true",
    }


@pytest.fixture(scope="module", params=list(IMAGES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def image(images: dict[str, Image], name: str) -> Image:
    return images[name]


@pytest.fixture(scope="module")
def root(store: ImageStore, image: Image) -> Iterator[Path]:
    with store.mounted(image) as mounted:
        yield mounted


@pytest.fixture(scope="module")
def started(store: ImageStore, image: Image, name: str) -> Iterator[tuple[Container, str]]:
    port = free_port()
    with folder_of_the_service(image) as folder:
        volumes = {folder: "/var/lib/emulators"} if name == "emulators" else {}
        with running(store, image, environment(name, port, free_port()), volumes) as container:
            url = f"http://127.0.0.1:{port}"
            container.wait_for(f"{url}/health/live")
            yield container, url


def test_service_answers_though_all_its_neighbours_are_away(started: tuple[Container, str]) -> None:
    container, url = started
    assert container.wait_for(f"{url}/health/live") < 5


def test_service_runs_without_root_and_without_rights(started: tuple[Container, str]) -> None:
    container, _ = started
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{container.process_id}/status").read_text().splitlines()
    )
    assert set(status["Uid"].split()) == {str(UID)}
    assert set(status["Gid"].split()) == {str(UID)}
    assert int(status["CapEff"], 16) == 0
    assert int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"


def test_root_file_system_is_read_only(started: tuple[Container, str]) -> None:
    container, _ = started
    mounts = Path(f"/proc/{container.process_id}/mountinfo").read_text().splitlines()
    root_options = next(line.split()[5] for line in mounts if line.split()[4] == "/")
    assert "ro" in root_options.split(",")


def test_health_check_of_the_image_tells_up_from_down(started: tuple[Container, str], image: Image) -> None:
    container, _ = started
    kind, *command = image.config["Healthcheck"]["Test"]
    assert kind == "CMD"
    assert container.execute(command) == 0
    assert container.execute([*command[:-1], "/no/such/page"]) == 1


def test_image_says_what_it_is(image: Image) -> None:
    assert image.config["User"] == f"{UID}:{UID}"
    assert image.config["StopSignal"] == "SIGTERM"
    assert image.config["Cmd"][:2] == ["python", "-m"]
    labels = {label.rpartition(".")[2] for label in image.config["Labels"] if label.startswith("org.opencontainers")}
    assert labels >= {"title", "description", "licenses", "version", "revision"}
    assert not [variable for variable in image.environment if re.search("KEY|SECRET|PASSWORD|TOKEN|CERT", variable)]


def test_image_has_nothing_to_build_with(root: Path) -> None:
    folders = ["usr/local/bin", "usr/bin", "usr/local/sbin", "usr/sbin", "opt/venv/bin", "root/.local/bin"]
    found = {path.name for folder in folders for path in (root / folder).glob("*")}
    assert found & BUILD_TOOLS == set()
    assert not (root / "src").exists()
    assert not (root / "root/.cache").exists()


def test_everything_is_compiled_and_stays_so_whatever_the_files_times_are(root: Path) -> None:
    # Where the stand-in's Python lives, and the official image's.
    libraries = [root / "opt/venv/lib/python3.13", root / "usr/lib/python3.13", root / "usr/local/lib/python3.13"]
    sources = [path for library in libraries for path in library.rglob("*.py") if not NOT_COMPILED.search(str(path))]
    assert len(sources) > 1000
    stale = []
    for source in sources:
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        # A flag of 1 says that the code belongs to a source of this hash, and that nobody need check. PEP 552.
        if not compiled.exists() or compiled.read_bytes()[4:8] != b"\x01\0\0\0":
            stale.append(str(source.relative_to(root)))
    assert stale == []


def test_nothing_can_be_changed_by_the_service_or_by_everybody(root: Path) -> None:
    open_to_all = [
        str(path.relative_to(root))
        for folder in ("opt", "usr", "etc", "var/lib")
        for path in (root / folder).rglob("*")
        if not path.is_symlink() and (path.stat().st_mode & stat.S_IWOTH or path.stat().st_uid == UID)
    ]
    assert [path for path in open_to_all if not path.startswith("var/lib/emulators")] == []


def test_no_tests_travel_with_our_code(root: Path) -> None:
    packages = root / "opt/venv/lib/python3.13/site-packages"
    ours = [path for path in packages.iterdir() if path.name.startswith(("image_", "local_cloud"))]
    assert ours
    assert [path for package in ours for path in package.rglob("tests")] == []


def test_each_image_has_the_codecs_that_it_needs_and_no_other(root: Path, name: str) -> None:
    packages = {path.name for path in (root / "opt/venv/lib/python3.13/site-packages").iterdir()}
    assert packages & CODECS == CODECS_OF.get(name, set())


DECODE = """
import asyncio, json
from image_engine.testing import pictures as testing
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.requests import ProcessingRequest
from image_engine.pool.pool import WorkerPool

async def main():
    pool = WorkerPool(size=1)
    await pool.start()
    made = {}
    for name, content in {"jpeg": testing.photograph(800, 600), "heic": testing.heic(testing.scene())}.items():
        with open_picture_file() as picture:
            picture.write(content)
            processed = await pool.process(picture, ProcessingRequest())
        made[name] = [derivative.preset for derivative in processed.derivatives]
    await pool.stop()
    print(json.dumps(made))

asyncio.run(main())
"""


@pytest.mark.parametrize("with_codecs", CODECS_OF)
def test_jpeg_and_heic_are_decoded_with_no_more_rights(
    store: ImageStore, images: dict[str, Image], with_codecs: str
) -> None:
    printed = run_once(store, images[with_codecs], ["python", "-c", DECODE])
    assert '"jpeg": ["' in printed
    assert '"heic": ["' in printed


@pytest.mark.parametrize("with_codecs", CODECS_OF)
def test_libvips_is_recent_and_comes_with_the_image(
    store: ImageStore, images: dict[str, Image], with_codecs: str
) -> None:
    command = ["python", "-c", "import pyvips; print(*(pyvips.version(part) for part in range(3)))"]
    version = run_once(store, images[with_codecs], command).split()
    assert tuple(map(int, version)) >= (8, 18, 7)


def test_change_of_our_code_moves_the_last_layer_alone(
    store: ImageStore, image: Image, name: str, tmp_path: Path
) -> None:
    for part in ("pyproject.toml", "uv.lock", ".dockerignore"):
        shutil.copy2(ROOT / part, tmp_path)
    for part in ("apps", "packages", "containers"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    with (tmp_path / CHANGED_FILES[name]).open("a") as changed:
        changed.write("\nCHANGED = True\n")
    source_bytes = sum(
        file.stat().st_size for part in ("apps", "packages") for file in (tmp_path / part).rglob("*") if file.is_file()
    )
    rebuilt = store.build(name, tmp_path, tag="changed")
    assert rebuilt.layers[:-1] == image.layers[:-1]
    assert rebuilt.layers[-1] != image.layers[-1]
    assert rebuilt.layers[-1].size_bytes < MOST_LAYER_BYTES_PER_SOURCE_BYTE * source_bytes
