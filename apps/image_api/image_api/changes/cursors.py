"""Cursors of the feed: a place in it, bound to what it shows and to its epoch."""

import struct
from typing import NamedTuple
from uuid import UUID

from image_api.http.pagination import pack, unpack
from image_core import errors
from image_core.feed.reading import Position

_FORMAT = struct.Struct(">16s16sqq")
_ALL_TEAMS = UUID(int=0)


class Cursor(NamedTuple):
    """A place in the feed of a team, or of all teams (None)."""

    team_id: UUID | None
    epoch: UUID
    position: Position

    def encode(self) -> str:
        """Return URL-safe text."""
        return pack(_FORMAT, (self.team_id or _ALL_TEAMS).bytes, self.epoch.bytes, *self.position)


def decode(text: str, team_id: UUID | None) -> Cursor:
    """Decode a cursor of this feed.

    Raises:
        errors.CursorInvalid: The text is not a cursor, or one of another feed.
    """
    team, epoch, *place = unpack(_FORMAT, text)
    cursor = Cursor(team_id, UUID(bytes=epoch), Position(*place))
    if UUID(bytes=team) != (team_id or _ALL_TEAMS) or min(place) < 0:
        raise errors.CursorInvalid("The cursor is not one of this feed. Send `next_cursor` of the same feed unchanged.")
    return cursor
