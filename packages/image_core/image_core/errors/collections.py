"""Collections of images."""

from image_core.errors.kinds import Conflict, NotFound


class CollectionNotFound(NotFound):
    """The collection does not exist."""

    code = "collection-not-found"


class CollectionFull(Conflict):
    """The collection has too many images."""

    code = "collection-full"


class TooManyCollections(Conflict):
    """The team has too many collections."""

    code = "too-many-collections"
