"""The rules of similar images."""

from uuid import UUID

from image_api.actor import Actor
from image_api.similarity import queries
from image_api.similarity.queries import Subject
from image_core import errors
from image_core.db import Record, Runner
from image_core.states import ImageStatus


async def similar_images(
    runner: Runner, actor: Actor, image_id: UUID, limit: int, max_distance: float
) -> tuple[str, list[Record]]:
    """Return the model by which an image was compared, and the team's other images, nearest first.

    Raises:
        errors.ImageNotFound: The image does not exist.
        errors.ImageNotComparable: The image cannot be compared with others yet.
    """
    row = await queries.find_image(runner, actor.visible_team_id, image_id)
    if row is None:
        raise errors.ImageNotFound
    if row["deleted_at"] is not None:
        raise errors.ImageNotFound("The image is in the trash. Restore it first.")
    if row["status"] != ImageStatus.READY:
        raise errors.ImageNotComparable(
            f"The image cannot be compared: its status is {row['status']}. Only images that are ready can be."
        )
    found = await queries.find_model(runner, row["team_id"], image_id)
    if found is None:
        raise errors.ImageNotComparable(
            "The image was processed before images could be compared. An operator has to process it again."
        )
    subject = Subject(row["team_id"], image_id, found["model"], found["dimensions"])
    return subject.model, await queries.nearest(runner, subject, limit, max_distance)
