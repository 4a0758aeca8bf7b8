"""The rules of share links. Whoever adds one locks the presets first, then the team, the images and the collection."""

from collections.abc import Collection
from typing import Any, NamedTuple
from uuid import UUID

from image_api import audit
from image_api.actor import Actor
from image_api.http.entity_tags import check_if_match
from image_api.http.pagination import Cursor
from image_api.http.timestamps import check_in_future
from image_api.images import service as images
from image_api.links import queries, tokens, viewing
from image_api.teams import service as teams
from image_core import errors, events
from image_core.db import Record, Runner, Transaction
from image_core.errors.nearest import nearest
from image_core.events import EventType
from image_core.ids import new_id
from image_core.images.presets import share_presets
from image_core.states import LinkDownload, LinkEnd

_DOWNLOADS = tuple(LinkDownload)
"""From the narrowest to the widest."""


class ShownLink(NamedTuple):
    """A link, and how many images it shows."""

    row: Record
    image_count: int


class NewAddress(NamedTuple):
    """A link with a new token. Its text is known only at this moment."""

    link: ShownLink
    token: str


async def list_links(
    runner: Runner, actor: Actor, team_id: UUID | None, cursor: Cursor | None, limit: int, image_id: UUID | None = None
) -> list[Record]:
    """Return the links of the caller's team, or of the team that an admin names; only those with `image_id`.

    Raises:
        errors.TeamNotFound, errors.TeamRequired.
    """
    return await queries.page(runner, await teams.owning_team(runner, actor, team_id), cursor, limit, image_id)


async def get_link(runner: Runner, actor: Actor, link_id: UUID) -> ShownLink:
    """Return a link that the caller may see.

    Raises:
        errors.ShareLinkNotFound: There is none, or it is another team's.
    """
    row = _require_found(await queries.find(runner, actor.visible_team_id, link_id))
    return ShownLink(row, await viewing.count_images(runner, row))


def _require_found(found: Record | None) -> Record:
    if found is None:
        raise errors.ShareLinkNotFound
    return found


async def create_link(
    transaction: Transaction,
    actor: Actor,
    team_id: UUID | None,
    values: dict[str, Any],
    image_ids: Collection[UUID],
    most: int | None,
) -> NewAddress:
    """Add a link to a team that has fewer than `most`.

    Args:
        transaction: the request's.
        actor: the caller.
        team_id: the team that an admin names.
        values: columns of the row: `title`, `presets`, `download`, `password_hash`, `expires_at`, and `collection_id`
            for a link to a collection.
        image_ids: the images of a link of its own, in their order.
        most: maximum number of links of a team; None for no limit.

    Raises:
        errors.TeamNotFound, errors.TeamRequired, errors.TeamBeingRemoved.
        errors.ImageNotFound, errors.CollectionNotFound, errors.PresetNotFound: The team has none such.
        errors.RequestInvalid: The link would have ended already.
        errors.TooManyShareLinks: The team already has the maximum.
    """
    owner_id = await teams.receiving_team(transaction, actor, team_id)
    check_in_future("expires_at", values["expires_at"], await queries.now(transaction))
    await _keep_presets(transaction, owner_id, values["presets"])
    # Links of a team are counted and added one request at a time.
    await teams.lock_for_counting(transaction, owner_id)
    if most is not None and await queries.count(transaction, owner_id) >= most:
        raise errors.TooManyShareLinks(f"Too many share links: the limit is {most}. Delete one first.", limit=most)
    await _keep_source(transaction, owner_id, values["collection_id"], image_ids)
    link_id, token = new_id(), tokens.generate()
    await queries.add(
        transaction, owner_id, link_id, list(dict.fromkeys(image_ids)), {**values, "token_hash": token.token_hash}
    )
    shown = await get_link(transaction, actor, link_id)
    await _record(transaction, actor, "share_link.created", shown.row, after=_audited(shown.row))
    collection_id, expires_at = values["collection_id"], values["expires_at"]
    payload = {
        "collection_id": None if collection_id is None else str(collection_id),
        "expires_at": events.time_text(expires_at),
    }
    await events.record(transaction, events.link_event(EventType.LINK_CREATED, owner_id, link_id, payload))
    return NewAddress(shown, token.text)


async def _keep_presets(transaction: Transaction, team_id: UUID, names: Collection[str]) -> None:
    """Check that a team has these presets, which nobody removes until the transaction ends.

    Raises:
        errors.PresetNotFound.
    """
    known = await share_presets(transaction, team_id)
    for name in names:
        if name not in known:
            raise errors.PresetNotFound(f"The team has no preset {name[:40]!r}.", nearest=nearest(name, known))


async def _keep_source(
    transaction: Transaction, team_id: UUID, collection_id: UUID | None, image_ids: Collection[UUID]
) -> None:
    """Keep what a link shows from being removed until the transaction ends.

    Raises:
        errors.ImageNotFound, errors.CollectionNotFound: The team has none such.
    """
    if collection_id is None:
        await images.keep_images(transaction, team_id, image_ids)
    elif not await queries.keep_collection(transaction, team_id, collection_id):
        raise errors.CollectionNotFound


