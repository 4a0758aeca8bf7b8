"""What the pages about many images say of each action, what they ask for, and how their forms become a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple
from urllib.parse import parse_qsl
from uuid import UUID

from pydantic import BaseModel, Field

from image_api.actor import Actor, Scope
from image_api.analyses import service as analyses
from image_api.batches import service
from image_api.batches.schemas import MOST_IDS, BatchAction, NewBatch, OutcomeKind
from image_api.collections import service as collections
from image_api.console.forms import Form
from image_api.console.pages.images.sheets import OF_A_PAGE, OTHERS
from image_api.console.pages.metadata_form import MetadataForm
from image_api.console.pictures import name_of
from image_api.metadata_schemas import service as metadata_schemas
from image_api.metadata_schemas.rules import validate_patch
from image_api.services import Services
from image_core import errors
from image_core.analyses.catalogue import CATALOGUE, price_credits
from image_core.db import Record
from image_core.states import Visibility

MOST_COLLECTIONS = 500
"""How many of a team's collections a page offers, the newest ones."""


class Words(NamedTuple):
    """How pages name an action: on its button, over its pages, and what images will be and are afterwards."""

    button: str
    title: str
    will_be: str
    are: str = ""


WORDS = {
    BatchAction.TRASH: Words("Move to the trash", "Move {} to the trash", "moved to the trash", "in the trash"),
    BatchAction.RESTORE: Words("Restore", "Restore {}", "restored"),
    BatchAction.TAG: Words("Add tags", "Add tags to {}", "tagged"),
    BatchAction.UNTAG: Words("Remove tags", "Remove tags from {}", "untagged"),
    BatchAction.ADD_TO_COLLECTION: Words("Add to a collection", "Add {} to a collection", "added"),
    BatchAction.REMOVE_FROM_COLLECTION: Words(
        "Take out of a collection", "Take {} out of a collection", "taken out of it"
    ),
    BatchAction.SET_METADATA: Words("Set metadata", "Set metadata of {}", "changed"),
    BatchAction.SET_VISIBILITY: Words("Set the visibility", "Set the visibility of {}", "changed"),
    BatchAction.ANALYZE: Words("Analyze", "Analyze {}", "analyzed", "being analyzed"),
}
_NO_FILTERS = {*OTHERS, *OF_A_PAGE, "order_by", "team_id"}
_TAGS = (BatchAction.TAG, BatchAction.UNTAG)
_COLLECTIONS = (BatchAction.ADD_TO_COLLECTION, BatchAction.REMOVE_FROM_COLLECTION)
_REVERSE = {
    BatchAction.TRASH: BatchAction.RESTORE,
    BatchAction.TAG: BatchAction.UNTAG,
    BatchAction.UNTAG: BatchAction.TAG,
    BatchAction.ADD_TO_COLLECTION: BatchAction.REMOVE_FROM_COLLECTION,
}


def actions_for(actor: Actor, statuses: Sequence[str]) -> list[tuple[str, str]]:
    """Return the actions that make sense in a list of these statuses, each with the words of its button."""
    senseless = {BatchAction.TRASH} if list(statuses) == ["trashed"] else set()
    senseless |= set() if "trashed" in statuses else {BatchAction.RESTORE}
    allowed = (each for each in WORDS if each not in senseless and service.may_run(actor, each))
    return [(action, WORDS[action].button) for action in allowed]


class _Matching(BaseModel):
    action: BatchAction


class _Chosen(_Matching):
    image_ids: Annotated[list[UUID], Field(min_length=1)]


class Asked(NamedTuple):
    """What a form asks for.

    Attributes:
        action: what to do.
        image_ids: the images; empty if all that match are meant.
        cut: the number of images beyond the maximum, which are left out.
        form: the form.
        filter: what all images match; null if they are named.
    """

    action: BatchAction
    image_ids: list[UUID]
    cut: int
    form: Form
    filter: dict[str, list[str]] | None = None

    @property
    def title(self) -> str:
        """What will be done, and to how many."""
        if self.filter is not None:
            return WORDS[self.action].title.format("all images that match")
        number = len(self.image_ids)
        return WORDS[self.action].title.format("1 image" if number == 1 else f"{number:,} images")


