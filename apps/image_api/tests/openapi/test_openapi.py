"""The OpenAPI document is true: every operation is called, every answer compared, every scope tried."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from unittest.mock import AsyncMock
from uuid import UUID

import httpx2
import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_keep
from starlette.requests import Request

from image_api import auth
from image_api.actor import Actor, Role, Scope
from image_api.app import ROUTERS
from image_api.idempotency.route import takes_key
from image_api.openapi.operations import api_routes
from image_core import errors, models, testing
from image_core.ids import new_id
from image_core.images.similarity import DESCRIPTOR_DIMENSIONS
from image_core.keys import api_keys
from image_core.models import idempotency_key, invitation, password_reset, session, user
from image_core.testing import UserWithKey

from ..conftest import PASSWORD, Api, Person
from ..picture_server import serving, whole
from ..pictures import picture
from ..uploading import count

OPERATIONS = sorted(
    {(m, path) for path, route in api_routes(ROUTERS) if route.include_in_schema for m in route.methods or ()}
)
ALL_SCOPES = tuple(Scope)
QUERIES = {"/api/v1/images/facets": {"field": "place"}}
TAKING_KEYS = sorted(
    path for path, route in api_routes(ROUTERS) if route.include_in_schema and takes_key(route.dependant)
)


OF_MANY: dict[str, dict[str, Any]] = {
    "/api/v1/images/batch": {"action": "tag", "tags": ["fjord"]},
    "/api/v1/images/batch-get": {"include": ["analyses", "delivery"]},
}
OF_A_TEAM = tuple(
    f"/api/v1/{name}"
    for name in (
        "credits",
        "webhooks",
        "usage",
        "metadata-schema",
        "duplicates",
        "delivery-keys",
        "presets",
        "images/check",
        "collections",
        "saved-searches",
        "imports",
        "exports",
        "links",
        "upload",
        "limits",
    )
)
UPLOADS = {("POST", "/api/v1/images"), ("POST", "/api/v1/upload")}
AUTH = "/api/v1/auth"
OF_A_SESSION = {("POST", f"{AUTH}/{name}") for name in ("refresh", "logout", "password")} | {("GET", f"{AUTH}/session")}
BODIES_OF_PEOPLE = {
    ("POST", f"{AUTH}/login"): ("email", "password"),
    ("POST", f"{AUTH}/register"): ("email", "password", "name", "invitation_token"),
    ("POST", f"{AUTH}/password-reset"): ("token", "password"),
    ("POST", f"{AUTH}/password"): ("current_password", "password"),
    ("POST", "/api/v1/teams/{team_id}/invitations"): ("email",),
}


async def people_of(api: Api, owner: UserWithKey, by: UserWithKey | None) -> tuple[Person, UUID, UUID, dict[str, str]]:
    """Somebody who can sign in, a session of the caller's, and tokens that register and reset."""
    person = await api.person(team_id=owner.team_id)
    if by is not None:
        password_hash = await api.services.passwords.hash(PASSWORD)
        values = {"email": f"{new_id()}@example.org", "password_hash": password_hash}
        await api.rows.execute(update(user).where(user.c.id == by.user_id).values(**values))
    session_id, invitation_id, soon = new_id(), new_id(), datetime.now(UTC) + timedelta(hours=1)
    holder = by or person
    await api.rows.execute(insert(session).values(id=session_id, user_id=holder.user_id, expires_at=soon))
    tokens = {"invitation_token": new_id().hex, "token": new_id().hex}
    of_invitation, of_reset = (sha256(token.encode()).digest() for token in tokens.values())
    invited = {"id": invitation_id, "team_id": owner.team_id, "email": person.email, "role": "member"}
    await api.rows.execute(insert(invitation).values(**invited, token_hash=of_invitation, expires_at=soon))
    reset = {"id": new_id(), "user_id": person.user_id, "token_hash": of_reset, "expires_at": soon}
    await api.rows.execute(insert(password_reset).values(**reset))
    return person, session_id, invitation_id, tokens


async def request_of_people(
    api: Api, by: UserWithKey | None, person: Person, tokens: dict[str, str], operation: tuple[str, str]
) -> dict[str, Any]:
    """The headers and the body of an operation on people, where it wants other ones than most."""
    request: dict[str, Any] = {"headers": await api.bearer(by)} if by and operation in OF_A_SESSION else {}
    names = BODIES_OF_PEOPLE.get(operation, ())
    if "invitation_token" in names:
        # Who registers has no account yet.
        await api.rows.execute(update(user).where(user.c.id == person.user_id).values(email=None))
    everything = {"email": person.email, "password": PASSWORD, "current_password": PASSWORD, "name": "Ada", **tokens}
    return request | ({"json": {name: everything[name] for name in names}} if names else {})


