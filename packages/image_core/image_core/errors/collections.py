"""Collections and saved searches."""

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


class SavedSearchNotFound(NotFound):
    """The saved search does not exist."""

    code = "saved-search-not-found"


class TooManySavedSearches(Conflict):
    """The team has too many saved searches."""

    code = "too-many-saved-searches"
