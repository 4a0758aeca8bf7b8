"""Throughput of `labels` with a model of MobileNet's size, beside plain onnxruntime in a loop.

    uv run --frozen python -m benchmarks.labels [--seconds 10] [--rounds 3]

The model is built here with random weights: MobileNetV2 at 224 pixels (3.5 million parameters, 300 million
multiplications). "Plain" runs it in a loop on input that is ready, in one process with a thread for each core, or in a
process a core. "By hand" decodes and resizes JPEGs with pyvips before, in a process a core. "Pool" sends them through
worker processes as the processor does: decoded, resized, run, and answered as checked JSON. All alternate within one
run, so that whatever else the machine does hits all; CPU time hardly feels it.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from operator import truediv
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pyvips
from onnx import TensorProto, helper, numpy_helper

from benchmarks.machine import cpu_seconds, describe
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.requests import AnalysisOrder, AnalysisRequest
from image_engine.models.model import LABELS, Model
from image_engine.pool.pool import WorkerPool
from image_engine.pool.worker_limits import WorkerLimits
from image_engine.pool.worker_models import WorkerModels
from image_engine.testing.models import OPSET, write_model
from image_engine.testing.pictures import photograph

SIDE_PX, CLASSES = 224, 1000
# Expansion, channels, blocks, stride. Source: Sandler et al. 2018, MobileNetV2, table 2.
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
REQUEST = AnalysisRequest((AnalysisOrder("labels"),))
BASE = "plain, a process a core"


class Builder:
    """Layers one after the other, with weights that keep values in their range."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(1)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, *shape: int) -> str:
        name = f"w{len(self.weights)}"
        values = self.random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def convolution(
        self,
        source: str,
        channels: tuple[int, int],
        size: int = 1,
        stride: int = 1,
        *,
        deep: bool = False,
        linear: bool = False,
    ) -> str:
        group = channels[0] if deep else 1
        shape = (channels[1], channels[0] // group, size, size)
        made = self.add(
            "Conv", source, self.weight(*shape), kernel_shape=[size, size], strides=[stride, stride], group=group,
            pads=[size // 2] * 4,
        )  # fmt: skip
        return made if linear else self.add("Clip", made, "zero", "six")

    def block(self, source: str, taken: int, given: int, expansion: int, stride: int) -> str:
        inner = taken * expansion
        made = source if expansion == 1 else self.convolution(source, (taken, inner))
        made = self.convolution(made, (inner, inner), 3, stride, deep=True)
        made = self.convolution(made, (inner, given), linear=True)
        return self.add("Add", source, made) if stride == 1 and taken == given else made


def mobile_net() -> bytes:
    net = Builder()
    for name, value in (("zero", 0.0), ("six", 6.0)):
        net.weights.append(numpy_helper.from_array(np.array(value, dtype=np.float32), name))
    last, channels = net.convolution("input", (3, 32), 3, 2), 32
    for expansion, given, count, stride in BLOCKS:
        for index in range(count):
            last = net.block(last, channels, given, expansion, stride if index == 0 else 1)
            channels = given
    last = net.convolution(last, (channels, 1280))
    last = net.add("Flatten", net.add("GlobalAveragePool", last))
    last = net.add("Gemm", last, net.weight(CLASSES, 1280), transB=1)
    graph = helper.make_graph(
        net.nodes,
        "mobilenet-v2",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, SIDE_PX, SIDE_PX])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", CLASSES])],
        net.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def session_of(model: Path, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def loop(session: Any, seconds: float, content: bytes | None = None) -> int:
    """Run pictures for so long, decoded of `content` each time where it is given, and count them."""
    values = np.random.default_rng(2).random((1, 3, SIDE_PX, SIDE_PX), dtype=np.float32)
    started, count = time.monotonic(), 0
    while time.monotonic() - started < seconds:
        if content is not None:
            picture = pyvips.Image.thumbnail_buffer(content, SIDE_PX, height=SIDE_PX, crop="centre").numpy()
            values = np.ascontiguousarray((picture.astype(np.float32) / 255).transpose(2, 0, 1)[np.newaxis])
        session.run(None, {"input": values})
        count += 1
    return count


_of_process: dict[str, Any] = {}


def start_process(model: Path) -> None:
    _of_process["session"] = session_of(model, threads=1)


def loop_in_process(seconds: float, content: bytes | None) -> int:
    return loop(_of_process["session"], seconds, content)


async def through_pool(pool: WorkerPool, seconds: float, content: bytes, at_once: int) -> int:
    started, count = time.monotonic(), 0

    async def ask() -> None:
        nonlocal count
        while time.monotonic() - started < seconds:
            with open_picture_file() as picture:
                picture.write(content)
                (outcome,) = (await pool.analyze(picture, REQUEST)).outcomes
                assert outcome.result is not None, outcome
            count += 1

    await asyncio.gather(*(ask() for _ in range(at_once)))
    return count


@dataclass
class Figures:
    """Of each round: pictures a second of the clock, and a second of CPU."""

    a_second: list[float] = field(default_factory=list)
    a_cpu_second: list[float] = field(default_factory=list)


@dataclass
class Bench:
    seconds: float
    cores: int
    session: Any
    pool: WorkerPool
    processes: ProcessPoolExecutor
    figures: dict[str, Figures] = field(default_factory=lambda: defaultdict(Figures))

    def cpu_seconds(self) -> float:
        return sum(map(cpu_seconds, [os.getpid(), *self.pool.process_ids, *self.processes._processes]))

    async def measure(self, name: str, work: Awaitable[int]) -> None:
        started, started_cpu = time.monotonic(), self.cpu_seconds()
        count = await work
        self.figures[name].a_second.append(count / (time.monotonic() - started))
        self.figures[name].a_cpu_second.append(count / (self.cpu_seconds() - started_cpu))

    async def in_processes(self, content: bytes | None) -> int:
        run = asyncio.get_running_loop().run_in_executor
        counts = (run(self.processes, loop_in_process, self.seconds, content) for _ in range(self.cores))
        return sum(await asyncio.gather(*counts))

    async def round(self, contents: dict[str, bytes]) -> None:
        await self.measure("plain, one process", asyncio.to_thread(loop, self.session, self.seconds))
        await self.measure(BASE, self.in_processes(None))
        for size, content in contents.items():
            await self.measure(f"by hand, JPEGs of {size}", self.in_processes(content))
            for n in (self.cores, 16):
                name = f"pool, JPEGs of {size}, {n} at once"
                await self.measure(name, through_pool(self.pool, self.seconds, content, n))


async def measure(folder: Path, cores: int, seconds: float, rounds: int) -> dict[str, Figures]:
    contents = {"256 x 192": photograph(256, 192), "1024 x 768": photograph(1024, 768)}
    model = folder / "model.onnx"
    limits = WorkerLimits(max_pictures=10**6, rss_mark_bytes=2**40)
    pool = WorkerPool(cores, limits, WorkerModels(Model(LABELS, str(folder))))
    await pool.start()
    try:
        with ProcessPoolExecutor(cores, get_context("spawn"), start_process, (model,)) as processes:
            bench = Bench(seconds, cores, session_of(model, cores), pool, processes)
            await bench.in_processes(contents["256 x 192"])
            for _ in range(rounds):
                await bench.round(contents)
            return bench.figures
    finally:
        await pool.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    os.environ["VIPS_CONCURRENCY"] = "1"
    print(describe("numpy", "onnxruntime", "pyvips"))
    print(f"load before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        labels = [f"label {index}" for index in range(CLASSES)]
        model = mobile_net()
        print(f"model: {len(model) / 1e6:.1f} MB")
        wanted = {"width_px": SIDE_PX, "height_px": SIDE_PX}
        folder = write_model(Path(name), model, labels=labels, input=wanted, activation="softmax")
        found = asyncio.run(measure(folder, options.cores, options.seconds, options.rounds))
    base = found[BASE]
    for name, figures in found.items():
        beside = statistics.median(map(truediv, figures.a_second, base.a_second))
        beside_cpu = statistics.median(map(truediv, figures.a_cpu_second, base.a_cpu_second))
        print(
            f"{name:38} {statistics.median(figures.a_second):6.1f} pictures a second ({beside:.2f}), "
            f"{1000 / statistics.median(figures.a_cpu_second):5.1f} ms of CPU each ({beside_cpu:.2f})"
        )
    print(f"load after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
