"""Vectors of pictures from an operator's model."""

import numpy as np
import pyvips

from image_engine.analyzers.onnx_model import OnnxModel, prepared
from image_engine.models.description import EmbeddingDescription, ModelBroken


class OnnxEmbedding:
    """Turns pictures into vectors of length one. `model` is the name under which they are stored."""

    def __init__(self, model: OnnxModel[EmbeddingDescription]) -> None:
        self._model = model
        self.model = model.description.vector_model

    def embed(self, image: pyvips.Image) -> list[float]:
        """Return the vector of an oriented sRGB picture; transparency is flattened on white.

        Raises:
            ModelBroken: The output is not as described, or has no direction.
        """
        opaque = image.flatten(background=[255, 255, 255]) if image.hasalpha() else image
        pixels = opaque.numpy().reshape(opaque.height, opaque.width, 3)
        (values,) = self._model.run([prepared(pixels, self._model.description.input)])
        numbers = values.astype(np.float64)
        length = float(np.linalg.norm(numbers))
        if not np.isfinite(length) or length == 0:
            raise ModelBroken("The model gave a vector without a direction.")
        return [round(float(number), 5) for number in numbers / length]
