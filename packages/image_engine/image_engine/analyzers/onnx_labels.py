"""Labels from an operator's model."""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from image_core.analyses.catalogue import CATALOGUE, Need
from image_core.analyses.results import Label, LabelModel, LabelsParameters, LabelsResult
from image_engine.analyzers.onnx_model import OnnxModel, prepared
from image_engine.models.description import LabelsDescription, ModelBroken, result_version
from image_engine.picture.analysis_picture import AnalysisPicture
from image_engine.picture.pixels import Floats


class OnnxLabels:
    """The labels of the model, with the names that its description gives."""

    spec = CATALOGUE["labels"]
    needs: frozenset[Need] = frozenset({"pixels"})

    def __init__(self, model: OnnxModel[LabelsDescription]) -> None:
        self._model = model
        self.version = result_version(self.spec.version, model.description.sha256)
        self._ahead: dict[int, Floats] = {}

    def run_ahead(self, pictures: Sequence[AnalysisPicture]) -> None:
        """Run the model on several pictures at once; if that fails, each is run separately."""
        self._ahead = {}
        with suppress(ModelBroken):
            for first in range(0, len(pictures), self._model.max_batch):
                batch = pictures[first : first + self._model.max_batch]
                outputs = self._model.run([self._prepared(picture) for picture in batch])
                self._ahead |= {id(picture): row for picture, row in zip(batch, outputs, strict=True)}

    def analyze(self, picture: AnalysisPicture, parameters: LabelsParameters) -> LabelsResult:
        """Run the model, unless `run_ahead` has done so.

        Raises:
            ModelBroken: The output is not as described.
        """
        description = self._model.description
        outputs = self._ahead.pop(id(picture), None)
        if outputs is None:
            (outputs,) = self._model.run([self._prepared(picture)])
        scores = _activated(outputs, description)
        # Equal scores keep the order of the model's output.
        best = np.argsort(-scores, kind="stable")[: parameters.max_labels]
        found = [
            Label(label=description.labels[index], score=float(scores[index]))
            for index in best
            if scores[index] >= parameters.min_score
        ]
        model = LabelModel(name=description.name, version=description.version, sha256=description.sha256)
        return LabelsResult(labels=found, model=model, source="onnx")

    def _prepared(self, picture: AnalysisPicture) -> Floats:
        return prepared(picture.srgb, self._model.description.input)


def _activated(outputs: Floats, description: LabelsDescription) -> npt.NDArray[np.float64]:
    """Return scores from 0 to 1.

    Raises:
        ModelBroken: The output contains values that are not scores.
    """
    if not np.isfinite(outputs).all():
        raise ModelBroken("The model gave values that are no numbers.")
    values = outputs.astype(np.float64)
    if description.activation == "softmax":
        values = np.exp(values - values.max())
        values /= values.sum()
    elif description.activation == "sigmoid":
        values = 1 / (1 + np.exp(-np.clip(values, -500, 500)))
    elif values.min() < 0 or values.max() > 1:
        raise ModelBroken("The model gave scores outside of 0 to 1, and its description names no activation.")
    return values
