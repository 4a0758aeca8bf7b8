"""Bodies of the operations on many images."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from image_api.http.field_types import JsonBoolean, JsonInteger
from image_api.images.schemas import ListedImage, Tags
from image_api.listing.matching import NamedFilters
from image_api.metadata_schemas.values import MAX_METADATA_KEYS, MetadataKey, MetadataValue
from image_api.operations.items import MOST_NAMED_IMAGES
from image_core.states import Visibility

MOST_IDS = 1000
"""Maximum number of images of a request that answers with what became of each; more ids are an operation."""
_IMAGE_ID = "0199c0de-0000-7000-8000-000000000004"


class ImageIds(BaseModel):
    """Images to get."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"ids": [_IMAGE_ID]}]})

    ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_IDS)] = Field(
        description="IDs of the images, at most 1,000. An ID that is repeated counts once."
    )
    include: list[Literal["facts", "metadata", "derivatives", "analyses", "delivery"]] = Field(
        default_factory=list, description="What to include with each image, as in a list."
    )


class FoundImages(BaseModel):
    """Images that were found."""

    items: list[ListedImage] = Field(description="The images, in the order of the request.")
    not_found: list[UUID] = Field(
        description="IDs of images that do not exist or belong to other teams, in the order of the request."
    )


class BatchAction(StrEnum):
    """What a batch does with each image."""

    TRASH = "trash"
    RESTORE = "restore"
    TAG = "tag"
    UNTAG = "untag"
    SET_METADATA = "set_metadata"
    SET_VISIBILITY = "set_visibility"
    ADD_TO_COLLECTION = "add_to_collection"
    REMOVE_FROM_COLLECTION = "remove_from_collection"
    ANALYZE = "analyze"


_FIELD_OF = {
    BatchAction.TAG: "tags",
    BatchAction.UNTAG: "tags",
    BatchAction.SET_METADATA: "metadata",
    BatchAction.SET_VISIBILITY: "visibility",
    BatchAction.ADD_TO_COLLECTION: "collection_id",
    BatchAction.REMOVE_FROM_COLLECTION: "collection_id",
}
_ONLY_FOR = {
    "tags": (BatchAction.TAG, BatchAction.UNTAG),
    "metadata": (BatchAction.SET_METADATA,),
    "visibility": (BatchAction.SET_VISIBILITY,),
    "collection_id": (BatchAction.ADD_TO_COLLECTION, BatchAction.REMOVE_FROM_COLLECTION),
    "analyzer": (BatchAction.ANALYZE,),
    "parameters": (BatchAction.ANALYZE,),
    "budget": (BatchAction.ANALYZE,),
}


