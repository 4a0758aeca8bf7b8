"""Request bodies of exports."""

from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from image_api.listing.matching import NamedFilters
from image_api.operations.items import MOST_NAMED_IMAGES


class NewExport(BaseModel):
    """Images to export."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"filter": {"tag": ["fjord"]}},
                {"image_ids": ["0199c0de-0000-7000-8000-000000000004"]},
            ]
        },
    )

    filter: NamedFilters | None = Field(
        None,
        description="Filters of `GET /api/v1/images` by name: what matches when the operation begins. Filters that can"
        ' be repeated take a list, and those on metadata have their whole names: `{"tag": ["fjord"], "meta[age][gte]":'
        " 18}`. Send `filter` or `image_ids`. Null for none.",
    )
    image_ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_NAMED_IMAGES)] | None = Field(
        None,
        description="IDs of the images, instead of `filter`: at most 10,000, in the order of the manifest. An ID that"
        " is repeated counts once. Images that do not exist or belong to other teams are among the operation's"
        " failures. Null for none.",
    )

    @model_validator(mode="after")
    def _images_are_named(self) -> Self:
        if (self.image_ids is None) == (self.filter is None):
            raise ValueError("name the images by either `image_ids` or `filter`")
        return self
