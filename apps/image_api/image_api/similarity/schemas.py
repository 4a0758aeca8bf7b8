"""Bodies of the operation on similar images."""

from pydantic import BaseModel, Field

from image_api.images.schemas import ImageSummary


class SimilarImage(BaseModel):
    """A similar image and its distance."""

    image: ImageSummary
    distance: float = Field(
        description="Cosine distance between the two vectors, 0 to 2: one minus the cosine of their angle."
    )
    similarity: float = Field(ge=0, le=1, description="One minus the distance, but at least 0.")


class SimilarImages(BaseModel):
    """Similar images. Distances computed by different models cannot be compared."""

    model: str
    items: list[SimilarImage]
