"""Bodies of the operations on near-duplicates."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

from image_api.images.schemas import ImageSummary

Pair = Annotated[list[UUID], Field(min_length=2, max_length=2)]


class Distance(BaseModel):
    """By how many of 64 bits the perceptual hashes of two images differ."""

    image_ids: Pair
    distance: int


class DuplicateGroup(BaseModel):
    """Images that hang together by pairs that are near, the oldest first, at most 100 of `image_count`.

    `keep_image_id` is the one with the most pixels, the oldest of several. `distances` names each near pair, the
    nearest first; two images of a group that are not named together are farther from each other.
    """

    images: list[ImageSummary]
    image_count: int
    keep_image_id: UUID
    distances: list[Distance]


class DuplicatePage(BaseModel):
    """Groups, the one with the newest image first; a page may hold fewer than asked for, and still have a next."""

    items: list[DuplicateGroup]
    next_cursor: str | None


class NewDecision(BaseModel):
    """What was found out about two images."""

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
    """A decision that is remembered; `decided_by` is null where that user is gone."""

    id: UUID
    image_ids: Pair
    decision: Literal["not-duplicate"]
    decided_by: UUID | None
    created_at: datetime


class DecisionPage(BaseModel):
    """Decisions, newest first."""

    items: list[Decision]
    next_cursor: str | None