def read_asked(form: Form) -> Asked:
    """Return the action and the images of a form, which carries their ids in one field.

    Raises:
        errors.RequestInvalid: The action is unknown, there are no ids, or one of them is none.
    """
    if form.get("all"):
        return Asked(form.parse(_Matching, "action").action, [], 0, form, filter_of(form.get("query")))
    sent = list(dict.fromkeys(form.get("image_ids").split()))
    chosen = form.parse(_Chosen, "action", image_ids=sent[:MOST_IDS])
    return Asked(chosen.action, chosen.image_ids, max(0, len(sent) - MOST_IDS), form)


def filter_of(query: str) -> dict[str, list[str]]:
    """Return the filters in the address of a list; one that matches everything if there are none."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query):
        if name not in _NO_FILTERS:
            found.setdefault(name, []).append(value)
    return found or {"content_type": ["image/*"]}


@dataclass(frozen=True)
class Fields:
    """What the form of an action offers.

    Attributes:
        rows: the images that the caller may see; empty without the scope that lists them.
        collections: IDs and names of those of the images' team; None if the caller may not list them, or if the images
            belong to several teams.
        analyzers: names, and what they measure at which price.
        metadata: the fields of the team's schema, or one for JSON.
    """

    rows: Mapping[UUID, Record]
    collections: list[tuple[str, str]] | None = None
    analyzers: list[tuple[str, str]] = field(default_factory=list)
    metadata: MetadataForm | None = None

    @property
    def metadata_names(self) -> tuple[str, ...]:
        """The names of the fields of metadata."""
        return self.metadata.names if self.metadata else ()

    def name_of(self, image_id: UUID) -> str:
        """Return an image's name; its ID if the caller may not see it."""
        row = self.rows.get(image_id)
        return str(image_id) if row is None else name_of(row)


async def find_fields(services: Services, actor: Actor, asked: Asked, team_id: UUID | None) -> Fields:
    """Return what the form of an action offers."""
    may_read = Scope.IMAGES_READ in actor.scopes
    rows = await service.find_images(services.database, actor, asked.image_ids, ()) if may_read else {}
    team_ids = {row["team_id"] for row in rows.values()}
    owner_id = actor.visible_team_id or team_id or (team_ids.pop() if len(team_ids) == 1 else None)
    if asked.action in _COLLECTIONS and may_read and owner_id:
        found = await collections.list_collections(services.database, actor, owner_id, None, MOST_COLLECTIONS)
        return Fields(rows, collections=[(str(each["id"]), each["name"]) for each in found])
    if asked.action is BatchAction.ANALYZE:
        return Fields(rows, analyzers=[await _analyzer(services, owner_id, name) for name in CATALOGUE])
    if asked.action is BatchAction.SET_METADATA:
        declared = await metadata_schemas.declared_fields(services.database, owner_id) if owner_id else {}
        return Fields(rows, metadata=MetadataForm(declared, {}))
    return Fields(rows)


async def _analyzer(services: Services, team_id: UUID | None, name: str) -> tuple[str, str]:
    price = price_credits(name, (await analyses.current_model(services, team_id, name)).version)
    return name, f"{name.capitalize()}, {price} credit{'s' if price > 1 else ''} an image"


def needed_fields(action: BatchAction, fields: Fields) -> tuple[str, ...]:
    """Return the names of the fields that an action needs."""
    if action in _TAGS:
        return ("tags",)
    if action in _COLLECTIONS:
        return ("collection_id",)
    return {
        BatchAction.SET_METADATA: fields.metadata_names,
        BatchAction.SET_VISIBILITY: ("visibility",),
        BatchAction.ANALYZE: ("analyzer",),
    }.get(action, ())


