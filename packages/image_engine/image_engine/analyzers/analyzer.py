"""The one interface of all analyzers."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from image_core.analyses.catalogue import AnalyzerSpec, Need
from image_core.analyses.results import Result
from image_engine.picture.analysis_picture import AnalysisPicture


class Analyzer(Protocol):
    """Pixels in, a result out; the same pixels and parameters always give the same result.

    `version` is what a result is stored under: the spec's, and for a model also which one it is. `needs` may be
    less than the spec's.
    """

    spec: AnalyzerSpec
    version: str
    needs: frozenset[Need]

    def analyze(self, picture: AnalysisPicture, parameters: Any) -> Result:
        """Measure. `parameters` is an instance of the spec's model; whatever is raised fails this analysis alone."""


@runtime_checkable
class RunsAhead(Protocol):
    """An analyzer that takes less time for several pictures together."""

    def run_ahead(self, pictures: Sequence[AnalysisPicture]) -> None:
        """Do what is slow for all of them at once; `analyze` then does the rest for each."""
