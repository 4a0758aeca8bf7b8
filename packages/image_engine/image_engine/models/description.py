"""The description that lies beside a model: what it takes, what it gives, and which file it is of.

Plain data, read by the service and by its workers; format and examples: docs/models.md.
"""

import hashlib
from pathlib import Path
from typing import Annotated, ClassVar, Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from image_core.images.similarity import MAX_VECTOR_DIMENSIONS

MODEL_FILE = "model.onnx"
MAX_DESCRIPTION_BYTES = 4 * 1024 * 1024
MAX_LABELS = 100_000

Three = tuple[float, float, float]
LabelText = Annotated[str, Field(min_length=1, max_length=200)]


class ModelUnavailable(Exception):
    """No model answers; the message is for whoever brought it."""

    code: ClassVar[str]


class ModelMissing(ModelUnavailable):
    """There is no model where one was named."""

    code = "model-missing"


class ModelBroken(ModelUnavailable):
    """A model cannot be used as it is described."""

    code = "model-broken"


MODEL_FAILURES: dict[str, type[ModelUnavailable]] = {kind.code: kind for kind in (ModelMissing, ModelBroken)}


class _Strict(BaseModel):
    """A misspelt field is told, not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelInput(_Strict):
    """How a picture becomes the model's input: value = (sample × scale − mean) ÷ std, sample by sample."""

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
        """The shape of the input for so many pictures."""
        if self.layout == "NCHW":
            return (pictures, 3, self.height_px, self.width_px)
        return (pictures, self.height_px, self.width_px, 3)


class ModelDescription(_Strict):
    """What every model says of itself."""

    name: str = Field(min_length=1, max_length=200)
    version: str = Field(min_length=1, max_length=200)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    input: ModelInput

    @property
    def output_size(self) -> int:
        """How many numbers the model gives for a picture."""
        raise NotImplementedError


class EmbeddingDescription(ModelDescription):
    """A model whose output is a vector, by which pictures are compared."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,79}$")
    dimensions: int = Field(ge=2, le=MAX_VECTOR_DIMENSIONS)

    @property
    def output_size(self) -> int:
        """How many numbers the model gives for a picture."""
        return self.dimensions

    @property
    def vector_model(self) -> str:
        """The name under which its vectors are stored: another model, another name."""
        return f"{self.name}-{self.sha256[:12]}"


class LabelsDescription(ModelDescription):
    """A classifier. `labels` are in the order of its output, or the name of a file beside it with one a line."""

    labels: (
        Annotated[list[LabelText], Field(min_length=1, max_length=MAX_LABELS)]
        | Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    )
    activation: Literal["softmax", "sigmoid", "none"]

    @property
    def output_size(self) -> int:
        """How many numbers the model gives for a picture."""
        return len(self.labels)

    def with_labels(self, text: str) -> "LabelsDescription":
        """The same with labels from a file. Raises `ModelBroken`."""
        try:
            return LabelsDescription.model_validate({**self.model_dump(), "labels": text.splitlines()})
        except ValidationError as error:
            raise _broken(error) from error

    def result_version(self, analyzer_version: str) -> str:
        """The version under which results of this model are stored: another model, another version."""
        return f"{analyzer_version}+{self.sha256[:12]}"


Described = TypeVar("Described", bound=ModelDescription)


class DescribedModel(NamedTuple, Generic[Described]):
    """A model whose hash is the described one; its labels are a list."""

    description: Described
    content: bytes


def file_names(path: str) -> tuple[str, str]:
    """The model's and the description's name for what a setting names: an .onnx file, or a folder or prefix."""
    model = path if path.endswith(".onnx") else f"{path.rstrip('/')}/{MODEL_FILE}"
    return model, f"{model.removesuffix('.onnx')}.json"


def labels_file(description: ModelDescription, model: str) -> str | None:
    """The name of the file of labels beside a model; None where the description holds them, or there are none."""
    labels = description.labels if isinstance(description, LabelsDescription) else None
    return f"{model.rpartition('/')[0]}/{labels}" if isinstance(labels, str) else None


def parse_description(content: bytes, kind: type[Described]) -> Described:
    """Read a description. Raises `ModelBroken`, naming each field that is wrong."""
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise _broken(error) from error


def read_labels_model(path: str) -> DescribedModel[LabelsDescription]:
    """Read a classifier with its labels. Raises the errors of `read_model`."""
    description, content = read_model(path, LabelsDescription)
    if (labels := labels_file(description, file_names(path)[0])) is not None:
        description = description.with_labels(decoded_labels(_read(labels)))
    return DescribedModel(description, content)


def read_model(path: str, kind: type[Described]) -> DescribedModel[Described]:
    """Read a model from this machine and check that it is the one described.

    Raises:
        ModelMissing: the model or its description is not there.
        ModelBroken: the description is not valid, or of another file.
    """
    model, described = file_names(path)
    description = parse_description(_read(described), kind)
    content = _read(model)
    check_hash(description, hashlib.sha256(content).hexdigest())
    return DescribedModel(description, content)


def decoded_labels(content: bytes) -> str:
    """The text of a file of labels. Raises `ModelBroken`."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ModelBroken("The file of labels is not UTF-8.") from error


def check_hash(description: ModelDescription, sha256: str) -> None:
    """Raise `ModelBroken` for a file that is not the one described."""
    if sha256 != description.sha256:
        raise ModelBroken(f"The model's SHA-256 is {sha256}, its description says {description.sha256}.")


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ModelMissing(f"{path}: {error.strerror}") from error


def _broken(error: ValidationError) -> ModelBroken:
    fields = (f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in error.errors())
    return ModelBroken(f"The description is not valid. {'; '.join(fields)}")
