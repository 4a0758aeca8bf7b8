"""Our own parts, when they are away."""

from image_core.errors.kinds import Unavailable


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
