"""Tiny ONNX models for tests, whose outputs can be computed by hand. They need the package `onnx`."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

LABELS = ("red", "green", "blue")
OPSET = 17


def color_model(
    *,
    side_px: int = 8,
    layout: str = "NCHW",
    weights: npt.NDArray[Any] | None = None,
    batch: int | str = "N",
    log_of: float | None = None,
) -> bytes:
    """Return a model whose output is the mean of each channel of its input, times `weights` of shape (3, labels).

    With `log_of` it is the logarithm of the mean above that level, which is NaN below it.
    """
    spatial, shape = (
        ([2, 3], [batch, 3, side_px, side_px]) if layout == "NCHW" else ([1, 2], [batch, side_px, side_px, 3])
    )
    matrix = (np.eye(3) if weights is None else weights).astype(np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["means"], axes=spatial, keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["scores"]),
    ]
    constants = [numpy_helper.from_array(matrix, "weights")]
    if log_of is not None:
        constants.append(numpy_helper.from_array(np.array([log_of], dtype=np.float32), "level"))
        nodes += [helper.make_node("Sub", ["scores", "level"], ["above"]), helper.make_node("Log", ["above"], ["logs"])]
    graph = helper.make_graph(
        nodes,
        "colors",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, [batch, matrix.shape[1]])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def identity_model(side_px: int, layout: str = "NCHW") -> bytes:
    """Return a model that outputs its input, so that a test sees what became of a picture."""
    shape = [1, 3, side_px, side_px] if layout == "NCHW" else [1, side_px, side_px, 3]
    nodes = [helper.make_node("Flatten", ["input"], ["values"], axis=1)]
    graph = helper.make_graph(
        nodes,
        "identity",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, [1, 3 * side_px * side_px])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    return bytes(model.SerializeToString())


def description_of(model: bytes, **changes: Any) -> dict[str, Any]:
    """Return the description of `color_model`: scores are the means of red, green and blue, 0 to 1."""
    return {
        "name": "colors",
        "version": "1.0",
        "sha256": hashlib.sha256(model).hexdigest(),
        "labels": list(LABELS),
        "input": {"width_px": 8, "height_px": 8, "resize": "stretch"},
        "activation": "none",
        **changes,
    }


def write_model(folder: Path, model: bytes | None = None, **changes: Any) -> Path:
    """Write a model and its description into a folder, and return the folder."""
    model = color_model() if model is None else model
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model)
    (folder / "model.json").write_text(json.dumps(description_of(model, **changes)))
    return folder
