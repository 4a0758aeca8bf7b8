"""Grants of share links: scope `c`, which names the link and its epoch, for at most an hour.

The API signs them for each view of a link's page, and image-delivery compares them with the link's row.
"""

from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from image_core.delivery import grant
from image_core.delivery.encoding import image_id_of, image_text, to_base36
from image_core.delivery.grant import Grant, ScopeKind

WINDOW_SECONDS = 1800
"""All views within a window share their addresses, so that caches hit."""
LEAST_LIFE_SECONDS = 1800
"""How long an address that is signed now is good at least."""
MOST_LIFE_SECONDS = WINDOW_SECONDS + LEAST_LIFE_SECONDS


@dataclass(frozen=True, slots=True)
class LinkScope:
    """The share link that a grant is good for.

    Attributes:
        link_id: the link.
        epoch: of the link when the grant was signed. The link's is raised to end its addresses.
    """

    link_id: UUID
    epoch: int

    @property
    def text(self) -> str:
        """The scope as an address spells it."""
        return f"{ScopeKind.LINK.value}{image_text(self.link_id)}.{to_base36(self.epoch)}"


def expiry_of(now_seconds: float) -> int:
    """Return the expiry of grants that are signed now, in minutes since 1970: 30 to 60 minutes ahead.

    `now_seconds` is Unix time. Pages that show such addresses have to be loaded again before.
    """
    return grant.end_of_window(now_seconds + LEAST_LIFE_SECONDS, WINDOW_SECONDS // 60)


def sign(key_number: int, key: bytes, link: LinkScope, image_id: UUID, tag: str, expiry_minutes: int) -> str:
    """Return the part of an address between `/i/` and the file, which is not signed: a preset, or a whole file.

    Args:
        key_number: the number of the delivery key of the team that the link and the image belong to.
        key: its 32 bytes.
        link: the link and its present epoch.
        image_id: one of the link's images.
        tag: the image's current tag.
        expiry_minutes: from `expiry_of`.
    """
    return grant.sign(key_number, key, image_id, tag, file=None, expiry_minutes=expiry_minutes, scope=link.text)


def link_of(signed: Grant) -> LinkScope:
    """Return the link that a grant of scope `c` names."""
    return _link_of(signed.scope)


# All pictures of a page have the same scope.
@lru_cache(maxsize=1024)
def _link_of(scope: str) -> LinkScope:
    link_id, _, epoch = scope.removeprefix(ScopeKind.LINK.value).partition(".")
    return LinkScope(image_id_of(link_id), int(epoch, 36))


def lives_too_long(signed: Grant, now_seconds: float) -> bool:
    """Tell whether a grant is good for longer than a link's may be, with a window for clocks that differ."""
    seconds_left = signed.expiry_minutes * 60 - now_seconds
    return signed.expiry_minutes == 0 or seconds_left > MOST_LIFE_SECONDS + WINDOW_SECONDS