async def call(
    api: Api,
    method: str,
    path: str,
    by: UserWithKey | None,
    owner: UserWithKey | None = None,
    holder: UserWithKey | None = None,
) -> httpx2.Response:
    """Calls an operation so that it succeeds for a caller with every right on what is the owner's team's.

    What belongs to one user alone is the holder's.
    """
    url, request = await prepare(api, method, path, by, owner or await api.user(), holder)
    if path != "/api/v1/images/import":
        return await api.client.request(method, url, **request)
    async with serving(whole(picture(12))) as source:
        return await api.client.request(method, url, **request, json={"url": source})


BEFORE = {
    "reprocess": {"status": "failed", "failure_code": "image-truncated"},
    "restore": {"deleted_at": datetime(2026, 1, 1, tzinfo=UTC)},
}
"""What an image must be like for an operation, by the end of its path."""
OPERATIONS_BEFORE: dict[str, dict[str, Any]] = {"manifest": {"kind": "export", "status": "succeeded"}}
"""What long work must be like."""


async def prepare(
    api: Api, method: str, path: str, by: UserWithKey | None, owner: UserWithKey, holder: UserWithKey | None = None
) -> tuple[str, dict[str, Any]]:
    """Makes whatever an operation needs to succeed, and returns its URL and the request."""
    assert owner.team_id is not None
    # Only who uploaded an image may trash it without the scope for that.
    uploader = holder if holder and "/images/{image_id}" in path else owner
    image_id = UUID(str((await api.upload(uploader, picture(11), metadata='{"place": "Oslo"}'))["id"]))
    name = f"derivatives/{owner.team_id}/{image_id}/thumb.webp"
    await api.services.derivatives.put(name, b"x", "image/webp")
    await testing.add_derivative(api.rows, image_id, name, size_bytes=1)
    if columns := BEFORE.get(path.rpartition("/")[2]):
        await api.set_row(image_id, **columns)
    empties = (method, path) == ("DELETE", "/api/v1/teams/{team_id}")
    team_id: UUID | None = await api.team() if empties else owner.team_id
    person, session_id, invitation_id, tokens = await people_of(api, owner, by)
    # Everybody may rotate a key of its own, so that is whose key is rotated unless a holder is named.
    holder = holder or (by if by is not None and path.endswith("/rotate") else owner)
    user_id = person.user_id if path.endswith("/password-reset") else holder.user_id
    ids = {
        "team_id": team_id,
        "user_id": user_id,
        "credential_id": holder.credential_id,
        "image_id": image_id,
        "session_id": session_id,
        "invitation_id": invitation_id,
        "decision_id": await testing.add_decision(api.rows, owner.team_id, image_id),
        "analysis_id": await testing.add_analysis(api.rows, owner.team_id, (await api.row(image_id))["sha256"]),
        "saved_search_id": await testing.add_saved_search(api.rows, owner.team_id),
        "operation_id": await testing.add_operation(
            api.rows, owner.team_id, holder.user_id, **OPERATIONS_BEFORE.get(path.rpartition("/")[2], {})
        ),
        "import_source_id": await testing.add_import_source(api.rows, owner.team_id),
        "collection_id": await testing.add_collection(api.rows, owner.team_id, [image_id]),
        "link_id": await testing.add_share_link(api.rows, owner.team_id, [image_id]),
        "dead_letter_id": await testing.add_dead_letter(api.rows, owner.team_id),
        "webhook_id": (webhook_id := await testing.add_webhook(api.rows, owner.team_id)),
        "delivery_id": await testing.add_webhook_delivery(api.rows, owner.team_id, webhook_id),
        "upload_id": await testing.add_upload(api.rows, owner.team_id),
        "delivery_key_id": await testing.add_delivery_key(
            api.rows, owner.team_id, "verifying" if path.endswith("/retire") else "active"
        ),
    }
    name = await own_preset(api, owner.team_id) if method == "DELETE" else "thumb"
    url = path.format(**ids, preset="thumb", code="image-not-found", name=name, month="2026-03")
    request: dict[str, Any] = {"headers": dict(by.headers) if by else {}, "params": query_of(path, by, team_id)}
    if path.startswith(AUTH) or path.endswith("/invitations"):
        request |= await request_of_people(api, by, person, tokens, (method, path))
    if (method, path) in UPLOADS:
        request |= {"content": picture(12), "params": {"team_id": str(team_id)}}
        request["headers"]["content-type"] = "image/png"
    elif (method, path) == ("POST", "/api/v1/images/import"):
        request |= {"params": {"team_id": str(team_id)}}
    elif path.endswith("/similar"):
        await api.set_row(image_id, status="ready", width=40, height=30, frames=1, ready_at=datetime.now(UTC))
        await testing.add_vector(api.rows, owner.team_id, image_id, [1.0] * DESCRIPTOR_DIMENSIONS)
    elif (method, path) == ("POST", "/api/v1/duplicates/decisions"):
        other_id = await testing.add_image(api.rows, owner.team_id)
        request["json"] = {"image_ids": [str(image_id), str(other_id)], "decision": "not-duplicate"}
    elif names_images(method, path):
        request |= request_about(path, image_id)
    elif path in ("/api/v1/analyze", "/api/v1/classify"):
        request |= {"json": {"image_id": str(image_id)}, "params": {"wait": 0}}
    else:
        if "_id}" not in path and path.startswith(OF_A_TEAM):
            request["params"] = {"team_id": str(team_id)}
        request.setdefault("json", body_of(method, path, owner, ids["collection_id"], ids["import_source_id"]))
    return url, request


