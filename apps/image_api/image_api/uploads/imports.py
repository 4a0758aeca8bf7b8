"""Import of an image by URL: an upload whose bytes the service fetches itself."""

from uuid import UUID

from image_api.actor import Actor
from image_api.services import Services
from image_api.uploads import service as uploads
from image_api.uploads.fetched import fetch_source
from image_api.uploads.schemas import ImageImport


async def receive(services: Services, actor: Actor, team_id: UUID, body: ImageImport) -> uploads.Uploaded:
    """Fetch an image and store it like an upload; its row exists before its object.

    It raises the errors of `GuardedFetcher.chunks` and of `uploads.receive` that do not blame a body, and:

    Raises:
        errors.SourceNotAnImage: The source's bytes are not an accepted image.
    """
    async with fetch_source(services, team_id, body.url, body.model_dump(exclude={"url"})) as source:
        return await uploads.receive(services, actor, team_id, source)
