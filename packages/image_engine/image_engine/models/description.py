"""The description of a model: its input, its output, and the hash of its file.

Plain data, read by the service and by its workers; format and examples: docs/models.md.
"""

from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from image_core.images.similarity import MAX_VECTOR_DIMENSIONS

MAX_LABELS = 100_000

Three = tuple[float, float, float]
LabelText = Annotated[str, Field(min_length=1, max_length=200)]


class ModelUnavailable(Exception):
    """No model is available; the message is for the operator who configured it."""

    code: ClassVar[str]


class ModelMissing(ModelUnavailable):
    """A setting names a model that does not exist."""

    code = "model-missing"


class ModelBroken(ModelUnavailable):
    """A model cannot be used as described."""

    code = "model-broken"


MODEL_FAILURES: dict[str, type[ModelUnavailable]] = {kind.code: kind for kind in (ModelMissing, ModelBroken)}


class _Strict(BaseModel):
    """A model that rejects unknown fields, so that a misspelt one is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelInput(_Strict):
    """How a picture becomes the model's input: value = (sample × scale − mean) ÷ std, for each sample."""

    width_px: int = Field(ge=1, le=1024)
    height_px: int = Field(ge=1, le=1024)
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    channels: Literal["RGB", "BGR"] = "RGB"
    resize: Literal["center-crop", "stretch", "pad"] = "center-crop"
    crop_share: float = Field(0.875, gt=0, le=1)
    pad_level: int = Field(0, ge=0, le=255)
    scale: float = Field(1 / 255, gt=0)
    mean: Three = (0.0, 0.0, 0.0)
    std: Three = (1.0, 1.0, 1.0)

    @model_validator(mode="after")
    def _std_divides(self) -> "ModelInput":
        if min(self.std) <= 0:
            raise ValueError("every std must be above 0")
        return self

    def shape(self, pictures: int) -> tuple[int, int, int, int]:
        """Return the shape of the input for a number of pictures."""
        if self.layout == "NCHW":
            return (pictures, 3, self.height_px, self.width_px)
        return (pictures, self.height_px, self.width_px, 3)


class ModelDescription(_Strict):
    """The fields common to all descriptions."""

    name: str = Field(min_length=1, max_length=200)
    version: str = Field(min_length=1, max_length=200)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    input: ModelInput

    @property
    def identity(self) -> dict[str, Any]:
        """Return the fields by which the API identifies the model."""
        return self.model_dump(include={"name", "version", "sha256"})

    @property
    def output_size(self) -> int:
        """Return how many numbers the model outputs per picture."""
        raise NotImplementedError

    @property
    def companion(self) -> str | None:
        """Return the name of a companion file; None if the description needs none."""
        return None

    def with_companion(self, _content: bytes) -> Self:
        """Return the description completed by its companion file.

        Raises:
            ModelBroken: The file does not contain what the description needs.
        """
        return self


class EmbeddingDescription(ModelDescription):
    """A model that outputs vectors, by which pictures are compared."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,79}$")
    dimensions: int = Field(ge=2, le=MAX_VECTOR_DIMENSIONS)

    @property
    def output_size(self) -> int:
        """Return how many numbers the model outputs per picture."""
        return self.dimensions

    @property
    def vector_model(self) -> str:
        """Return the name under which its vectors are stored; it differs for every model."""
        return f"{self.name}-{self.sha256[:12]}"


class LabelsDescription(ModelDescription):
    """A classifier. `labels` are in the order of its output, or the name of a companion file with one per line."""

    labels: (
        Annotated[list[LabelText], Field(min_length=1, max_length=MAX_LABELS)]
        | Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    )
    activation: Literal["softmax", "sigmoid", "none"]

    @property
    def output_size(self) -> int:
        """Return how many numbers the model outputs per picture."""
        return len(self.labels)

    @property
    def companion(self) -> str | None:
        """Return the name of the file of labels; None if the description lists them."""
        return self.labels if isinstance(self.labels, str) else None

    def with_companion(self, content: bytes) -> Self:
        """Return the description with the labels of a file.

        Raises:
            ModelBroken: The file is not UTF-8, or contains an empty or overlong label.
        """
        try:
            labels = content.decode().splitlines()
            return type(self).model_validate({**self.model_dump(), "labels": labels})
        except UnicodeDecodeError as error:
            raise ModelBroken("The file of labels is not UTF-8.") from error
        except ValidationError as error:
            raise _broken(error) from error


Described = TypeVar("Described", bound=ModelDescription)


def result_version(analyzer_version: str, sha256: str) -> str:
    """Return the version under which a model's results of an analyzer are stored; it differs for every model."""
    return f"{analyzer_version}+{sha256[:12]}"


def parse_description(content: bytes, kind: type[Described]) -> Described:
    """Parse a description.

    Raises:
        ModelBroken: It is not valid; the message names each field that is wrong.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise _broken(error) from error


def _broken(error: ValidationError) -> ModelBroken:
    fields = (f"{'.'.join(map(str, problem['loc'])) or 'it'}: {problem['msg']}" for problem in error.errors())
    return ModelBroken(f"The description is not valid. {'; '.join(fields)}")
