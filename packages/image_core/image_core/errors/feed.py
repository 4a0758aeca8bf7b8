"""The feed of changes."""

from image_core.errors.kinds import Gone, LimitExceeded, Unavailable


class CursorExpired(Gone):
    """The cursor of the feed has expired."""

    code = "cursor-expired"


class TooManyStreams(LimitExceeded):
    """The caller waits for changes too often at once."""

    code = "too-many-streams"


class FeedBusy(Unavailable):
    """Too many callers wait for changes at once."""

    code = "feed-busy"