def query_of(path: str, by: UserWithKey | None, team_id: UUID | None) -> dict[str, Any]:
    """The query that an operation needs; an admin names a team where the operation is about one."""
    one_of_teams = ("/api/v1/images/timeline", "/api/v1/changes", "/api/v1/events")
    of_one_team = path.startswith(one_of_teams) and by is not None and by.team_id is None
    return {"team_id": str(team_id)} if of_one_team else QUERIES.get(path, {})


async def own_preset(api: Api, team_id: UUID) -> str:
    """The name of a preset that is not built in."""
    values = {"team_id": team_id, "name": "card", "width": 640}
    await api.rows.execute(insert_or_keep(models.preset).values(**values).on_conflict_do_nothing())
    return "card"


def names_images(method: str, path: str) -> bool:
    """Whether the body of an operation names images, or their addresses."""
    is_of_members = path.startswith("/api/v1/collections/{") and path.endswith(("/images", "/order"))
    return path in OF_MANY or path.startswith("/api/v1/delivery/") or (is_of_members and method != "GET")


def request_about(path: str, image_id: UUID) -> dict[str, Any]:
    """The least that an operation takes whose body names images or their addresses."""
    if path in OF_MANY:
        return {"json": {"ids": [str(image_id)], **OF_MANY[path]}}
    if path.startswith("/api/v1/collections/"):
        return {"json": {"image_ids": [str(image_id)]}}
    if path.endswith("/sign"):
        return {"json": {"items": [{"image_id": str(image_id), "spec": "thumb", "format": "auto"}]}}
    if path.endswith("/preview"):
        return {"json": {"image_id": str(image_id), "spec": "t-w640"}}
    return {"content": b'{"url": "https://pictures.test/i/public/x"}'}


def body_of(
    method: str, path: str, owner: UserWithKey, collection_id: UUID, import_source_id: UUID
) -> dict[str, Any] | None:
    """The least that an operation takes as its body."""
    if method == "PUT":
        return {"width": 640} if "/presets/" in path else {"template": "photo-submission"}
    if method == "PATCH":
        return {}
    named = {"name": "Ada"}
    ends: dict[str, dict[str, Any]] = {"teams": named, "users": named, "credentials": named}
    ends |= {"delivery-keys": named, "collections": named, "links": {"collection_id": str(collection_id)}}
    ends |= {"saved-searches": named | {"query": "tag=fjord"}}
    ends |= {"imports": {"source": f"source-{import_source_id.hex[-12:]}"}}
    ends |= {"reconcile": {}, "exports": {"filter": {"tag": "fjord"}}}
    ends |= {"import-sources": {"team_id": str(owner.team_id), "name": "old-site", "bucket": "example-old-site"}}
    ends |= {"upload-tokens": {}, "uploads": {"content_type": "image/png", "size_bytes": 100}}
    ends |= {"check-hashes": {"sha256": [sha256(b"file").hexdigest()]}}
    ends |= {"refill": {"add": 5}, "report": {"key": owner.api_key}}
    bodies = {
        "/api/v1/admin/reprocess": {"failed": True},
        "/api/v1/webhooks": {"url": "https://hooks.example.com/in"},
        "/api/v1/webhooks/{webhook_id}/replay": {"since": "2026-03-01T12:00:00Z"},
    }
    return bodies.get(path) or ends.get(path.rpartition("/")[2]) if method == "POST" else None


async def count_everything(api: Api) -> dict[str, int]:
    # Requests are counted once a minute, whatever they did.
    tables = models.metadata.tables.items()
    return {name: await count(api, table) for name, table in tables if table is not models.request_usage}


def strings_of(value: Any) -> Iterator[str]:
    """Every string in a JSON document."""
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings_of(each)


