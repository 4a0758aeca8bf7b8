"""Analysis of a file that is not an image of the team: the scratch bucket holds its bytes until the analysis ends."""

from uuid import UUID

from image_api.actor import Actor
from image_api.analyses import queries, service
from image_api.analyses.queries import Bytes, Order, Scratch
from image_api.analyses.service import Asked
from image_api.services import Services
from image_api.uploads import imports, receiving
from image_api.uploads.fields import UploadSource
from image_core.ids import new_id
from image_core.images.object_names import scratch_name


async def classify_url(
    services: Services, actor: Actor, team_id: UUID, url: str, order: Order, wait_seconds: float
) -> Asked:
    """Analyze the file at a URL.

    It raises the errors of `imports.fetched` and of `classify_file`.
    """
    order = await service.of_the_team(services, team_id, order)
    async with imports.fetched(services, team_id, url, {}) as source:
        of, scratch = await _received(services, team_id, source, order)
    return await service.ask(services, actor, of, order, wait_seconds, scratch)


async def classify_file(
    services: Services, actor: Actor, team_id: UUID, source: UploadSource, order: Order, wait_seconds: float
) -> Asked:
    """Analyze an uploaded file.

    It also raises the errors of `receiving.check_header` and of `service.request_analysis`.

    Raises:
        errors.UploadTooSlow: The body took too long to arrive.
        errors.StorageUnavailable: Object storage does not respond.
        errors.DatabaseUnavailable: The database does not respond.
        errors.ShuttingDown: This instance is shutting down.
        errors.VisionNotEnabled: Cloud Vision is not enabled here.
    """
    order = await service.of_the_team(services, team_id, order)
    of, scratch = await _received(services, team_id, source, order)
    return await service.ask(services, actor, of, order, wait_seconds, scratch)


async def _received(
    services: Services, team_id: UUID, source: UploadSource, order: Order
) -> tuple[Bytes, Scratch | None]:
    """Return the content and the scratch object that holds it; None if the content needs no new analysis."""
    async with receiving.in_time(services):
        body = await receiving.open_body(source, services.settings.upload_max_bytes)
        header = receiving.check_header(body.held, services.settings)
        sha256 = await receiving.read_whole(body)
        if sha256 is not None:
            of = Bytes(team_id, sha256)
            if await queries.find_of_bytes(services.database, of, order):
                return of, None
        name = scratch_name(team_id, new_id())
        received = await receiving.store(services.scratch, name, header.content_type, body, sha256)
    return Bytes(team_id, received.sha256), Scratch(received.stored.name, received.stored.generation)
