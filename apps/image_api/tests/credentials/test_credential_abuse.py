"""What nobody may do with keys, each way tried."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import func, select, update

from image_api.actor import Role
from image_core import testing
from image_core.admin import ADMIN_USER_ID
from image_core.keys import api_keys
from image_core.models import credential, user
from image_core.testing import UserWithKey

from ..conftest import Api
from .test_named_credentials import create, patch, path_of, revoke, who


class TestAbuse:
    @pytest.fixture
    async def narrow(self, api: Api, member: UserWithKey) -> UserWithKey:
        """A key of the member's that may see to keys and read, no more."""
        return await testing.add_key(api.rows, member.user_id, member.team_id, scopes=["keys:self", "images:read"])

    @pytest.mark.parametrize("wanted", [["images:write"], ["images:read", "admin", "images:delete"], None])
    async def test_a_key_gives_no_scope_that_it_lacks(
        self, api: Api, member: UserWithKey, narrow: UserWithKey, wanted: Sequence[str] | None
    ) -> None:
        own = await create(api, narrow, scopes=["images:read"])
        body = await patch(api, member, own["id"], narrow, expected=403, scopes=wanted)
        assert body["code"] == "scope-missing"
        if wanted is not None:
            assert set(body["missing_scopes"]) == set(wanted) - {"images:read"}
            await create(api, narrow, expected=403, scopes=wanted)

    async def test_a_narrow_key_changes_revokes_and_rotates_no_wider_one(
        self, api: Api, member: UserWithKey, narrow: UserWithKey
    ) -> None:
        await patch(api, member, member.credential_id, narrow, expected=403, name="mine")
        assert (await revoke(api, member, member.credential_id, narrow)).status_code == 403
        rotate = f"/api/v1/user/{member.user_id}/credentials/rotate"
        wish = {"credential_id": str(member.credential_id)}
        answer = await api.client.post(rotate, headers=narrow.headers, json=wish)
        assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")
        assert (await who(api, member.api_key)).status_code == 200

    async def test_an_admin_with_a_narrow_key_does_not_become_one_by_its_other_key(self, api: Api) -> None:
        narrow = await testing.add_key(api.rows, ADMIN_USER_ID, None, scopes=["keys:self"])
        rotate = f"/api/v1/user/{ADMIN_USER_ID}/credentials/rotate"
        wish = {"credential_id": str(api.admin.credential_id)}
        assert (await api.client.post(rotate, headers=narrow.headers, json=wish)).status_code == 403
        await create(api, narrow, expected=403, scopes=["admin"])

    @pytest.mark.parametrize(
        "column",
        ["id", "user_id", "team_id", "is_default", "key_hash", "public_id", "previous_key_hash", "last_used_at",
         "expiry_warnings", "revoked_at", "revoked_reason", "revision", "created_at", "role"],
    )  # fmt: skip
    async def test_no_other_column_can_be_set(self, api: Api, member: UserWithKey, column: str) -> None:
        before = await api.rows.fetch(select(credential).order_by(credential.c.id))
        for body in (
            await create(api, member, expected=422, **{column: None}),
            await patch(api, member, member.credential_id, member, expected=422, **{column: None}),
        ):
            assert [error["field"] for error in body["errors"]] == [column]
        after = await api.rows.fetch(select(credential).order_by(credential.c.id))
        ignored = {"last_used_at", "last_used_address", "last_used_agent"}
        assert [{k: v for k, v in dict(row).items() if k not in ignored} for row in before] == [
            {k: v for k, v in dict(row).items() if k not in ignored} for row in after
        ]

    async def test_foreign_ids_in_every_place_are_not_found(
        self, api: Api, member: UserWithKey, colleague: UserWithKey, stranger: UserWithKey
    ) -> None:
        for other in (colleague, stranger):
            for of, credential_id, code in (
                (other, other.credential_id, "user-not-found"),
                (other, member.credential_id, "user-not-found"),
                (member, other.credential_id, "credential-not-found"),
            ):
                path = path_of(of, credential_id)
                for method, body in (("GET", None), ("PATCH", {"name": "mine"}), ("DELETE", None)):
                    answer = await api.client.request(method, path, headers=member.headers, json=body)
                    assert (answer.status_code, answer.json()["code"]) == (404, code), (method, path)
            for method, body in (("GET", None), ("POST", {"name": "mine"})):
                answer = await api.client.request(method, path_of(other), headers=member.headers, json=body)
                assert (answer.status_code, answer.json()["code"]) == (404, "user-not-found")
        untouched = select(func.count()).where(credential.c.name == "mine").select_from(credential)
        assert await api.rows.fetch_value(untouched) == 0

    async def test_an_admin_finds_a_credential_only_under_its_user(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        answer = await revoke(api, member, stranger.credential_id, api.admin)
        assert (answer.status_code, answer.json()["code"]) == (404, "credential-not-found")

    async def test_a_viewer_sees_to_its_own_keys_and_gains_nothing(self, api: Api, member: UserWithKey) -> None:
        viewer = await api.user(member.team_id, Role.VIEWER)
        await create(api, viewer, scopes=["images:read"])
        refused = await create(api, viewer, expected=403, scopes=["images:write"])
        assert refused["missing_scopes"] == ["images:write"]
        assert (await api.client.get(path_of(member), headers=viewer.headers)).status_code == 404

    async def test_without_the_scope_nobody_sees_to_keys(self, api: Api) -> None:
        reader = await api.user(scopes=("images:read",))
        body = await create(api, reader, expected=403)
        assert body["missing_scopes"] == ["keys:self"]
        assert (await api.client.get(path_of(reader), headers=reader.headers)).status_code == 403

    async def test_the_default_key_sees_to_no_keys(self, api: Api) -> None:
        await api.rows.execute(
            update(credential).where(credential.c.public_id == api_keys.DEFAULT_PUBLIC_ID).values(is_default=True)
        )
        headers = {"X-API-KEY": api_keys.DEFAULT_KEY}
        for method, path in (
            ("GET", path_of(ADMIN_USER_ID)),
            ("POST", path_of(ADMIN_USER_ID)),
            ("GET", path_of(ADMIN_USER_ID, api.admin.credential_id)),
            ("PATCH", path_of(ADMIN_USER_ID, api.admin.credential_id)),
            ("DELETE", path_of(ADMIN_USER_ID, api.admin.credential_id)),
        ):
            body = {"name": "x"} if method in ("POST", "PATCH") else None
            answer = await api.client.request(method, path, headers=headers, json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "default-key-must-be-rotated")

    async def test_a_key_that_was_just_ended_elsewhere_leaves_no_other_one_behind(
        self, api: Api, member: UserWithKey
    ) -> None:
        second = await create(api, member)
        assert (await who(api, member.api_key)).status_code == 200
        # Another instance revokes the key; this one still has it in its cache.
        await api.rows.execute(
            update(credential).where(credential.c.id == member.credential_id).values(revoked_at=func.now())
        )
        assert (await create(api, member, expected=401))["code"] == "api-key-invalid"
        await patch(api, member, second["id"], member, expected=401, expires_at=None)
        rotation = {"credential_id": second["id"]}
        answer = await api.client.post(f"{path_of(member)}/rotate", headers=member.headers, json=rotation)
        assert (answer.status_code, answer.json()["code"]) == (401, "api-key-invalid")

    @pytest.mark.parametrize(
        ("change", "answer"),
        [
            (update(credential).values(revoked_at=func.now()), (401, "api-key-invalid")),
            (update(credential).values(public_id="b" * 16), (401, "api-key-invalid")),
            (update(user).values(disabled_at=func.now()), (401, "user-disabled")),
            (update(user).values(role="member", scopes=["images:read"]), (403, "scope-missing")),
        ],
        ids=["revoked", "rotated", "disabled", "no admin any more"],
    )
    async def test_an_admin_that_was_just_ended_elsewhere_leaves_nobody_behind(
        self, api: Api, change: Any, answer: tuple[int, str]
    ) -> None:
        person = await api.person()
        admin = await api.user(role=Role.ADMIN, team_id=person.team_id)
        assert (await who(api, admin.api_key)).status_code == 200
        is_admins = {"user": user.c.id == admin.user_id, "credential": credential.c.id == admin.credential_id}
        await api.rows.execute(change.where(is_admins[change.table.name]))
        team = f"/api/v1/teams/{person.team_id}"
        for method, path, body in (
            ("POST", f"{team}/users", {"name": "Mallory"}),
            ("POST", f"{team}/invitations", {"email": "mallory@example.org"}),
            ("POST", f"/api/v1/users/{person.user_id}/password-reset", None),
            ("PATCH", f"/api/v1/users/{person.user_id}", {"role": "admin"}),
            ("POST", path_of(person), {"name": "Mallory's"}),
        ):
            refused = await api.client.request(method, path, headers=admin.headers, json=body)
            assert (refused.status_code, refused.json()["code"]) == answer, path

    async def test_a_scope_that_the_user_lost_is_lost_to_its_keys(self, api: Api, member: UserWithKey) -> None:
        made = await create(api, member, scopes=["images:write"])
        await api.rows.execute(
            update(user).where(user.c.id == member.user_id).values(scopes=["images:read", "keys:self"])
        )
        api.forget_keys()
        assert (await who(api, made["api_key"])).json()["scopes"] == []