def is_filled_in(asked: Asked, fields: Fields) -> bool:
    """Return whether a form has what its action needs, even if it is empty or wrong."""
    sent = {name for name, _ in asked.form.fields}
    return "change" not in sent and sent.issuperset(needed_fields(asked.action, fields))


def read_batch(asked: Asked, fields: Fields, *, validate_only: bool) -> NewBatch:
    """Return the batch for which a form asks.

    Raises:
        errors.RequestInvalid: A field is missing or wrong.
    """
    form, needed = asked.form, needed_fields(asked.action, fields)
    values: dict[str, Any] = {name: form.get(name) for name in needed}
    if "tags" in values:
        values["tags"] = [tag for tag in form.get("tags").splitlines() if tag.strip()]
    if "visibility" in values:
        values["visibility"] = values["visibility"] or None
    if fields.metadata is not None:
        sent = {name: form.text(name) for name in needed}
        # Wrong for one image, it is wrong for all.
        values = {"metadata": validate_patch(fields.metadata.declared, fields.metadata.patch(sent))}
    if empty := [name for name, value in values.items() if value in ("", [], {})]:
        message = "Fill this in."
        raise errors.invalid_fields([{"field": name, "code": "required", "message": message} for name in empty])
    images: dict[str, Any] = {"ids": asked.image_ids} if asked.filter is None else {"filter": asked.filter}
    if asked.filter is not None and asked.action is BatchAction.ANALYZE:
        images["budget"] = form.whole_number("budget")
    return form.parse(NewBatch, "action", validate_only=validate_only, **images, **values)


class Failure(NamedTuple):
    """An image with which nothing was done, and why."""

    image_id: UUID
    name: str
    code: str
    detail: str


class Done(NamedTuple):
    """What a batch did, or would do."""

    changed: list[UUID]
    unchanged: int
    failures: list[Failure]
    cost: int
    credits_left: int | None

    @property
    def will_be_left(self) -> int | None:
        """The credits of the team after the analyses; negative if they are not enough."""
        return None if self.credits_left is None else self.credits_left - self.cost


async def run(services: Services, actor: Actor, batch: NewBatch, fields: Fields) -> Done:
    """Do the batch, as the operation does.

    Raises:
        errors.ScopeMissing, errors.CollectionNotFound, errors.AnalyzerUnknown, errors.VisionNotEnabled.
    """
    result = await service.run(services, actor, batch)
    left = await service.credits_left(services, result) if batch.action is BatchAction.ANALYZE else None
    outcomes = [(image_id, result.outcomes[image_id]) for image_id in batch.ids]
    return Done(
        [image_id for image_id, outcome in outcomes if outcome.kind is OutcomeKind.CHANGED],
        result.count()[1],
        [
            Failure(image_id, fields.name_of(image_id), error.code, error.detail or f"{error.title()}.")
            for image_id, (_, error, _) in outcomes
            if error is not None
        ],
        result.cost, left,
    )  # fmt: skip


def undoing(batch: NewBatch, done: Done) -> dict[str, str]:
    """Return the fields of the form that takes back exactly what a batch did; empty if nothing does.

    Of several tags, an image may have had some before.
    """
    action = _REVERSE.get(batch.action)
    if action is None or not done.changed or len(batch.tags) > 1:
        return {}
    values = {"tags": "\n".join(batch.tags), "collection_id": str(batch.collection_id or "")}
    return {"action": str(action), "image_ids": joined(done.changed)} | {
        name: value for name, value in values.items() if value
    }


def joined(image_ids: list[UUID]) -> str:
    """Return ids as one field of a form, which may have a hundred fields."""
    return " ".join(map(str, image_ids))


VISIBILITIES = [("", "As the team's"), *((each.value, each.value.capitalize()) for each in Visibility)]