async def change_link(
    transaction: Transaction, actor: Actor, link_id: UUID, patch: dict[str, Any], if_match: str | None
) -> ShownLink:
    """Change columns of an open link: `title`, `presets`, `download`, `expires_at`, `password_hash`.

    A new password, or less to see or to download, ends the addresses of pictures that were handed out.

    Raises:
        errors.ShareLinkNotFound, errors.ETagMismatch, errors.ShareLinkEnded.
        errors.PresetNotFound: The team has none such.
        errors.RequestInvalid: The link would have ended already.
    """
    if "presets" in patch:
        team_id = await queries.find_team(transaction, actor.visible_team_id, link_id)
        if team_id is None:
            raise errors.ShareLinkNotFound
        await _keep_presets(transaction, team_id, patch["presets"])
    old = await _lock_open(transaction, actor, link_id, if_match)
    check_in_future("expires_at", patch.get("expires_at"), old["now"])
    if not patch:
        return await get_link(transaction, actor, link_id)
    await queries.change(transaction, old["team_id"], link_id, patch, raises_epoch=_is_narrower(old, patch))
    changed = await get_link(transaction, actor, link_id)
    # Without the title, which may be personal: audit events are retained.
    await _record(
        transaction, actor, "share_link.changed", changed.row, before=_audited(old), after=_audited(changed.row)
    )
    return changed


def _is_narrower(old: Record, patch: dict[str, Any]) -> bool:
    """Return whether whoever has addresses of the link's pictures may lose some by this change."""
    fewer_presets = not set(old["presets"]) <= set(patch.get("presets", old["presets"]))
    smaller_download = _DOWNLOADS.index(patch.get("download", old["download"])) < _DOWNLOADS.index(old["download"])
    return fewer_presets or smaller_download or patch.get("password_hash") is not None


async def rotate_link(transaction: Transaction, actor: Actor, link_id: UUID) -> NewAddress:
    """Give an open link a new token; the address that ends in the old one, and those of its pictures, end.

    Raises:
        errors.ShareLinkNotFound, errors.ShareLinkEnded.
    """
    old = await _lock_open(transaction, actor, link_id, None)
    token = tokens.generate()
    await queries.change(transaction, old["team_id"], link_id, {"token_hash": token.token_hash}, raises_epoch=True)
    await _record(transaction, actor, "share_link.rotated", old)
    return NewAddress(await get_link(transaction, actor, link_id), token.text)


async def remove_link(transaction: Transaction, actor: Actor, link_id: UUID, if_match: str | None) -> None:
    """Delete a link, open or not.

    Raises:
        errors.ShareLinkNotFound, errors.ETagMismatch.
    """
    old = await _lock(transaction, actor, link_id, if_match)
    removed = _require_found(await queries.remove(transaction, old["team_id"], link_id))
    await _end(transaction, actor, old["team_id"], removed, LinkEnd.DELETED)


async def count_open_of_collection(runner: Runner, team_id: UUID, collection_id: UUID) -> int:
    """Return how many open links show a collection that was found under the caller's team."""
    return await queries.count_open_of_collection(runner, team_id, collection_id)


async def end_links_of_collection(transaction: Transaction, actor: Actor, team_id: UUID, collection_id: UUID) -> None:
    """Delete the links of a locked collection, which is about to be removed."""
    for removed in await queries.remove_of_collection(transaction, team_id, collection_id):
        await _end(transaction, actor, team_id, removed, LinkEnd.COLLECTION_DELETED)


async def _end(transaction: Transaction, actor: Actor, team_id: UUID, removed: Record, reason: LinkEnd) -> None:
    """Record the end of a deleted link; the event says that it expired if it did, and comes only once."""
    await audit.record(
        transaction, actor, "share_link.removed", ("share_link", removed["id"]), team_id=team_id,
        after={"reason": reason},
    )  # fmt: skip
    if not removed["is_announced"]:
        told = LinkEnd.EXPIRED if removed["has_expired"] else reason
        ended = events.link_event(EventType.LINK_ENDED, team_id, removed["id"], {"reason": told})
        await events.record(transaction, ended)


async def _lock(transaction: Transaction, actor: Actor, link_id: UUID, if_match: str | None) -> Record:
    old = _require_found(await queries.lock(transaction, actor.visible_team_id, link_id))
    check_if_match(if_match, old["revision"])
    return old


async def _lock_open(transaction: Transaction, actor: Actor, link_id: UUID, if_match: str | None) -> Record:
    old = await _lock(transaction, actor, link_id, if_match)
    if old["state"] != "open":
        raise errors.ShareLinkEnded("The link has expired. Create another one.")
    return old


def _audited(row: Record) -> dict[str, Any]:
    expires_at, collection_id = row["expires_at"], row["collection_id"]
    return {
        "collection_id": None if collection_id is None else str(collection_id),
        "presets": list(row["presets"]),
        "download": row["download"],
        "expires_at": None if expires_at is None else expires_at.isoformat(),
        "has_password": row["has_password"],
        "epoch": row["epoch"],
    }


async def _record(
    transaction: Transaction,
    actor: Actor,
    action: str,
    row: Record,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    target = ("share_link", row["id"])
    await audit.record(transaction, actor, action, target, team_id=row["team_id"], before=before, after=after)