def operation_of(api: Api, method: str, path: str) -> dict[str, Any]:
    operation: dict[str, Any] = api.truth.document["paths"][path][method.lower()]
    return operation


def test_the_document_knows_every_route() -> None:
    assert len(OPERATIONS) >= 26
    assert {path for _, path in OPERATIONS} >= {"/api/v1/images", "/api/v1/whoami", "/health/ready", "/metrics"}


@pytest.mark.parametrize("path", TAKING_KEYS)
async def test_what_is_sent_again_under_its_key_is_answered_again_without_secrets(
    api: Api, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(api.client.headers, "Idempotency-Key", "k")
    first = await call(api, "POST", path, api.admin)
    counted = await count_everything(api)
    asked = first.request
    again = await api.client.post(asked.url, headers=asked.headers, content=asked.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert await count_everything(api) == counted
    told, told_again = first.json(), again.json()
    secret = {name for name in told if told_again[name] is None and told[name] is not None}
    assert told_again == told | dict.fromkeys(secret)
    kept = repr([list(row) for row in await api.rows.fetch(select(idempotency_key))])
    assert [name for name in secret if told[name] in kept] == []
    assert [field for field in strings_of(told_again) if api_keys.public_id_of(field)] == []


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_a_key_that_lacks_a_scope_is_told_which(api: Api, method: str, path: str) -> None:
    required = operation_of(api, method, path).get("x-required-scopes")
    if required is None:
        answer = await call(api, method, path, None)
        assert answer.status_code < 300, answer.text
        return
    lacking = tuple(scope for scope in ALL_SCOPES if scope not in required)
    # An admin needs no scope for its own credentials but `admin`.
    role = Role.MEMBER if "{user_id}/credentials" in path else Role.ADMIN
    by = await api.user(role=role, scopes=lacking)
    answer = await call(api, method, path, by, holder=by if role is Role.MEMBER else None)
    if required:
        assert answer.status_code == 403
        assert answer.json()["missing_scopes"] == required
    else:
        assert answer.status_code < 300, answer.text


async def test_operations_with_scopes_declare_that_they_need_a_key(api: Api) -> None:
    undeclared = [
        (method, path)
        for method, path in OPERATIONS
        if "x-required-scopes" in (operation := operation_of(api, method, path))
        and not {"401", "403", "429"} <= operation["responses"].keys()
    ]
    assert undeclared == []


async def test_a_key_that_lacks_several_scopes_is_told_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    actor = Actor(new_id(), "Ada", None, Role.ADMIN, frozenset(), new_id(), "im_x", None, is_default_key=False)
    monkeypatch.setattr(auth, "_authenticate_and_count", AsyncMock(return_value=actor))
    with pytest.raises(errors.ScopeMissing) as caught:
        await auth.RequireScope(Scope.IMAGES_READ, Scope.IMAGES_WRITE)(Request({"type": "http"}))
    assert caught.value.extra["missing_scopes"] == ["images:read", "images:write"]


async def test_every_operation_says_what_it_does_and_shows_an_example(api: Api) -> None:
    components = api.truth.document["components"]["schemas"]
    lacking = []
    for method, path in OPERATIONS:
        operation = operation_of(api, method, path)
        lacking += [f"{method} {path}: {name}" for name in ("summary", "description") if not operation[name]]
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        schemas = [each["content"]["application/json"]["schema"] for each in bodies if is_json(each)]
        # A body that is one of several kinds is described where it stands.
        names = [name_of(schema) for schema in schemas if "examples" not in schema]
        lacking += [f"{method} {path}: example of {name}" for name in names if not components[name].get("examples")]
    assert lacking == []


def is_json(body: dict[str, Any]) -> bool:
    return "application/json" in body.get("content", {})


def name_of(schema: dict[str, Any]) -> str:
    reference: str = schema.get("$ref") or schema["anyOf"][0]["$ref"]
    return reference.rpartition("/")[2]


async def test_every_example_is_valid(api: Api) -> None:
    document = api.truth.document
    for schema in document["components"]["schemas"].values():
        for example in schema.get("examples", []):
            Draft202012Validator({**schema, "components": document["components"]}).validate(example)


async def test_the_document_is_served_as_openapi_3_1(api: Api) -> None:
    served = (await api.client.get("/openapi.json")).json()
    assert served["openapi"].startswith("3.1")
    assert served == api.truth.document


async def test_what_counts_values_shows_the_filters_of_a_list_without_its_pages(api: Api) -> None:
    def shown(path: str) -> set[str]:
        return {parameter["name"] for parameter in operation_of(api, "get", path)["parameters"]}

    assert shown("/api/v1/images") - shown("/api/v1/images/facets") == {
        "include", "order_by", "include_total", "limit", "cursor",
    }  # fmt: skip
