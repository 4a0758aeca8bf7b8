import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from image_core.delivery.spec import FORMATS, Recipe
from image_engine.contract.answers import AnalyzedPicture, ProcessedPicture
from image_engine.contract.framing import decode_processed
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.presets import DEFAULT_PRESETS, Preset
from image_engine.contract.rejections import PictureRejected, WorkerInterrupted, WorkerUnavailable
from image_engine.contract.renditions import Rendition, RenditionRequest
from image_engine.contract.requests import AnalysisOrder, AnalysisRequest, ProcessingRequest
from image_engine.models.model import LABELS, Model
from image_engine.pool import pool
from image_engine.pool.fleet import WORKER_COMMAND, worker_environment
from image_engine.pool.pool import WorkerPool
from image_engine.pool.process import WorkerDied, WorkerProcess
from image_engine.pool.worker_limits import MIB
from image_engine.testing.faulty_worker import RENDITION_LIES
from image_engine.testing.pictures import heic, photograph, png_bomb, scene
from image_engine.testing.pools import FAULTY_COMMAND, running_pool

LIES = (b"no size", b"endless", b"no character", b"other derivatives", b"page", b"other analyses", b"eternity")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")

Pools = Callable[..., AbstractAsyncContextManager[WorkerPool]]


@asynccontextmanager
async def started(**options: Any) -> AsyncIterator[WorkerPool]:
    async with running_pool(**{"command": FAULTY_COMMAND, **options}) as pool:
        yield pool
    assert pool.process_ids == []


async def process(pool: WorkerPool, content: bytes) -> ProcessedPicture:
    with open_picture_file() as picture:
        picture.write(content)
        assert picture.size_bytes == len(content)
        return await pool.process(picture, ProcessingRequest())


async def analyze(pool: WorkerPool, content: bytes) -> AnalyzedPicture:
    with open_picture_file() as picture:
        picture.write(content)
        return await pool.analyze(picture, AnalysisRequest((AnalysisOrder("colors"),)))


async def render(pool: WorkerPool, content: bytes) -> Rendition:
    with open_picture_file() as picture:
        picture.write(content)
        return await pool.render(picture, RenditionRequest(Recipe(width_px=160), "jpeg"))


async def rejection(pool: WorkerPool, content: bytes) -> str:
    with pytest.raises(PictureRejected) as raised:
        await process(pool, content)
    return raised.value.code


async def outcome_of(job: Awaitable[object]) -> str:
    """The code of a job's rejection, or else what the job gave."""
    try:
        return repr(await job)
    except PictureRejected as rejected:
        return rejected.code


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


async def test_picture_comes_back_with_derivatives_and_facts() -> None:
    async with started(command=WORKER_COMMAND, size=2) as pool:
        contents = [photograph(1200, 900), heic(scene()), scene().pngsave_buffer(), photograph(1600, 900)]
        pictures = await asyncio.gather(*(process(pool, content) for content in contents))
        assert [picture.facts.width_px for picture in pictures] == [1200, 320, 320, 1600]
        for picture in pictures:
            assert [derivative.preset for derivative in picture.derivatives] == ["thumb", "preview", "large"]
            assert all(derivative.content[:4] == b"RIFF" for derivative in picture.derivatives)
            assert picture.worker_cpu_seconds > 0
        assert await rejection(pool, b"not a picture") == "not-an-image"
        assert await rejection(pool, photograph(1200, 900)[:9000]) == "image-truncated"


async def test_bomb_costs_neither_memory_nor_the_worker() -> None:
    async with started(command=WORKER_COMMAND) as pool:
        before = pool.process_ids
        assert await rejection(pool, png_bomb(30_000, 2_000)) == "image-too-many-pixels"
        picture = await process(pool, png_bomb(7_000, 7_000))
        assert picture.facts.width_px == 7_000
        assert picture.worker_rss_bytes < 200 * MIB
        assert pool.process_ids == before


async def test_failure_costs_one_picture_and_nothing_else() -> None:
    codes = dict.fromkeys((b"crash", b"exit", b"lie", b"error", b"write"), "processing-crashed")
    async with started(size=2) as pool:
        for order, code in {**codes, b"reject": "image-undecodable"}.items():
            outcomes = await asyncio.gather(
                *(process(pool, content) for content in (b"fine", order, b"fine", b"fine")), return_exceptions=True
            )
            is_rejected = [isinstance(outcome, PictureRejected) for outcome in outcomes]
            assert (order, is_rejected) == (order, [False, True, False, False])
            assert (order, getattr(outcomes[1], "code", None)) == (order, code)
            assert (await process(pool, b"fine")).derivatives[0].content == b"content"


