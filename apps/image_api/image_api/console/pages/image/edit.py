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
from image_api.console.pages.images import IMAGES
from image_api.dependencies import ServicesDep, TeamQuery, TransactionDep
from image_api.images import schemas
from image_api.images import service as images
from image_core.db import Record

router = APIRouter(prefix=IMAGES, include_in_schema=False, route_class=PageRoute)
Writer = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE))]
_EDIT = same_as("PATCH /api/v1/images/{image_id}")
_RATINGS = [("", "None"), *((str(rating), f"{rating} of {schemas.RATINGS[-1]}") for rating in schemas.RATINGS)]
_FIELDS = ("filename", "tags", "description", "alt_text", "alt_text_language", "rating")


@router.get("/{image_id}/edit", openapi_extra=_EDIT)
async def show(
    image_id: UUID, request: Request, actor: Writer, services: ServicesDep, team_id: TeamQuery = None
) -> Response:
    """Show the form with the image's values."""
    step = await find_step(services.database, actor, request, image_id, team_id)
    return _page(step, _texts_of(step.row))


@router.post("/{image_id}/edit", openapi_extra=_EDIT)
async def edit(
    image_id: UUID, request: Request, actor: Writer, form: FormDep, transaction: TransactionDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Change an image, unless somebody has changed it since the form was shown."""
    step = await find_step(transaction, actor, request, image_id, team_id)
    # Browsers send line breaks as two characters.
    sent = {name: form.get(name).replace("\r\n", "\n").strip() for name in _FIELDS}
    show_again_if_refused(request, lambda refusal: _page(step, sent, refusal))
    if patch := _changes(step.row, form, sent):
        await images.change_image(transaction, actor, image_id, patch, form.seen_version())
    return go_to(step.path, team_id, done="saved")


def _page(step: Step, values: dict[str, str], refusal: Refusal | None = None) -> Response:
    """Return the form. After a conflicting change it shows the stored value beside each that differs from it."""
    is_conflict = refusal is not None and refusal.code == "etag-mismatch"
    stored = _texts_of(step.row)
    now = {name: stored[name] for name in _FIELDS if is_conflict and stored[name] != values[name]}
    mistakes = refusal.by_field if refusal else {}
    wrong_tags = [mistakes[field] for field in mistakes if field.partition(".")[0] == "tags"]
    return step.page(
        "image_edit.html", refusal, values=values, now=now, is_conflict=is_conflict, ratings=_RATINGS,
        tags_mistake=" ".join(dict.fromkeys(wrong_tags)),
    )  # fmt: skip


def _texts_of(row: Record) -> dict[str, str]:
    texts = {name: row[name] for name in _FIELDS} | {"tags": "\n".join(row["tags"])}
    return {name: "" if value is None else str(value) for name, value in texts.items()}


def _changes(row: Record, form: Form, sent: dict[str, str]) -> dict[str, Any]:
    """Return the merge patch from a stored image to what was sent.

    Raises:
        errors.RequestInvalid: A value is wrong.
    """
    alt_text = {"text": sent["alt_text"], "language": sent["alt_text_language"]} if sent["alt_text"] else None
    rating = sent["rating"]
    patch = form.parse(
        schemas.ImagePatch, filename=sent["filename"] or None, description=sent["description"] or None,
        tags=[tag for tag in sent["tags"].split("\n") if tag.strip()], alt_text=alt_text,
        rating=int(rating) if len(rating) == 1 and "0" <= rating <= "9" else rating or None,
    ).model_dump(exclude_unset=True)  # fmt: skip
    stored = {name: row[name] for name in ("filename", "description", "tags", "rating")}
    stored["alt_text"] = row["alt_text"] and {"text": row["alt_text"], "language": row["alt_text_language"]}
    return {name: value for name, value in patch.items() if value != stored[name]}
