"""Every UPDATE of a delivery key's state, one function each, with the service that may run it.

A function returns a statement, to which its caller may add a RETURNING.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Update, func, update

from image_core.models import delivery_key
from image_core.states import DeliveryKeyState, Mover, made_by

STILL_SIGNS = timedelta(seconds=20)
"""How long after its rotation a key may still sign: until image-delivery knows the new one, and caches have expired."""


@made_by(Mover.API)
def stop_signing(team_id: UUID, key_id: UUID) -> Update:
    """Change active → verifying: another key signs from now on, and addresses that this one signed stay valid."""
    return _change(team_id, key_id, DeliveryKeyState.ACTIVE, state=DeliveryKeyState.VERIFYING, verifying_at=func.now())


@made_by(Mover.API)
def retire(team_id: UUID, key_id: UUID) -> Update:
    """Change verifying → retired, once the key signs no more: the addresses that it signed stop working."""
    has_stopped = delivery_key.c.verifying_at <= func.now() - STILL_SIGNS
    return _change(
        team_id, key_id, DeliveryKeyState.VERIFYING, has_stopped, state=DeliveryKeyState.RETIRED, retired_at=func.now()
    )


def _change(
    team_id: UUID, key_id: UUID, start: DeliveryKeyState, *conditions: ColumnElement[bool], **columns: Any
) -> Update:
    return (
        update(delivery_key)
        .where(
            delivery_key.c.id == key_id, delivery_key.c.team_id == team_id, delivery_key.c.state == start, *conditions
        )
        .values(updated_at=func.now(), **columns)
    )