class NewBatch(BaseModel):
    """One action for many images."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"ids": [_IMAGE_ID], "action": "tag", "tags": ["fjord"]}]}
    )

    ids: Annotated[list[UUID], Field(max_length=MOST_NAMED_IMAGES)] = Field(
        default_factory=list,
        description="IDs of the images, at most 10,000. An ID that is repeated counts once. Send `ids` or `filter`.",
    )
    filter: NamedFilters | None = Field(
        None,
        description="Filters of `GET /api/v1/images` by name, instead of `ids`: what matches when the operation begins."
        ' Filters that can be repeated take a list, and those on metadata have their whole names: `{"tag": ["fjord"],'
        ' "meta[age][gte]": 18}`. Null for none.',
    )
    budget: JsonInteger | None = Field(
        None,
        ge=0,
        le=2**53,
        description="Credits that `analyze` may spend, at most; then the batch is an operation. Null for no limit.",
    )
    action: BatchAction = Field(description="What to do with each image.")
    tags: Tags = Field(default_factory=list, description="Tags for `tag` and `untag`, which require this field.")
    metadata: Annotated[dict[MetadataKey, MetadataValue | None], Field(max_length=2 * MAX_METADATA_KEYS)] = Field(
        default_factory=dict,
        description="Metadata to merge for `set_metadata`, which requires this field (RFC 7396).",
    )
    visibility: Visibility | None = Field(
        None,
        description="New visibility for `set_visibility`, which requires this field. Null for the default of the team.",
    )
    collection_id: UUID | None = Field(
        None,
        description="Collection for `add_to_collection`, which puts images last in the order of `ids`, and for"
        " `remove_from_collection`. Both require this field; null stands for none.",
    )
    analyzer: str = Field("skin", max_length=64, description="Analyzer for `analyze`, of `GET /api/v1/analyzers`.")
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        max_length=32,
        description="Parameters of the analyzer for `analyze`. Absent ones have their defaults.",
    )
    validate_only: JsonBoolean = Field(
        False, description="Change nothing, and return what the batch would do and what its analyses would cost."
    )

    @property
    def is_operation(self) -> bool:
        """Whether it takes too long for one response, or has to be stopped by its budget."""
        return self.filter is not None or len(self.ids) > MOST_IDS or self.budget is not None

    @model_validator(mode="after")
    def _images_are_named(self) -> Self:
        if bool(self.ids) == (self.filter is not None):
            raise ValueError("name the images by either `ids` or `filter`")
        return self

    @model_validator(mode="after")
    def _fields_of_the_action(self) -> Self:
        required = _FIELD_OF.get(self.action)
        # A visibility may be null.
        absent: tuple[Any, ...] = ([], {}) if required == "visibility" else ([], {}, None)
        if required is not None and (required not in self.model_fields_set or getattr(self, required) in absent):
            raise ValueError(f"the action `{self.action}` needs `{required}`")
        for name, actions in _ONLY_FOR.items():
            if name in self.model_fields_set and self.action not in actions:
                wanted = " and ".join(f"`{action}`" for action in actions)
                raise ValueError(f"`{name}` is only for {wanted}, not for `{self.action}`")
        return self


class OutcomeKind(StrEnum):
    """What became of one image of a batch."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    NOT_FOUND = "not-found"
    FORBIDDEN = "forbidden"
    REFUSED = "refused"


class BatchError(BaseModel):
    """Why an image was not changed."""

    code: str
    detail: str = Field(description="What prevents the change, and what to do.")


class BatchItem(BaseModel):
    """What became of one image."""

    id: UUID = Field(description="ID of the image.")
    outcome: OutcomeKind = Field(
        description="`changed`; `unchanged` if there was nothing to do; `not-found`, also for images of other teams;"
        " `forbidden` for uploads of others without the scope `images:delete`; `refused` for any other reason."
    )
    error: BatchError | None = Field(description="Why the image was not changed. Null if it was, or needed no change.")
    analysis_id: UUID | None = Field(
        description="ID of the analysis, new or not. Null for other actions, and if there is none."
    )


class BatchCredits(BaseModel):
    """Credits for the analyses of a batch."""

    cost: int = Field(description="Price of the analyses that were requested; of those that would be requested, with"
        " `validate_only`. Stored results are free.")  # fmt: skip
    left: int | None = Field(
        description="Credits that the team has left. Null if the batch reached images of several teams, or of none."
    )


class BatchResult(BaseModel):
    """What a batch did, or would do."""

    action: BatchAction = Field(description="Action of the batch.")
    validate_only: bool = Field(description="True if nothing was changed.")
    changed: int = Field(description="Number of images with the outcome `changed`.")
    unchanged: int = Field(description="Number of images with the outcome `unchanged`.")
    failed: int = Field(description="Number of images with any other outcome.")
    credits: BatchCredits | None = Field(description="Credits for analyses. Null for other actions.")
    items: list[BatchItem] = Field(description="One item for each ID, in the order of the request.")


class BatchEstimate(BaseModel):
    """What a batch that is an operation would take."""

    action: BatchAction = Field(description="Action of the batch.")
    validate_only: Literal[True] = Field(description="True, as nothing was changed.")
    images: int = Field(description="Number of images that match, or of the IDs.")
    at_least: bool = Field(description="True if more images may match: they are counted to 10,000.")
    credits: int = Field(description="Price if none of these images had a stored result yet.")
