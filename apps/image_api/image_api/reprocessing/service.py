"""The rules of processing failed images again."""

from uuid import UUID

from image_api.actor import Actor, require_admin
from image_api.operations import service as operations
from image_api.reprocessing.schemas import NewReprocessing
from image_api.teams import service as teams
from image_core.db import Transaction

REPROCESSING = "reprocess"
"""The kind of operation that processes failed images again."""


async def start(transaction: Transaction, actor: Actor, wanted: NewReprocessing) -> UUID:
    """Start to process failed images again, and return the id of the operation.

    Raises:
        errors.RoleMissing: The caller is no admin.
        errors.TeamNotFound: The team does not exist.
        errors.TeamBeingRemoved: The team is being removed.
        errors.TooManyOperations: There are too many unfinished operations.
    """
    require_admin(actor)
    if wanted.team_id is not None:
        await teams.check_not_removing(transaction, actor, wanted.team_id)
    parameters = wanted.model_dump(mode="json", exclude_none=True)
    return await operations.create(transaction, actor, REPROCESSING, None, parameters)
