"""A model loaded into this process: pictures become its input exactly as described, and its output is checked.

onnxruntime is imported only here, and only worker processes import this file.
"""

import os
from collections.abc import Sequence
from typing import Any, Generic

import numpy as np
import pyvips

from image_engine.contract.framing import MAX_BATCH
from image_engine.models.description import Described, ModelBroken, ModelInput
from image_engine.models.loading import DescribedModel
from image_engine.picture.pixels import Floats, Pixels

# Otherwise the import itself starts telemetry to Microsoft: a thread, DNS lookups, files in the home directory.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime


class OnnxModel(Generic[Described]):
    """A loaded model that has run once.

    Attributes:
        description: as found beside the file.
        max_batch: how many pictures one run takes; 1 for a model that was exported for one.
    """

    def __init__(self, described: DescribedModel[Described]) -> None:
        """Load and warm up the model.

        Raises:
            ModelBroken: onnxruntime cannot load it, or it is not as described.
        """
        self.description = described.description
        try:
            self._session = onnxruntime.InferenceSession(
                described.content, _session_options(), providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # onnxruntime raises its own classes for the various defects of a file.
            raise ModelBroken(f"onnxruntime cannot load the model: {str(error)[:200]}") from error
        self.max_batch = self._checked_batch()
        grey = np.full((self.description.input.height_px, self.description.input.width_px, 3), 128, dtype=np.uint8)
        self.run([prepared(grey, self.description.input)])

    def _checked_batch(self) -> int:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            raise ModelBroken("The model must take one input, of 32-bit floats.")
        self._input, self._output = inputs[0].name, outputs[0].name
        actual, described = inputs[0].shape, self.description.input.shape(1)
        if len(actual) != 4 or any(
            isinstance(size, int) and size != expected
            for size, expected in zip(actual[1:], described[1:], strict=False)
        ):
            raise ModelBroken(f"The model takes {_shown(actual)}, the description says {_shown(described)}.")
        if isinstance(actual[0], int) and actual[0] != 1:
            raise ModelBroken(f"The model takes {actual[0]} pictures at once; export it for one, or for any number.")
        return 1 if isinstance(actual[0], int) else MAX_BATCH

    def run(self, inputs: Sequence[Floats]) -> Floats:
        """Run on prepared pictures, at most `max_batch`; return one row of outputs for each.

        Raises:
            ModelBroken: The output is not as described, or the model cannot run.
        """
        batch = inputs[0][np.newaxis] if len(inputs) == 1 else np.stack(inputs)
        try:
            output: Any = self._session.run([self._output], {self._input: batch})[0]
        except Exception as error:
            raise ModelBroken(f"onnxruntime cannot run the model: {str(error)[:200]}") from error
        described = (len(inputs), self.description.output_size)
        if (
            not isinstance(output, np.ndarray)
            or output.dtype != np.float32
            or output.size != described[0] * described[1]
        ):
            raise ModelBroken(f"The model gives {_shown(np.shape(output))}, the description says {_shown(described)}.")
        return output.reshape(described)


def _session_options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # The pool's size determines how many cores are used. Both counts are set because each defaults to all cores.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    return options


def prepared(srgb: Pixels, model_input: ModelInput) -> Floats:
    """Return a model's input, without its first dimension, for pixels of shape (height, width, 3)."""
    pixels = _resized(srgb, model_input)
    if model_input.channels == "BGR":
        pixels = pixels[:, :, ::-1]
    mean, std = (np.array(three, dtype=np.float32).reshape(3, 1, 1) for three in (model_input.mean, model_input.std))
    # Channel by channel, because arithmetic on groups of three takes five times as long.
    values = np.multiply(pixels.transpose(2, 0, 1), model_input.scale / std, dtype=np.float32, order="C")
    values -= mean / std
    return values if model_input.layout == "NCHW" else np.ascontiguousarray(values.transpose(1, 2, 0))


def _resized(srgb: Pixels, model_input: ModelInput) -> Pixels:
    """Resize bilinearly, with antialiasing when the picture shrinks, as Pillow's BILINEAR."""
    height, width = srgb.shape[:2]
    across, down = model_input.width_px / width, model_input.height_px / height
    if model_input.resize == "center-crop":
        across = down = max(across, down) / model_input.crop_share
    elif model_input.resize == "pad":
        across = down = min(across, down)
    image = pyvips.Image.new_from_array(srgb).copy(interpretation="srgb")
    if (across, down) != (1, 1):
        image = image.resize(across, vscale=down, kernel="linear")
    if model_input.resize == "pad":
        image = image.gravity(
            "centre",
            model_input.width_px,
            model_input.height_px,
            extend="background",
            background=[model_input.pad_level] * 3,
        )
    elif (image.width, image.height) != (model_input.width_px, model_input.height_px):
        left, top = (image.width - model_input.width_px) // 2, (image.height - model_input.height_px) // 2
        image = image.crop(left, top, model_input.width_px, model_input.height_px)
    pixels: Pixels = image.numpy().reshape(model_input.height_px, model_input.width_px, 3)
    return pixels


def _shown(shape: Sequence[object]) -> str:
    return f"({', '.join(map(str, shape))})"
