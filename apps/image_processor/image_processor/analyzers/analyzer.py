"""The one interface of all analyzers."""

from typing import Any, Protocol

from image_core.analysis_results import Result
from image_core.analyzers import AnalyzerSpec
from image_processor.analysis_picture import AnalysisPicture


class Analyzer(Protocol):
    """Pixels in, a result out; the same pixels and parameters always give the same result."""

    spec: AnalyzerSpec

    def analyze(self, picture: AnalysisPicture, parameters: Any) -> Result:
        """Measure. `parameters` is an instance of the spec's model; whatever is raised fails this analysis alone."""
