"""Re-validation of a cached caller, before it creates something that outlives its credentials.

Otherwise a key that was revoked elsewhere could, within the cache's five seconds, create another key, a user or an
invitation.
"""

from dataclasses import replace

from image_api.actor import Actor, Scope
from image_api.proofs import key_cache, session_cache
from image_core import errors
from image_core.db import Runner
from image_core.keys import api_keys


async def check_still_valid(runner: Runner, actor: Actor) -> Actor:
    """Compare a caller with its rows and return it as it currently is.

    Raises:
        errors.Unauthorized: Its key or session has ended.
        errors.ScopeMissing: It has lost scopes.
    """
    now = await (_recheck_key if actor.session_id is None else _recheck_session)(runner, actor)
    if lost := [scope for scope in Scope if scope in actor.scopes - now.scopes]:
        raise errors.ScopeMissing(
            f"The key no longer has these scopes: {', '.join(lost)}. Use another key, or ask an admin.",
            missing_scopes=lost,
        )
    return now


async def _recheck_key(runner: Runner, actor: Actor) -> Actor:
    public_id = (actor.key_prefix or "").removeprefix(api_keys.PREFIX)
    row = await runner.fetch_one(key_cache.by_public_id, public_id=public_id)
    if row is None:
        raise errors.KeyInvalid("The API key has been rotated. Use the new one.")
    key_cache.check_alive(row, row["now"], previous=public_id == row["previous_public_id"])
    return key_cache.actor_of_key(row, public_id)


async def _recheck_session(runner: Runner, actor: Actor) -> Actor:
    row = await runner.fetch_one(session_cache.by_id, session_id=actor.session_id)
    if row is None:
        raise errors.SessionEnded("The session has ended. Sign in again.")
    if row["key_public_id"] is None:
        return session_cache.actor_of_session(row, row["now"])
    session_cache.check_not_over(row, row["now"])
    return replace(await _recheck_key(runner, actor), session_id=actor.session_id)