async def test_answer_that_no_worker_gives_is_not_believed() -> None:
    lies, codes = [*LIES, b"deep"], {}
    async with started() as pool:
        for lie in lies:
            codes[lie] = await outcome_of(process(pool, lie))
            assert (await process(pool, b"fine")).derivatives[0].content == b"content"
    assert codes == dict.fromkeys(lies, "processing-crashed")


@linux_only
async def test_worker_is_killed_at_the_deadline_and_replaced() -> None:
    async with started(deadline_seconds=0.4) as pool:
        hanging = pool.process_ids
        with pytest.raises(WorkerInterrupted):
            await process(pool, b"hang")
        await process(pool, b"fine")
        assert pool.process_ids != hanging
        assert not is_running(hanging[0])


@pytest.fixture
def any_cpu_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, a worker that does something counts as running."""
    monkeypatch.setattr(pool, "_LEAST_CPU_SHARE", 0.01)


@pytest.mark.usefixtures("any_cpu_is_enough")
async def test_picture_that_takes_too_much_cpu_fails_for_good() -> None:
    async with started(deadline_seconds=1) as pool:
        assert await rejection(pool, b"burn") == "processing-timeout"
        # The CPU time of earlier pictures is none of the next one's.
        await process(pool, b"fine")


@linux_only
async def test_picture_whose_worker_was_paused_may_be_tried_again() -> None:
    async with started(deadline_seconds=0.4) as pool:
        os.kill(pool.process_ids[0], signal.SIGSTOP)
        with pytest.raises(WorkerInterrupted):
            await process(pool, b"fine")
        assert (await process(pool, b"fine")).derivatives[0].content == b"content"


@linux_only
async def test_picture_whose_worker_says_that_it_had_no_time_may_be_tried_again() -> None:
    async with started(deadline_seconds=20) as pool:
        with pytest.raises(WorkerInterrupted):
            await process(pool, b"late")
        assert len(pool.process_ids) == 1


async def test_waiting_for_a_free_worker_does_not_count_towards_the_deadline() -> None:
    async with started(deadline_seconds=0.6) as pool:
        outcomes = await asyncio.gather(
            process(pool, b"hang"), process(pool, b"hang"), process(pool, b"fine"), return_exceptions=True
        )
        assert [isinstance(outcome, ProcessedPicture) for outcome in outcomes] == [False, False, True]


async def test_analysis_comes_back_as_its_analyzer_gave_it() -> None:
    async with started() as pool:
        (outcome,) = (await analyze(pool, b"fine")).outcomes
        assert (outcome.analyzer, outcome.version, outcome.failure) == ("colors", "1", None)
        assert outcome.result is not None
        assert outcome.result["transparency"] == 1


@linux_only
async def test_rendition_comes_back_from_a_confined_worker_in_every_format() -> None:
    async with started(command=WORKER_COMMAND, require_confinement=True) as pool:
        before = pool.process_ids
        marks = {"webp": b"WEBP", "avif": b"avif", "jpeg": b"\xff\xd8\xff", "png": b"PNG"}
        for image_format in FORMATS:
            with open_picture_file() as picture:
                picture.write(heic(scene()))
                made = await pool.render(picture, RenditionRequest(Recipe(width_px=160), image_format))
            assert (made.format, made.width_px, made.height_px) == (image_format, 160, 120)
            assert made.content_type == f"image/{image_format}"
            assert marks[image_format] in made.content[:40]
            assert made.worker_cpu_seconds > 0
            assert {"open", "decode", "encode"} <= made.step_seconds.keys()
        assert pool.process_ids == before


async def test_rendition_that_no_worker_makes_is_not_believed() -> None:
    codes = {}
    async with started() as pool:
        for lie in RENDITION_LIES:
            codes[lie] = await outcome_of(render(pool, lie))
            assert (await render(pool, b"fine")).content == b"content"
    assert codes == dict.fromkeys(RENDITION_LIES, "processing-crashed")


async def test_rendition_that_fails_costs_nothing_else() -> None:
    codes = {b"crash": "processing-crashed", b"error": "processing-crashed", b"reject": "image-undecodable"}
    async with started(size=2) as pool:
        for order, code in codes.items():
            outcomes = await asyncio.gather(render(pool, b"fine"), render(pool, order), return_exceptions=True)
            assert isinstance(outcomes[0], Rendition)
            assert (order, getattr(outcomes[1], "code", None)) == (order, code)
            assert (await render(pool, b"fine")).content == b"content"


@linux_only
async def test_rendition_ends_at_the_deadline_and_when_it_is_cancelled() -> None:
    async with started(deadline_seconds=0.4) as pool:
        with pytest.raises(WorkerInterrupted):
            await render(pool, b"hang")
        busy = pool.process_ids
        job = asyncio.ensure_future(render(pool, b"hang"))
        await asyncio.sleep(0.1)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert (await render(pool, b"fine")).content == b"content"
        assert not {process_id for process_id in busy if is_running(process_id)} & set(pool.process_ids)


async def test_result_that_no_analyzer_gives_is_not_believed() -> None:
    orders, codes = (b"no result", b"foreign", b"long", b"crash", b"error"), {}
    async with started() as pool:
        for order in orders:
            codes[order] = await outcome_of(analyze(pool, order))
            assert len((await analyze(pool, b"fine")).outcomes) == 1
    assert codes == dict.fromkeys(orders, "processing-crashed")


@pytest.mark.usefixtures("any_cpu_is_enough")
@pytest.mark.parametrize(("fault", "code"), [("crash", "processing-crashed"), ("burn", "processing-timeout")])
async def test_analyzer_that_takes_the_worker_down_costs_the_analyses_only(fault: str, code: str) -> None:
    async with started(deadline_seconds=1) as pool:
        with open_picture_file() as picture:
            picture.write(b"analyzer " + fault.encode())
            request = ProcessingRequest(analyses=(AnalysisOrder("colors"), AnalysisOrder("quality")))
            processed = await pool.process(picture, request)
        assert processed.derivatives[0].content == b"content"
        failures = [(outcome.analyzer, outcome.result, outcome.failure) for outcome in processed.analyses]
        assert failures == [("colors", None, code), ("quality", None, code)]


@pytest.mark.usefixtures("any_cpu_is_enough")
@pytest.mark.parametrize("fault", ["crash", "burn", "grow"])
async def test_optional_preset_that_takes_the_worker_down_is_left_out(fault: str) -> None:
    card = Preset("card", Recipe(width_px=4096))
    async with started(deadline_seconds=1, memory_limit_bytes=160 * MIB) as pool:
        for content, names in ((b"fine", ["thumb", "card"]), (b"preset " + fault.encode(), ["thumb"])):
            with open_picture_file() as picture:
                picture.write(content)
                request = ProcessingRequest(DEFAULT_PRESETS[:1], optional_presets=(card,))
                processed = await pool.process(picture, request)
            assert [derivative.preset for derivative in processed.derivatives] == names


async def test_worker_ends_at_its_memory_limit() -> None:
    async with started(memory_limit_bytes=160 * MIB) as pool:
        assert await rejection(pool, b"grow") == "picture-too-much-memory"
        await process(pool, b"fine")


@linux_only
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_picture_whose_worker_is_killed_from_outside_may_be_tried_again(number: signal.Signals) -> None:
    async with started() as pool:
        job = asyncio.ensure_future(process(pool, b"sleep"))
        await asyncio.sleep(0.2)
        os.kill(pool.process_ids[0], number)
        with pytest.raises(WorkerInterrupted):
            await job
        assert (await process(pool, b"fine")).derivatives[0].content == b"content"


async def test_worker_that_died_while_idle_fails_no_picture() -> None:
    async with started(size=2) as pool:
        for process_id in pool.process_ids:
            os.kill(process_id, signal.SIGKILL)
        pictures = await asyncio.gather(*(process(pool, b"fine") for _ in range(4)))
        assert len(pictures) == 4


async def test_cancelled_job_leaves_a_working_pool() -> None:
    async with started() as pool:
        busy = pool.process_ids[0]
        job = asyncio.ensure_future(process(pool, b"hang"))
        waiting = asyncio.ensure_future(process(pool, b"fine"))
        await asyncio.sleep(0.1)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        # The worker of the cancelled picture can never answer to the next one.
        assert (await waiting).facts.icc_profile != str(busy)
        assert not is_running(busy)


async def test_cancelled_while_waiting_takes_no_worker_away() -> None:
    async with started() as pool:
        job = asyncio.ensure_future(process(pool, b"fine"))
        waiting = [asyncio.ensure_future(process(pool, b"fine")) for _ in range(3)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(job, *waiting, return_exceptions=True)
        await asyncio.wait_for(process(pool, b"fine"), 5)


async def test_worker_is_replaced_after_its_share_of_pictures() -> None:
    async with started(max_pictures=2) as pool:
        served_by = [(await process(pool, b"fine")).facts.icc_profile for _ in range(4)]
        assert served_by[0] == served_by[1] != served_by[2] == served_by[3]


async def test_worker_is_replaced_above_the_memory_mark() -> None:
    async with started(rss_mark_bytes=1 * MIB) as pool:
        served_by = {(await process(pool, b"fine")).facts.icc_profile for _ in range(3)}
        assert len(served_by) == 3


async def test_memory_of_a_model_does_not_wear_a_worker() -> None:
    model = Model(LABELS, "any", worker_bytes=2**40)
    async with running_pool(model, command=FAULTY_COMMAND, rss_mark_bytes=1 * MIB) as pool:
        served_by = {(await process(pool, b"fine")).facts.icc_profile for _ in range(3)}
        assert len(served_by) == 1


@pytest.mark.parametrize("command", [("/nonexistent/python",), (sys.executable, "-c", "raise SystemExit('no codec')")])
async def test_pool_without_workers_is_unavailable(command: tuple[str, ...]) -> None:
    pool = WorkerPool(size=2, command=command)
    with pytest.raises(WorkerUnavailable):
        await pool.start()
    assert pool.process_ids == []


async def test_stopping_fails_pictures_in_work_for_now_only() -> None:
    async with started() as pool:
        jobs = [asyncio.ensure_future(process(pool, content)) for content in (b"hang", b"fine", b"fine")]
        await asyncio.sleep(0.1)
        working = pool.process_ids
        await pool.stop()
        outcomes = await asyncio.wait_for(asyncio.gather(*jobs, return_exceptions=True), 5)
        assert [type(outcome) for outcome in outcomes] == [WorkerUnavailable] * 3
        assert not any(is_running(process_id) for process_id in working)


async def test_end_of_a_worker_waits_until_its_death_is_explained() -> None:
    closes_the_socket = "import os, sys, time; os.close(int(sys.argv[2])); time.sleep(600)"
    worker = WorkerProcess.spawn((sys.executable, "-c", closes_the_socket), worker_environment(os.environ))
    while worker.is_alive():
        await asyncio.sleep(0.005)
    with open_picture_file() as picture:
        decode = partial(decode_processed, ProcessingRequest())
        job = asyncio.ensure_future(worker.work([picture], ProcessingRequest(), decode, 5))
        await asyncio.sleep(0)
        os.kill(worker.process_id, signal.SIGKILL)
        # The job may have been faster, and have taken the exit status already.
        with suppress(ChildProcessError):
            await asyncio.to_thread(os.waitid, os.P_PID, worker.process_id, os.WEXITED | os.WNOWAIT)
        await worker.end()
        with pytest.raises(WorkerDied):
            await job


def test_worker_is_told_no_secret() -> None:
    told = worker_environment(
        {"PATH": "/bin", "LANG": "C", "PYTHONPATH": "x", "DATABASE_URL": "postgresql://", "GOOGLE_CLOUD_PROJECT": "p"}
    )
    assert not {"DATABASE_URL", "GOOGLE_CLOUD_PROJECT"} & told.keys()
    assert {"PATH", "LANG", "PYTHONPATH"} <= told.keys()


async def test_worker_has_no_secret_and_no_foreign_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    async with started(size=2) as pool:
        facts = (await process(pool, b"environment")).facts
        assert "DATABASE_URL" not in (facts.icc_profile or "")
        # Standard streams, the socket, the picture, the listing's own, and at times the memory watch's.
        assert len(str(facts.exif["more"]).split()) <= 7


@linux_only
async def test_worker_dies_with_its_parent() -> None:
    code = f"""
