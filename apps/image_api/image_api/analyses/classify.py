"""Analysis of a file that is not an image of the team: the scratch bucket holds its bytes until the analysis ends."""

from uuid import UUID

from image_api.actor import Actor
from image_api.analyses import queries, service
from image_api.analyses.queries import ContentKey, Order, Scratch
from image_api.analyses.service import AnalysisOutcome
from image_api.services import Services
from image_api.uploads import fetched, receiving
from image_api.uploads.fields import UploadSource
from image_core.ids import new_id
from image_core.images.object_names import scratch_name


async def classify_url(
    services: Services, actor: Actor, team_id: UUID, url: str, order: Order, wait_seconds: float
) -> AnalysisOutcome:
    """Analyze the file at a URL.

    It raises the errors of `fetched.fetch_source` and of `classify_file`.
    """
    order = await service.with_team_version(services, team_id, order)
    async with fetched.fetch_source(services, team_id, url, {}) as source:
        content, scratch = await _receive(services, team_id, source, order)
    return await service.request_analysis(services, actor, content, order, wait_seconds, scratch)


async def classify_file(
    services: Services, actor: Actor, team_id: UUID, source: UploadSource, order: Order, wait_seconds: float
) -> AnalysisOutcome:
    """Analyze an uploaded file.

    It also raises the errors of `receiving.check_header` and of `service.request_analysis`.

    Raises:
        errors.UploadTooSlow: The body took too long to arrive.
        errors.StorageUnavailable: Object storage does not respond.
        errors.DatabaseUnavailable: The database does not respond.
        errors.ShuttingDown: This instance is shutting down.
        errors.VisionNotEnabled: Cloud Vision is not enabled here.
    """
    order = await service.with_team_version(services, team_id, order)
    content, scratch = await _receive(services, team_id, source, order)
    return await service.request_analysis(services, actor, content, order, wait_seconds, scratch)


async def _receive(
    services: Services, team_id: UUID, source: UploadSource, order: Order
) -> tuple[ContentKey, Scratch | None]:
    """Return the content and the scratch object that holds it; None if the content needs no new analysis."""
    async with receiving.receive_timeout(services):
        body = await receiving.open_body(source, services.settings.upload_max_bytes)
        header = receiving.check_header(body.held, services.settings)
        sha256 = await receiving.read_whole(body)
        if sha256 is not None:
            content = ContentKey(team_id, sha256)
            if await queries.find_by_content(services.database, content, order):
                return content, None
        name = scratch_name(team_id, new_id())
        received = await receiving.store(services.scratch, name, header.content_type, body, sha256)
    return ContentKey(team_id, received.sha256), Scratch(received.stored.name, received.stored.generation)
