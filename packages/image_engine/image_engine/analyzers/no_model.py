"""What answers an analyzer whose model is configured and cannot be used."""

from typing import Any

from image_core.analyses.catalogue import AnalyzerSpec, Need
from image_core.analyses.results import Result
from image_engine.models.description import ModelUnavailable
from image_engine.picture.analysis_picture import AnalysisPicture


class NoModel:
    """Fails with the reason: nothing else may answer in the place of the model that was chosen."""

    needs: frozenset[Need] = frozenset()

    def __init__(self, spec: AnalyzerSpec, reason: ModelUnavailable) -> None:
        self.spec, self.version = spec, spec.version
        self._reason = reason

    def analyze(self, _picture: AnalysisPicture, _parameters: Any) -> Result:
        """Raise why there is no model."""
        raise self._reason
