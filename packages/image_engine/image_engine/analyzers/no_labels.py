"""What answers `labels` where a model is configured and cannot be used."""

from image_core.analyses.catalogue import CATALOGUE, Need
from image_core.analyses.results import LabelsParameters, LabelsResult
from image_engine.models.description import ModelUnavailable
from image_engine.picture.analysis_picture import AnalysisPicture


class NoLabels:
    """Fails with the reason: nothing else may answer in the place of the model that was chosen."""

    spec = CATALOGUE["labels"]
    version = spec.version
    needs: frozenset[Need] = frozenset()

    def __init__(self, reason: ModelUnavailable) -> None:
        self._reason = reason

    def analyze(self, _picture: AnalysisPicture, _parameters: LabelsParameters) -> LabelsResult:
        """Raise why there is no model."""
        raise self._reason
