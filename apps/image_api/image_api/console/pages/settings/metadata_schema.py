"""`/console/metadata-schema`: the metadata fields that a team declares: add, change and remove them."""

from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.exceptions import HTTPException

from image_api.actor import Actor, Scope, require_admin
from image_api.auth import RequireScope
from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.images.page import Reader
from image_api.console.pages.settings import schema_field
from image_api.console.policy import HOME
from image_api.console.team_first import ask_for_team, lacks_team
from image_api.credentials.service import is_admin
from image_api.dependencies import ServicesDep, TeamQuery, TransactionDep
from image_api.listing import facets
from image_api.listing.schemas import ImageFilters
from image_api.metadata_schemas import schemas, service
from image_api.metadata_schemas.schemas import DeclaredField
from image_core import errors
from image_core.db import Runner, Transaction

SCHEMA = f"{HOME}/metadata-schema"
_TITLE = "Metadata schema"
router = APIRouter(prefix=SCHEMA, include_in_schema=False, route_class=PageRoute)
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN, Scope.IMAGES_READ))]
FieldName = Annotated[str, Query(max_length=64)]
_READ = "GET /api/v1/metadata-schema"
_PUT = same_as(_READ, "PUT /api/v1/metadata-schema")
_PUT_COUNTED = same_as(_READ, "PUT /api/v1/metadata-schema", "GET /api/v1/images/facets")
_REMOVE = same_as(_READ, "DELETE /api/v1/metadata-schema")
_NEW = Form((("type", "string"),))


class Step(NamedTuple):
    """A page about a team's schema, as it was before a change."""

    request: Request
    owner_id: UUID
    fields: list[DeclaredField]
    revision: int
    updated_at: Any
    team_id: UUID | None
    used: facets.Facet | None = None
    """How many images have a value of the field that the page is about."""

    def page(self, template: str, refusal: Refusal | None, **values: Any) -> Response:
        """Return the page, with what was refused."""
        shown = {
            "fields": self.fields, "revision": self.revision, "updated_at": self.updated_at, "used": self.used,
            "refusal": refusal, **values,
        }  # fmt: skip
        return render(self.request, template, shown, team_id=self.team_id)

    def form(self, form: Form, refusal: Refusal | None, old: DeclaredField | None) -> Response:
        """Return the form of a field, with what was sent beside what somebody else has stored meanwhile."""
        now = schema_field.shown(self.form_of(old)) if old else None
        others = [field.name for field in self.fields if old is None or field.name != old.name]
        mistakes = refusal.by_field if refusal else {}
        places = [("", "first"), *((each, f"after {each}") for each in others)]
        return self.page(
            "schema_field.html", refusal, old=old, now=now, sent=schema_field.shown(form),
            types=list(schema_field.TYPES.items()), places=places,
            enum_mistake=next((mistakes[name] for name in mistakes if name.partition(".")[0] == "enum"), ""),
        )  # fmt: skip

    def form_of(self, field: DeclaredField) -> Form:
        """Return the form that shows a field of the schema."""
        names = ["", *(each.name for each in self.fields)]
        return schema_field.form_of(field, names[names.index(field.name) - 1])

    def find(self, name: str) -> DeclaredField:
        """Return a field of the schema.

        Raises:
            HTTPException: There is none of this name.
        """
        found = next((field for field in self.fields if field.name == name), None)
        if found is None:
            raise HTTPException(404)
        return found

    async def replace(self, transaction: Transaction, actor: Actor, fields: list[DeclaredField], form: Form) -> None:
        """Declare other fields; without any, remove the schema.

        Raises:
            errors.RequestInvalid, errors.ETagMismatch.
        """
        if not fields:
            await service.remove_schema(transaction, actor, self.owner_id, form.seen_version())
            return
        body = form.parse(schemas.NewMetadataSchema, fields=fields)
        await service.put_schema(transaction, actor, self.owner_id, body, form.seen_version())


async def _found(request: Request, runner: Runner, actor: Actor, team_id: UUID | None) -> Step:
    owner_id, row = await service.get_schema(runner, actor, team_id)
    fields = [DeclaredField.model_validate(field) for field in orjson.loads(row["fields"])]
    return Step(request, owner_id, fields, row["revision"], row["updated_at"], team_id)


async def _step(request: Request, actor: Admin, services: ServicesDep, team_id: TeamQuery = None) -> Step:
    """Return what the page shows.

    Raises:
        errors.RoleMissing, errors.TeamNotFound, errors.TeamRequired.
    """
    require_admin(actor)
    if lacks_team(actor, team_id):
        show_again_if_refused(request, lambda _refusal: ask_for_team(request, _TITLE))
    return await _found(request, services.database, actor, team_id)


StepDep = Annotated[Step, Depends(_step)]
"""Declared after the form, which is compared with the session first."""


