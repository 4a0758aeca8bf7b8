"""The rules of metadata schemas."""

from typing import Any
from uuid import UUID

import orjson

from image_api import audit
from image_api.actor import Actor, require_admin
from image_api.http.entity_tags import check_if_match
from image_api.metadata_schemas import queries, submissions
from image_api.metadata_schemas.rules import Declared
from image_api.metadata_schemas.schemas import DeclaredField, NewMetadataSchema
from image_api.metadata_schemas.templates import TEMPLATES
from image_api.teams import service as teams
from image_core import errors
from image_core.db import Record, Runner, Transaction, to_json

NO_SCHEMA: dict[str, Any] = {"fields": "[]", "updated_at": None, "revision": 0}


async def get_schema(runner: Runner, actor: Actor, team_id: UUID | None) -> tuple[UUID, Record | dict[str, Any]]:
    """Return the selected team's id and its schema.

    Raises:
        errors.TeamNotFound: The team does not exist.
        errors.TeamRequired: The team must be named.
    """
    owner_id = await teams.owning_team(runner, actor, team_id)
    return owner_id, await queries.find(runner, owner_id) or NO_SCHEMA


async def put_schema(
    transaction: Transaction, actor: Actor, team_id: UUID | None, body: NewMetadataSchema, if_match: str | None
) -> tuple[UUID, Record]:
    """Declare the fields of a team; its images stay unchanged.

    Raises:
        errors.TeamNotFound: The team does not exist.
        errors.TeamRequired: The team must be named.
        errors.ETagMismatch: The resource has changed since it was read.
    """
    fields = body.fields or TEMPLATES[str(body.template)]
    return await _replace(transaction, actor, team_id, [_stored(field) for field in fields], if_match)


async def remove_schema(transaction: Transaction, actor: Actor, team_id: UUID | None, if_match: str | None) -> None:
    """Remove a team's schema; its images stay unchanged.

    Raises:
        errors.TeamNotFound: The team does not exist.
        errors.TeamRequired: The team must be named.
        errors.ETagMismatch: The resource has changed since it was read.
    """
    await _replace(transaction, actor, team_id, [], if_match)


async def _replace(
    transaction: Transaction, actor: Actor, team_id: UUID | None, fields: list[dict[str, Any]], if_match: str | None
) -> tuple[UUID, Record]:
    require_admin(actor)
    owner_id = await teams.owning_team(transaction, actor, team_id)
    old = _require_found(await queries.lock(transaction, owner_id))
    check_if_match(if_match, old["revision"])
    new = _require_found(await queries.change(transaction, owner_id, to_json(fields)))
    await audit.record(
        transaction, actor, "metadata_schema.changed", ("team", owner_id), team_id=owner_id,
        before={"fields": orjson.loads(old["fields"])}, after={"fields": fields},
    )  # fmt: skip
    return owner_id, new


def _stored(field: DeclaredField) -> dict[str, Any]:
    return field.model_dump(mode="json", exclude_defaults=True)


def _require_found(found: Record | None) -> Record:
    if found is None:
        raise errors.TeamNotFound
    return found


async def declared_fields(runner: Runner, team_id: UUID) -> Declared:
    """Return the fields that a team declares, by name; empty if its metadata are unrestricted."""
    found = await queries.find(runner, team_id)
    return _by_name(found["fields"]) if found else {}


async def fields_of_all_teams(runner: Runner) -> list[Declared]:
    """Return the fields that each team declares, for an admin who lists images of all teams."""
    return [_by_name(row["fields"]) for row in await queries.all_fields(runner)]


def _by_name(fields: str) -> Declared:
    # They were checked when they were declared.
    return {field["name"]: DeclaredField.model_validate(field) for field in orjson.loads(fields)}


async def first_team_of_submissions(runner: Runner) -> UUID | None:
    """Return the oldest team with a schema of submissions, for a caller who sees all teams; None if there is none."""
    return await queries.first_team_with(runner, [submissions.pattern_of(word) for word in submissions.WORDS])
