"""Uploads that may be repeated with an `Idempotency-Key`."""

from uuid import UUID

import orjson

from image_api.actor import Actor
from image_api.idempotency.service import KeyClaim
from image_api.services import Services
from image_api.uploads import receiving
from image_api.uploads import service as uploads
from image_api.uploads.fields import UploadSource
from image_core import errors


async def receive(
    services: Services, actor: Actor, team_id: UUID, source: UploadSource, claim: KeyClaim | None
) -> uploads.Uploaded:
    """Store one file; if its key has a response already, only compare the bytes with the first ones.

    Forms are compared by their parts, because a client that repeats a form chooses another boundary. It also raises the
    errors of `uploads.receive`.

    Raises:
        Replayed: The upload was answered before.
        errors.IdempotencyKeyReused: The key was used for another request.
    """
    if claim is None:
        return await uploads.receive(services, actor, team_id, source)
    if claim.stored is not None:
        sha256 = await receiving.read(services, source.chunks())
        claim.compare(_content(sha256, source))
    uploaded = await uploads.receive(services, actor, team_id, source)
    claim.compare(_content(uploaded.image["sha256"], source))
    return uploaded


def _content(sha256: bytes, source: UploadSource) -> bytes:
    try:
        return sha256 + orjson.dumps(source.raw_fields, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        # Fields nested too deeply to be serialized cannot belong to an accepted upload.
        raise errors.IdempotencyKeyReused(
            "This key was used for another upload. Use a new key for each upload."
        ) from error