async def _counted(step: StepDep, actor: Admin, services: ServicesDep, field: FieldName) -> Step:
    """Return what a page about a field shows, with how many images have a value."""
    name = step.find(field).name
    filters = ImageFilters(team_id=step.owner_id)
    return step._replace(used=await facets.count_values(services.database, actor, name, 1, filters, (), ()))


CountedDep = Annotated[Step, Depends(_counted)]


@router.get("", openapi_extra=same_as(_READ))
async def show(
    request: Request, actor: Reader, services: ServicesDep, team_id: TeamQuery = None,
    done: Annotated[Literal["declared", "added", "changed", "removed"] | None, Query()] = None,
) -> Response:  # fmt: skip
    """Show the fields that a team declares, in the order of forms."""
    if lacks_team(actor, team_id):
        return ask_for_team(request, _TITLE)
    step = await _found(request, services.database, actor, team_id)
    return step.page("schema.html", None, done=done, may_change=is_admin(actor))


@router.post("/template", openapi_extra=_PUT)
async def declare(
    request: Request, actor: Admin, form: FormDep, step: StepDep, transaction: TransactionDep
) -> Response:
    """Declare the fields of a template, where there are none."""
    show_again_if_refused(request, lambda refusal: step.page("schema.html", refusal, done=None, may_change=True))
    if step.fields:
        raise errors.ETagMismatch("The team has declared fields meanwhile, which the template would replace.")
    body = form.parse(schemas.NewMetadataSchema, "template")
    await service.put_schema(transaction, actor, step.owner_id, body, form.seen_version())
    return go_to(SCHEMA, step.team_id, done="declared")


@router.get("/new", openapi_extra=_PUT)
async def show_new(step: StepDep) -> Response:
    """Show the form for a new field."""
    last = step.fields[-1].name if step.fields else ""
    return step.form(Form((*_NEW.fields, ("after", last))), None, None)


@router.post("/new", openapi_extra=_PUT)
async def add(request: Request, actor: Admin, form: FormDep, step: StepDep, transaction: TransactionDep) -> Response:
    """Add a field to the schema."""
    show_again_if_refused(request, lambda refusal: step.form(form, refusal, None))
    new = schema_field.read(form, form.get("name").strip())
    if any(field.name == new.name for field in step.fields):
        message = "There is such a field already. Change that one."
        raise errors.invalid_fields([{"field": "name", "code": "field-exists", "message": message}])
    await step.replace(transaction, actor, schema_field.placed(step.fields, new, form.get("after")), form)
    return go_to(SCHEMA, step.team_id, done="added")


@router.get("/change", openapi_extra=_PUT_COUNTED)
async def show_change(step: CountedDep, field: FieldName) -> Response:
    """Show the form that changes a field, and what a change does to images."""
    old = step.find(field)
    return step.form(step.form_of(old), None, old)


@router.post("/change", openapi_extra=_PUT)
async def change(
    request: Request, actor: Admin, form: FormDep, step: StepDep, transaction: TransactionDep, field: FieldName
) -> Response:
    """Change a field or its place, unless somebody has changed the schema since the form was shown."""
    old = step.find(field)
    show_again_if_refused(request, lambda refusal: step.form(form, refusal, old))
    new = schema_field.read(form, old.name)
    await step.replace(transaction, actor, schema_field.placed(step.fields, new, form.get("after")), form)
    return go_to(SCHEMA, step.team_id, done="changed")


@router.get("/remove-field", openapi_extra=_PUT_COUNTED)
async def show_field_removal(step: CountedDep, field: FieldName) -> Response:
    """Say what the removal of a field does."""
    return step.page("schema_remove.html", None, old=step.find(field))


@router.post("/remove-field", openapi_extra=_PUT)
async def remove_field(
    request: Request, actor: Admin, form: FormDep, step: StepDep, transaction: TransactionDep, field: FieldName
) -> Response:
    """Remove a field, and with the last one the schema."""
    old = step.find(field)
    show_again_if_refused(request, lambda refusal: step.page("schema_remove.html", refusal, old=old))
    await step.replace(transaction, actor, [each for each in step.fields if each.name != old.name], form)
    return go_to(SCHEMA, step.team_id, done="changed")


@router.get("/remove", openapi_extra=_REMOVE)
async def show_removal(step: StepDep) -> Response:
    """Say what the removal of a schema does."""
    return step.page("schema_remove.html", None, old=None)


@router.post("/remove", openapi_extra=_REMOVE)
async def remove(request: Request, actor: Admin, form: FormDep, step: StepDep, transaction: TransactionDep) -> Response:
    """Remove a schema, so that images may have any metadata."""
    show_again_if_refused(request, lambda refusal: step.page("schema_remove.html", refusal, old=None))
    await service.remove_schema(transaction, actor, step.owner_id, form.seen_version())
    return go_to(SCHEMA, step.team_id, done="removed")
