"""Our own parts, when they are away."""

from image_core.errors.kinds import Unavailable


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""

    code = "database-unavailable"


class StorageUnavailable(Unavailable):
    """Object storage does not answer."""

    code = "storage-unavailable"


class MessagingUnavailable(Unavailable):
    """Pub/Sub does not answer."""

    code = "messaging-unavailable"


class ShuttingDown(Unavailable):
    """This instance is stopping."""

    code = "shutting-down"
