"""The rules of upload tokens."""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from image_api import audit
from image_api.actor import Actor
from image_api.metadata_schemas import service as metadata_schemas
from image_api.metadata_schemas.rules import validate
from image_api.proofs import upload_tokens
from image_api.proofs.still_valid import check_still_valid
from image_api.upload_tokens import queries
from image_api.upload_tokens.schemas import NewUploadToken
from image_api.uploads.body_buffer import check_size
from image_core.db import Transaction, to_json
from image_core.ids import new_id
from image_core.keys import api_keys


class Created(NamedTuple):
    """A new token. Its text is known only at this moment."""

    token_id: UUID
    text: str
    expires_at: datetime
    max_bytes: int


async def create_token(
    transaction: Transaction, actor: Actor, team_id: UUID, new: NewUploadToken, limit_bytes: int
) -> Created:
    """Create a token, which ends with the key or session of the caller.

    Raises:
        errors.Unauthorized: The caller's key or session has just ended.
        errors.UploadTooLarge: The files would be larger than allowed.
        errors.RequestInvalid: The metadata do not follow the team's schema.
    """
    max_bytes = new.max_bytes or limit_bytes
    check_size(max_bytes, limit_bytes)
    actor = await check_still_valid(transaction, actor)
    declared = await metadata_schemas.declared_fields(transaction, team_id)
    metadata = validate(declared, new.metadata, whole=True)
    token_id, token = new_id(), upload_tokens.generate()
    expires_at = await queries.add(
        transaction, timedelta(seconds=new.expires_in), id=token_id, team_id=team_id, user_id=actor.user_id,
        key_public_id=None if actor.key_prefix is None else actor.key_prefix.removeprefix(api_keys.PREFIX),
        session_id=None if actor.began_with_key else actor.session_id, token_hash=token.token_hash,
        max_uploads=new.max_uploads, max_bytes=max_bytes, tags=list(dict.fromkeys(new.tags)),
        metadata=to_json(metadata),
    )  # fmt: skip
    after = {"max_uploads": new.max_uploads, "max_bytes": max_bytes, "expires_at": expires_at.isoformat()}
    await audit.record(
        transaction, actor, "upload_token.created", ("upload_token", token_id), team_id=team_id, after=after
    )
    return Created(token_id, token.text, expires_at, max_bytes)
