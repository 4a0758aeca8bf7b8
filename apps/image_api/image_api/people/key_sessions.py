"""Sessions that begin with an API key: bound as the key is, and ending with it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from image_api import audit
from image_api.actor import Actor
from image_api.people import queries
from image_api.people.service import NewSession
from image_api.proofs import session_cookies
from image_api.proofs.still_valid import check_still_valid
from image_api.services import Services
from image_core import errors, events
from image_core.ids import new_id
from image_core.keys import api_keys

_AGENT_LENGTH = 200


async def sign_in_by_key(services: Services, key_owner: Actor, address: str, user_agent: str) -> NewSession:
    """Start a session of the owner of a key, who has just been authenticated by it.

    Raises:
        errors.DefaultKeyMustBeRotated: The default key can only rotate itself.
        errors.Unauthorized: The key has just ended.
    """
    if key_owner.is_default_key:
        raise errors.DefaultKeyMustBeRotated(
            "The default key can only rotate itself. Do so with POST /api/v1/user/{user_id}/credentials/rotate."
        )
    session_id = new_id()
    cookie = session_cookies.generate(session_id)
    values: dict[str, Any] = {
        "id": session_id, "user_id": key_owner.user_id, "address": address, "user_agent": user_agent[:_AGENT_LENGTH],
        "key_public_id": (key_owner.key_prefix or "").removeprefix(api_keys.PREFIX),
        "token_hash": session_cookies.hash_value_of_key(cookie),
    }  # fmt: skip
    async with events.committing(services.database, services.publisher) as transaction:
        actor = replace(await check_still_valid(transaction, key_owner), session_id=session_id)
        session = await queries.add_session(transaction, timedelta(hours=services.settings.session_hours), values)
        await audit.record(
            transaction, actor, "session.started", ("session", session_id), team_id=actor.team_id, after={"mode": "key"}
        )
    if session is None:
        raise errors.SessionEnded("The session has ended. Sign in again.")
    return NewSession(session, cookie)
