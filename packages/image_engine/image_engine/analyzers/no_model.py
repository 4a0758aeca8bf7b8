"""The analyzer that stands in for a configured model that cannot be used."""

from typing import Any

from image_core.analyses.catalogue import AnalyzerSpec, Need
from image_core.analyses.results import Result
from image_engine.models.description import ModelUnavailable
from image_engine.picture.analysis_picture import AnalysisPicture


class NoModel:
    """Fails with the reason: no other analyzer may replace the model that was configured."""

    needs: frozenset[Need] = frozenset()

    def __init__(self, spec: AnalyzerSpec, reason: ModelUnavailable) -> None:
        self.spec, self.version = spec, spec.version
        self._reason = reason

    def analyze(self, _picture: AnalysisPicture, _parameters: Any) -> Result:
        """Raise the reason why there is no model."""
        raise self._reason
