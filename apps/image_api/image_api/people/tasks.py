"""What is left of invitations, sessions and attempts to sign in."""

from datetime import timedelta

from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import Budget, remove_old
from image_core.models import invitation, password_reset, session, sign_in_delay

_AGES = (
    (invitation.c.expires_at, timedelta()),
    (password_reset.c.expires_at, timedelta()),
    # A session shows for another month from which addresses its account has signed in, which spares those a delay.
    (session.c.expires_at, timedelta(days=30)),
    (sign_in_delay.c.last_failed_at, timedelta(days=1)),
)


async def remove_old_sign_ins(parts: TaskParts, budget: Budget) -> int:
    """Remove invitations, password resets, sessions and sign-in delays that nobody needs any more."""
    return sum([await remove_old(parts, budget, moment, age) for moment, age in _AGES])
