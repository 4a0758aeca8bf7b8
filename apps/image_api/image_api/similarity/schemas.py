"""Bodies of the operation on similar images."""

from pydantic import BaseModel, Field

from image_api.images.schemas import ImageSummary


class SimilarImage(BaseModel):
    """An image, and how far it is from the one that was asked for."""

    image: ImageSummary
    distance: float = Field(description="One minus the cosine of the angle between both vectors, 0 to 2.")
    similarity: float = Field(ge=0, le=1, description="One minus the distance, and 0 beyond.")


class SimilarImages(BaseModel):
    """The nearest first. Distances of different models say nothing about each other."""

    model: str
    items: list[SimilarImage]
