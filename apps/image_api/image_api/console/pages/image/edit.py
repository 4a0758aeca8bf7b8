"""`/console/images/{image_id}/edit`: the form of what people say of an image."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, go_to, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.image.step import Step, find_step
from image_api.console.pages.images.sheets import IMAGES
from image_api.console.pages.metadata_form import MetadataForm, find_metadata_form, read_number
from image_api.console.pictures import Picture, picture_of
from image_api.dependencies import ServicesDep, TeamQuery, TransactionDep
from image_api.images import schemas
from image_api.images import service as images
from image_core import errors
from image_core.db import Record
from image_core.delivery.spec import THOUSANDTHS

router = APIRouter(prefix=IMAGES, include_in_schema=False, route_class=PageRoute)
Writer = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE))]
_EDIT = same_as("PATCH /api/v1/images/{image_id}")
RATINGS = [("", "None"), *((str(rating), f"{rating} of {schemas.RATINGS[-1]}") for rating in schemas.RATINGS)]
_COLUMNS = ("filename", "tags", "description", "alt_text", "alt_text_language", "rating")
_FOCAL = ("focal_x", "focal_y")
_PER_CENT = THOUSANDTHS // 100


@router.get("/{image_id}/edit", openapi_extra=_EDIT)
async def show(
    image_id: UUID, request: Request, actor: Writer, services: ServicesDep, team_id: TeamQuery = None
) -> Response:
    """Show the form with the image's values."""
    step = await find_step(services.database, actor, request, image_id, team_id)
    metadata = await find_metadata_form(services.database, step.row)
    picture = await picture_of(services, step.row, "preview")
    return _page(step, metadata, picture, _texts_of(step.row, metadata))


@router.post("/{image_id}/edit", openapi_extra=_EDIT)
async def edit(
    image_id: UUID, request: Request, actor: Writer, services: ServicesDep, form: FormDep,
    transaction: TransactionDep, team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Change an image, unless somebody has changed it since the form was shown."""
    step = await find_step(transaction, actor, request, image_id, team_id)
    metadata = await find_metadata_form(transaction, step.row)
    picture = await picture_of(services, step.row, "preview")
    names = (*_COLUMNS, *_FOCAL, *metadata.names)
    sent = {name: form.text(name) for name in names}
    show_again_if_refused(request, lambda refusal: _page(step, metadata, picture, sent, refusal))
    if patch := _changes(step.row, form, sent, metadata):
        await images.change_image(transaction, actor, image_id, patch, form.seen_version())
    return go_to(step.path, team_id, done="saved")


def _page(
    step: Step, metadata: MetadataForm, picture: Picture | None, values: dict[str, str], refusal: Refusal | None = None
) -> Response:
    """Return the form. After a conflicting change it shows the stored value beside each that differs from it."""
    is_conflict = refusal is not None and refusal.code == "etag-mismatch"
    stored = _texts_of(step.row, metadata)
    now = {name: text for name, text in stored.items() if is_conflict and text.strip() != values[name]}
    mistakes = refusal.by_field if refusal else {}
    return step.page(
        "image_edit.html", refusal, values=values, now=now, is_conflict=is_conflict, ratings=RATINGS,
        metadata=metadata, picture=picture, tags_mistake=_joined(mistakes, "tags"),
        metadata_mistake=_joined(mistakes, "metadata"),
    )  # fmt: skip


def _joined(mistakes: dict[str, str], name: str) -> str:
    """Return the mistakes of a field and its members."""
    return " ".join(dict.fromkeys(mistakes[field] for field in mistakes if field.partition(".")[0] == name))


def _texts_of(row: Record, metadata: MetadataForm) -> dict[str, str]:
    texts = {name: row[name] for name in _COLUMNS} | {"tags": "\n".join(row["tags"])}
    texts |= {name: None if row[name] is None else f"{row[name] / _PER_CENT:g}" for name in _FOCAL}
    return {name: "" if value is None else str(value) for name, value in texts.items()} | metadata.texts()


def _changes(row: Record, form: Form, sent: dict[str, str], metadata: MetadataForm) -> dict[str, Any]:
    """Return the merge patch from a stored image to what was sent.

    Raises:
        errors.RequestInvalid: A value is wrong.
    """
    alt_text = {"text": sent["alt_text"], "language": sent["alt_text_language"]} if sent["alt_text"] else None
    shown = _texts_of(row, metadata)
    changed = metadata.patch(sent)
    others: dict[str, Any] = {"metadata": changed} if changed else {}
    if any(sent[name] != shown[name] for name in _FOCAL):
        others["focal_point"] = _focal_point(sent)
    patch = form.parse(
        schemas.ImagePatch, filename=sent["filename"] or None, description=sent["description"] or None,
        tags=[tag for tag in sent["tags"].split("\n") if tag.strip()], alt_text=alt_text,
        rating=read_rating(sent["rating"]), **others,
    ).model_dump(exclude_unset=True)  # fmt: skip
    stored = {name: row[name] for name in ("filename", "description", "tags", "rating")}
    stored["alt_text"] = row["alt_text"] and {"text": row["alt_text"], "language": row["alt_text_language"]}
    return {name: value for name, value in patch.items() if name in others or value != stored[name]}


def read_rating(text: str) -> int | str | None:
    """Return a rating as a body has it; what is no digit is left for the model to refuse."""
    return int(text) if len(text) == 1 and "0" <= text <= "9" else text or None


def _focal_point(sent: dict[str, str]) -> dict[str, float] | None:
    """Return the focal point of two shares in per cent; None if both are empty.

    Raises:
        errors.RequestInvalid: One is missing, or is no number from 0 to 100.
    """
    if not any(sent[name] for name in _FOCAL):
        return None
    shares = {name: read_number(sent[name]) for name in _FOCAL}
    message = "Enter a number from 0 to 100, or leave both fields empty."
    if wrong := [name for name, share in shares.items() if share is None or not 0 <= share <= 100]:
        raise errors.invalid_fields([{"field": name, "code": "not_per_cent", "message": message} for name in wrong])
    return {name[-1]: share / 100 for name, share in shares.items() if share is not None}
