"""Housekeeping of invitations, sessions and sign-in attempts."""

from datetime import timedelta

from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import Budget, remove_old
from image_core.models import invitation, password_reset, session, sign_in_delay

_AGES = (
    (invitation.c.expires_at, timedelta()),
    (password_reset.c.expires_at, timedelta()),
    # Sessions are kept for another month because they show from which addresses an account has signed in, which exempts
    # those from a delay.
    (session.c.expires_at, timedelta(days=30)),
    (sign_in_delay.c.last_failed_at, timedelta(days=1)),
)


async def remove_old_sign_ins(parts: TaskParts, budget: Budget) -> int:
    """Remove expired invitations, password resets, sessions and sign-in delays."""
    return sum([await remove_old(parts, budget, moment, age) for moment, age in _AGES])
