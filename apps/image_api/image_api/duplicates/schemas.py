"""Bodies of the operations on near-duplicates."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

from image_api.images.schemas import ImageSummary

Pair = Annotated[list[UUID], Field(min_length=2, max_length=2)]


class Distance(BaseModel):
    """Distance between the perceptual hashes of two images."""

    image_ids: Pair
    distance: int


class DuplicateGroup(BaseModel):
    """A group of images that are connected by near-duplicate pairs.

    Two images of a group that are not a pair in `distances` are farther apart than the maximum distance.
    """

    images: list[ImageSummary]
    image_count: int
    keep_image_id: UUID
    distances: list[Distance]


class DuplicatePage(BaseModel):
    """A page of groups. It can have fewer items than `limit` although more pages follow."""

    items: list[DuplicateGroup]
    next_cursor: str | None


class NewDecision(BaseModel):
    """Decision to record about two images."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "image_ids": ["0199c0de-0000-7000-8000-000000000004", "0199c0de-0000-7000-8000-000000000009"],
                    "decision": "not-duplicate",
                }
            ]
        },
    )

    image_ids: Pair
    decision: Literal["not-duplicate"]

    @field_validator("image_ids")
    @classmethod
    def _two_images(cls, image_ids: list[UUID]) -> list[UUID]:
        if len(set(image_ids)) != 2:
            raise ValueError("An image cannot be a duplicate of itself. Send two different images.")
        return image_ids


class Decision(BaseModel):
    """A recorded decision about two images."""

    id: UUID
    image_ids: Pair
    decision: Literal["not-duplicate"]
    decided_by: UUID | None
    created_at: datetime


class DecisionPage(BaseModel):
    """A page of decisions, newest first."""

    items: list[Decision]
    next_cursor: str | None
