"""What code in a worker gets at, tried layer by layer: each is seen to stop what it is there for."""

import asyncio
import json
import platform
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from image_core.analyses.catalogue import CATALOGUE
from image_engine.contract.limits import ALL_FORMATS
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.rejections import WorkerUnavailable
from image_engine.contract.requests import AnalysisOrder, ProcessingRequest
from image_engine.models.model import LABELS, Model
from image_engine.pool.fleet import WORKER_COMMAND
from image_engine.pool.pool import WorkerPool
from image_engine.pool.worker_limits import WorkerLimits
from image_engine.pool.worker_models import WorkerModels
from image_engine.testing.models import write_model
from image_engine.testing.pictures import animation, heic, palette_png, photograph, scene
from image_engine.worker import confinement, syscall_filter

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing of this exists elsewhere")

# Layers in; what was refused, and the version of Landlock that was in force.
Pry = Callable[[str], tuple[set[str], int]]
PRYING = Path(__file__).with_name("prying_worker.py")
HARMLESS = {"own_library", "own_thread"}
INSPECTION = {"parent_environment", "parent_memory", "parent_memory_to_write", "parent_descriptors"}
PROCESSES = {"read_process", "trace"}
FILES = {"secret_file", "folder", "written_file", "new_file"}
NETWORK = {"connect", "datagram", "socket_pair"}
ALL = {*INSPECTION, *PROCESSES, *FILES, *NETWORK, "signal", "program", "fork", "io_uring", "dumpable_again"}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pry]:
    secret = tmp_path_factory.mktemp("outside") / "secret"
    secret.write_bytes(b"secret")
    listener = socket.create_server(("127.0.0.1", 0))

    @cache
    def pry(layers: str) -> tuple[set[str], int]:
        command = [sys.executable, "-P", str(PRYING), layers, str(secret), str(listener.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        found = json.loads(done.stdout)
        version = found.pop("landlock")
        assert found.keys() == ALL | HARMLESS
        return {name for name, outcome in found.items() if outcome != "done"}, version

    with listener:
        yield pry


def test_without_any_layer_everything_is_within_reach(refused: Pry) -> None:
    # What the system itself forbids: others' memory under Yama, io_uring by a sysctl, ptrace in some containers.
    assert refused("none")[0] <= {"io_uring", "trace", "read_process", "parent_memory", "parent_memory_to_write"}


def test_process_that_denies_inspection_is_not_read(refused: Pry) -> None:
    found, _ = refused("inspection")
    assert found >= INSPECTION | PROCESSES
    assert not found & (FILES | NETWORK | {"signal", "program"})


def test_landlock_leaves_no_file_but_libraries(refused: Pry) -> None:
    found, version = refused("files")
    if version == 0:
        pytest.skip("this kernel has no Landlock")
    expected = FILES | INSPECTION | PROCESSES | {"program"}
    expected |= {"connect"} if version >= 4 else set()
    expected |= {"signal"} if version >= 6 else set()
    assert found >= expected
    assert not found & (HARMLESS | {"socket_pair", "fork"})


def test_filter_leaves_no_sockets_programs_or_other_processes(refused: Pry) -> None:
    found, _ = refused("system_calls")
    assert found >= {*PROCESSES, *NETWORK, "signal", "program", "fork", "io_uring", "dumpable_again"}
    assert found >= {"written_file", "new_file", "parent_memory_to_write"}
    # Files of the same user are still read, the parent's environment among them: that is what the others are for.
    assert not found & (HARMLESS | {"secret_file", "parent_environment"})


def test_filter_and_denied_inspection_suffice_for_the_parent_without_landlock(refused: Pry) -> None:
    found, _ = refused("inspection,system_calls")
    assert {*ALL} - found == {"secret_file", "folder"}


async def test_workers_say_what_confines_them() -> None:
    pool = WorkerPool(1, WorkerLimits(require_confinement=True))
    await pool.start()
    try:
        status = await asyncio.to_thread(Path(f"/proc/{pool.process_ids[0]}/status").read_text)
        assert pool.confinement.system_calls
        assert "\nSeccomp:\t2\n" in status
        assert "\nNoNewPrivs:\t1\n" in status
    finally:
        await pool.stop()
    assert not pool.confinement.system_calls


REFUSING = """
from image_engine.worker import confinement
def refuse():
    raise OSError(1, "not here")
confinement.install_syscall_filter = refuse
from image_engine.worker.main import main
main()
"""


@pytest.mark.parametrize("required", [True, False])
async def test_worker_without_a_filter_starts_only_where_none_is_required(required: bool) -> None:
    command = (sys.executable, "-P", "-c", REFUSING)
    pool = WorkerPool(1, WorkerLimits(require_confinement=required), command=command)
    if required:
        with pytest.raises(WorkerUnavailable, match="seccomp"):
            await pool.start()
        return
    await pool.start()
    assert not pool.confinement.system_calls
    await pool.stop()


def test_filter_that_holds_nothing_back_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "install_syscall_filter", lambda: None)
    monkeypatch.setattr(confinement, "restrict_files", lambda _: 7)
    with pytest.raises(confinement.ConfinementRefused):
        confinement.confine_code(required=True)
    assert confinement.confine_code(required=False) == confinement.Confinement()


CALLS = """
import ctypes, sys
from image_engine.worker.confinement import confine
import os
confine(os.getppid(), 2**30)
from image_engine.worker.syscall_filter import install_syscall_filter
install_syscall_filter()
ctypes.CDLL(None).syscall(int(sys.argv[1], 0))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only there is a second convention of numbers")
def test_call_by_another_convention_ends_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", CALLS, "0x40000027"], check=False, timeout=20)
    assert ended.returncode == -31
    assert subprocess.run([sys.executable, "-c", CALLS, "39"], check=False, timeout=20).returncode == 0


def test_filter_is_complete_for_both_machines() -> None:
    for machine in syscall_filter._MACHINES.values():
        size = len(syscall_filter.filter_program(machine, 1)) // 8
        assert 150 < size < 4096


def test_worker_imports_nothing_from_where_the_service_was_started() -> None:
    assert "-P" in WORKER_COMMAND


PICTURES = {
    "jpeg": lambda: photograph(1200, 900),
    "png": lambda: palette_png(scene()),
    "webp": lambda: animation("webp"),
    "gif": lambda: animation("gif"),
    "avif": lambda: scene().heifsave_buffer(compression="av1"),
    "heic": lambda: heic(scene()),
    "tiff": lambda: scene().tiffsave_buffer(compression="deflate"),
}


async def test_every_format_and_model_works_in_a_confined_worker(tmp_path: Path) -> None:
    assert PICTURES.keys() == set(ALL_FORMATS)
    model = write_model(tmp_path / "labels")
    limits = WorkerLimits(require_confinement=True, deadline_seconds=60)
    pool = WorkerPool(1, limits, WorkerModels(Model(LABELS, str(model))))
    await pool.start()
    try:
        for picture_format, content in PICTURES.items():
            with open_picture_file() as picture:
                picture.write(content())
                request = ProcessingRequest(analyses=tuple(AnalysisOrder(name) for name in CATALOGUE))
                processed = await pool.process(picture, request)
            assert (picture_format, processed.facts.format) == (picture_format, picture_format)
            assert len(processed.derivatives) == 3
            assert [outcome.failure for outcome in processed.analyses] == [None] * len(CATALOGUE)
        assert pool.models.failures() == {}
    finally:
        await pool.stop()


UNWATCHED = """
import threading
from image_engine.worker import confinement
def fail():
    raise OSError("no numbers")
confinement.resident_bytes = fail
with confinement.MemoryWatch(2**30).watching():
    threading.Event().wait(60)
"""


def test_worker_ends_when_its_memory_is_no_longer_watched() -> None:
    ended = subprocess.run([sys.executable, "-c", UNWATCHED], check=False, capture_output=True, timeout=20)
    assert ended.returncode == 1
