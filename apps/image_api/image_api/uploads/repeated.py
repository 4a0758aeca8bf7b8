"""Uploads that may be sent again under an `Idempotency-Key`."""

from uuid import UUID

import orjson

from image_api.actor import Actor
from image_api.idempotency.service import Claim
from image_api.services import Services
from image_api.uploads import receiving
from image_api.uploads import service as uploads
from image_api.uploads.fields import UploadSource
from image_core import errors


async def receive(
    services: Services, actor: Actor, team_id: UUID, source: UploadSource, claim: Claim | None
) -> uploads.Uploaded:
    """Stores one file, unless its key was answered before: then the bytes are only compared with the first ones.

    A form counts by its parts, since a client that sends it again draws another boundary.

    Raises what `uploads.receive` does, and `Replayed`, `errors.IdempotencyKeyReused`.
    """
    if claim is None:
        return await uploads.receive(services, actor, team_id, source)
    if claim.first is not None:
        sha256 = await receiving.read(services, source.chunks())
        claim.compare(_content(sha256, source))
    uploaded = await uploads.receive(services, actor, team_id, source)
    claim.compare(_content(uploaded.image["sha256"], source))
    return uploaded


def _content(sha256: bytes, source: UploadSource) -> bytes:
    try:
        return sha256 + orjson.dumps(source.raw_fields, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        # Fields that are nested too deeply to be written were none of an upload that was taken.
        raise errors.IdempotencyKeyReused(
            "This key was used for another upload. Use a new key for each upload."
        ) from error
