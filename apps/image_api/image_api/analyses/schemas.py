"""Bodies of the analysis operations."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from image_core.analyses.results import ColorsResult, LabelModel, LabelsResult, QualityResult, SkinResult
from image_core.states import AnalysisStatus

AnalysisResult = QualityResult | ColorsResult | SkinResult | LabelsResult
"""The analyzer determines the type; `tests/test_openapi_document.py` compares it with the catalogue."""


class NewAnalysis(BaseModel):
    """Analysis to run on a stored image."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"image_id": "0199c0de-0000-7000-8000-000000000004", "analyzer": "quality"}]},
    )

    image_id: UUID
    analyzer: str = Field("skin", max_length=64, description="Name of an analyzer of `GET /api/v1/analyzers`.")
    parameters: dict[str, Any] = Field(
        default_factory=dict, max_length=32, description="Parameters of the analyzer. Absent ones have their defaults."
    )


class NewClassification(BaseModel):
    """Image to classify: exactly one of `url` and `image_id`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"url": "https://example.org/photos/fjord.jpg"}]}
    )

    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = None
    image_id: UUID | None = None
    analyzer: str = Field("labels", max_length=64, description="Name of an analyzer of `GET /api/v1/analyzers`.")
    parameters: dict[str, Any] = Field(
        default_factory=dict, max_length=32, description="Parameters of the analyzer. Absent ones have their defaults."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.url is None) == (self.image_id is None):
            raise ValueError("send either `url` or `image_id`, or the file itself")
        return self


class AnalysisFailure(BaseModel):
    """Why an analysis failed."""

    code: str
    message: str | None


class AnalysisCredits(BaseModel):
    """Credits charged for a request, and credits left."""

    spent: int
    left: int


class StoredAnalysis(BaseModel):
    """An analysis. The schema of `result` depends on the analyzer; see `GET /api/v1/analyzers`."""

    analysis_id: UUID
    status: AnalysisStatus
    image_id: UUID | None
    analyzer: str
    version: str
    parameters: dict[str, Any]
    sha256: str
    requested_at: datetime
    analyzed_at: datetime | None
    failure: AnalysisFailure | None
    result: AnalysisResult | None


class Analysis(StoredAnalysis):
    """An analysis, and what the request for it cost."""

    cached: bool
    credits: AnalysisCredits


class AnalysisPage(BaseModel):
    """A page of the analyses of an image, newest first."""

    items: list[StoredAnalysis]
    next_cursor: str | None


class Analyzer(BaseModel):
    """An analyzer."""

    name: str
    version: str
    model: LabelModel | None
    summary: str
    measures: list[str]
    price_credits: int
    parameters: dict[str, Any]
    result: dict[str, Any]


class AnalyzerList(BaseModel):
    """All analyzers."""

    items: list[Analyzer]
