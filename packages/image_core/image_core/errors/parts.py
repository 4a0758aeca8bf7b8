"""Our own parts, when they are away, and the messages that they could not deliver."""

from image_core.errors.kinds import Conflict, NotFound, Unavailable


class DatabaseUnavailable(Unavailable):
    """The database does not respond."""

    code = "database-unavailable"


class StorageUnavailable(Unavailable):
    """Object storage does not respond."""

    code = "storage-unavailable"


class MessagingUnavailable(Unavailable):
    """Pub/Sub does not respond."""

    code = "messaging-unavailable"


class ShuttingDown(Unavailable):
    """This instance is shutting down."""

    code = "shutting-down"


class DeadLetterNotFound(NotFound):
    """The dead letter does not exist."""

    code = "dead-letter-not-found"


class DeadLetterNotRedrivable(Conflict):
    """The dead letter cannot be published again."""

    code = "dead-letter-not-redrivable"
