"""The interface of all analyzers."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from image_core.analyses.catalogue import AnalyzerSpec, Need
from image_core.analyses.results import Result
from image_engine.picture.analysis_picture import AnalysisPicture


class Analyzer(Protocol):
    """Takes pixels and returns a result; the same pixels and parameters always give the same result.

    `version` is part of the key under which results are stored: the spec's, and for a model also the model's. `needs`
    may be less than the spec's.
    """

    spec: AnalyzerSpec
    version: str
    needs: frozenset[Need]

    def analyze(self, picture: AnalysisPicture, parameters: Any) -> Result:
        """Measure a picture. `parameters` is an instance of the spec's model; an exception fails only this analysis."""


@runtime_checkable
class RunsAhead(Protocol):
    """An analyzer that is faster for several pictures together."""

    def run_ahead(self, pictures: Sequence[AnalysisPicture]) -> None:
        """Do the slow part for all pictures at once; `analyze` then does the rest for each."""