import asyncio, os
from image_engine.pool.pool import WorkerPool
from image_engine.pool.process import WorkerDied, WorkerProcess
async def main():
    pool = WorkerPool(size=1, command={FAULTY_COMMAND!r})
    await pool.start()
    print(pool.process_ids[0], flush=True)
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    parent = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], capture_output=True, timeout=20)
    await asyncio.to_thread(assert_ends, int(parent.stdout))


@linux_only
def test_worker_in_work_ends_with_its_parent_even_where_the_system_does_not_see_to_it() -> None:
    # Nobody asks for a signal at the parent's death here; the watch alone has to notice it.
    code = """
import os, sys, time
from image_engine.worker.confinement import MemoryWatch
if os.fork():
    sys.stdin.read()
    os._exit(0)
with MemoryWatch(2**40).watching():
    print(os.getpid(), flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        worker_id = int(parent.stdout.readline())
        parent.kill()
    assert_ends(worker_id)


def assert_ends(process_id: int) -> None:
    status = Path(f"/proc/{process_id}/status")
    for _ in range(500):
        try:
            if b"\nState:\tZ" in status.read_bytes():
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.02)
    pytest.fail("the worker outlived its parent")


def test_service_loads_no_codec() -> None:
    code = (
        "import sys, image_engine.pool.pool; "
        "assert not {'pyvips', 'numpy', 'PIL', 'pillow_heif'} & set(sys.modules), 'a codec is loaded'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)


async def test_memory_does_not_creep() -> None:
    async with started(command=WORKER_COMMAND) as pool:
        content = photograph(480, 360)
        measured = [(await process(pool, content)).worker_rss_bytes for _ in range(60)]
        assert measured[-1] < 1.05 * max(measured[5:20]) + 2 * MIB
