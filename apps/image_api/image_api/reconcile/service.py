"""The rules of reconciliation: only admins of the platform compare and repair."""

from uuid import UUID

from image_api.actor import Actor, require_admin
from image_api.operations import service as operations
from image_api.reconcile.schemas import NewReconciliation
from image_core.db import Transaction

KIND = "reconcile"


async def start_reconciliation(transaction: Transaction, actor: Actor, new: NewReconciliation) -> UUID:
    """Begin to compare rows with objects, and return the operation's id.

    Raises:
        errors.RoleMissing: The caller is no admin.
        errors.TooManyOperations: The platform has the maximum of unfinished operations.
    """
    require_admin(actor)
    return await operations.create(transaction, actor, KIND, None, new.model_dump())
