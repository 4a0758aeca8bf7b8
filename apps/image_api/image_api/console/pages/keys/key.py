"""`/console/users/{user_id}/keys/{credential_id}`: one API key: change it, rotate it, revoke it."""

from typing import Annotated, Any, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused, show_secret
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.keys.keys import Keeper, Owner, chosen_scopes, find_owner, keys_path, shown_key
from image_api.console.policy import HOME
from image_api.credentials import rotation, schemas, service
from image_api.dependencies import ServicesDep, TeamQuery, TransactionDep
from image_api.idempotency.route import CreationDep
from image_core import errors
from image_core.db import Record

router = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
_CHANGE = same_as("PATCH /api/v1/users/{user_id}/credentials/{credential_id}")
_ROTATE = same_as("POST /api/v1/users/{user_id}/credentials/rotate")
_REVOKE = same_as("DELETE /api/v1/users/{user_id}/credentials/{credential_id}")


class Step(NamedTuple):
    """A page that changes one key, with the key as it was before."""

    request: Request
    owner: Owner
    row: Record
    team_id: UUID | None

    def texts(self) -> dict[str, str]:
        """Return what the fields show of the key: of its end the day alone, in UTC."""
        ends_at = self.row["expires_at"]
        return {
            "name": self.row["name"], "expires_at": "" if ends_at is None else f"{ends_at:%Y-%m-%d}",
            "address_ranges": " ".join(self.row["address_ranges"] or ()),
        }  # fmt: skip

    def change(self, form: Form, refusal: Refusal | None) -> Response:
        """Return the form that changes the key, with what was sent beside what somebody else has stored meanwhile."""
        now = self.texts()
        all_scopes = form.get("all_scopes") == "true" if form.fields else self.row["scopes"] is None
        scopes = form.all("scopes") if form.fields else self.row["scopes"] or []
        return self.page(
            "key_change.html", form, refusal, now=now, all_scopes=all_scopes, scopes=scopes,
            sent={name: form.get(name) for name in now} if form.fields else now,
            known_scopes=sorted({*self.owner.scopes, *(self.row["scopes"] or ())}),
        )  # fmt: skip

    def page(self, template: str, form: Form, refusal: Refusal | None, **more: Any) -> Response:
        """Return the page, with what was sent and refused."""
        values = {
            "owner": self.owner, "key": shown_key(self.row), "keys_path": keys_path, "refusal": refusal,
            "reason": form.get("reason"), "expires_at": form.get("expires_at"),
            "grace": form.get("grace_period_seconds") or "86400", "revision": self.row["revision"], **more,
        }  # fmt: skip
        return render(self.request, template, values, team_id=self.team_id)


async def _step(
    request: Request, user_id: UUID, credential_id: UUID, actor: Keeper, services: ServicesDep,
    team_id: TeamQuery = None,
) -> Step:  # fmt: skip
    """Return what the page shows.

    Raises:
        errors.CredentialNotFound: There is none, or it has been revoked.
    """
    row = await service.get_credential(services.database, actor, user_id, credential_id)
    if row["revoked_at"] is not None:
        raise errors.CredentialNotFound("This key has been revoked.")
    return Step(request, await find_owner(services, actor, user_id), row, team_id)


StepDep = Annotated[Step, Depends(_step)]
"""Declared after the form, which is compared with the session first."""


@router.get("/users/{user_id}/keys/{credential_id}/change", openapi_extra=_CHANGE)
async def show_change(step: StepDep) -> Response:
    """Show the form that changes a key."""
    return step.change(Form(()), None)


@router.post("/users/{user_id}/keys/{credential_id}/change", openapi_extra=_CHANGE)
async def change(
    user_id: UUID, credential_id: UUID, request: Request, actor: Keeper, form: FormDep, step: StepDep,
    transaction: TransactionDep,
) -> Response:  # fmt: skip
    """Change a key, unless somebody has changed it since the form was shown."""
    show_again_if_refused(request, lambda refusal: step.change(form, refusal))
    patch = form.parse(schemas.CredentialPatch, **_changed(form, step)).model_dump(exclude_unset=True)
    await service.change_credential(transaction, actor, user_id, credential_id, patch, form.seen_version())
    transaction.on_commit.append(lambda: request.app.state.key_cache.forget(credential_id))
    return go_to(step.owner.path, step.team_id, done="changed")


def _changed(form: Form, step: Step) -> dict[str, object]:
    """Return the fields that differ from the key; the day of its end alone does not change the time of the day.

    Raises:
        errors.RequestInvalid: No scope is chosen.
    """
    shown, before = step.texts(), step.row["scopes"]
    sent: dict[str, object] = {
        "name": form.get("name"), "expires_at": form.get("expires_at") or None,
        "address_ranges": form.get("address_ranges").split() or None,
    }  # fmt: skip
    patch = {name: value for name, value in sent.items() if form.get(name).strip() != shown[name]}
    scopes = None if form.get("all_scopes") == "true" else chosen_scopes(form)
    is_same = scopes == before if scopes is None or before is None else set(scopes) == set(before)
    return patch if is_same else patch | {"scopes": scopes}


@router.get("/users/{user_id}/keys/{credential_id}/rotate", openapi_extra=_ROTATE)
async def show_rotation(step: StepDep) -> Response:
    """Say what a rotation does, and offer the time for which the old key keeps working."""
    return step.page("key_rotate.html", Form(()), None)


@router.post("/users/{user_id}/keys/{credential_id}/rotate", openapi_extra=_ROTATE)
async def rotate(
    user_id: UUID, credential_id: UUID, request: Request, actor: Keeper, form: FormDep, transaction: CreationDep,
    step: StepDep, services: ServicesDep,
) -> Response:  # fmt: skip
    """Rotate a key and show the new one once. Sent twice, the form rotates once, unlike the operation."""
    show_again_if_refused(request, lambda refusal: step.page("key_rotate.html", form, refusal))
    body = form.parse(
        schemas.Rotation, credential_id=credential_id, grace_period_seconds=form.whole_number("grace_period_seconds"),
        force=form.get("force") == "true", reason=form.get("reason") or None,
        expires_at=form.get("expires_at") or None,
    )  # fmt: skip
    rotated = await rotation.rotate(transaction, actor, user_id, body)
    transaction.on_commit.append(lambda: request.app.state.key_cache.forget(credential_id))
    transaction.on_commit.append(lambda: services.session_cache.forget_user(user_id))
    return show_secret(
        request, "The new key", rotated.key.api_key, back=step.owner.path, team_id=step.team_id, label="API key",
        lead=f"For {step.row['name']}. It works at once.", is_api_key=True, previous=rotated.previous,
        former_prefix=schemas.shown(step.row)["key_prefix"],
    )  # fmt: skip


@router.get("/users/{user_id}/keys/{credential_id}/revoke", openapi_extra=_REVOKE)
async def show_revocation(step: StepDep) -> Response:
    """Say what revoking a key does."""
    return step.page("key_revoke.html", Form(()), None)


@router.post("/users/{user_id}/keys/{credential_id}/revoke", openapi_extra=_REVOKE)
async def revoke(
    user_id: UUID, credential_id: UUID, request: Request, actor: Keeper, form: FormDep, step: StepDep,
    transaction: TransactionDep,
) -> Response:  # fmt: skip
    """Revoke a key."""
    show_again_if_refused(request, lambda refusal: step.page("key_revoke.html", form, refusal))
    await service.revoke_credential(transaction, actor, user_id, credential_id, None)
    transaction.on_commit.append(lambda: request.app.state.key_cache.forget(credential_id))
    return go_to(step.owner.path, step.team_id, done="revoked")
