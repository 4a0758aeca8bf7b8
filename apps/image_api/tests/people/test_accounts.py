"""Invitations, registration, and how a password is changed or reset."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import func, select, update

from image_api.actor import DEFAULT_SCOPES, Role
from image_api.proofs.passwords import Passwords
from image_core.models import audit_event, invitation, password_reset, user
from image_core.testing import UserWithKey

from ..conftest import PASSWORD, Api, MakeApi, Person

AUTH, WHO = "/api/v1/auth", "/api/v1/whoami"
EMAIL, OTHER_PASSWORD = "ada@example.org", "staple battery horse"


async def invite(api: Api, team_id: Any, **body: Any) -> dict[str, Any]:
    path = f"/api/v1/teams/{team_id}/invitations"
    answer = await api.client.post(path, headers=api.admin.headers, json={"email": EMAIL, **body})
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    created: dict[str, Any] = answer.json()
    return created


async def register(api: Api, token: str | None = None, **body: Any) -> httpx2.Response:
    wanted = {"email": EMAIL, "name": "Ada", "password": PASSWORD, **body}
    if token is not None:
        wanted["invitation_token"] = token
    return await api.client.post(f"{AUTH}/register", json=wanted)


async def code_of(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def reset_token(api: Api, user_id: Any, **body: Any) -> str:
    answer = await api.client.post(f"/api/v1/users/{user_id}/password-reset", headers=api.admin.headers, json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["token"])


async def reset(api: Api, token: str, password: str = OTHER_PASSWORD) -> httpx2.Response:
    return await api.client.post(f"{AUTH}/password-reset", json={"token": token, "password": password})


async def user_named(api: Api, email: str) -> Any:
    return await api.rows.fetch_one(select(user).where(user.c.email == email))


class TestInvitations:
    async def test_who_was_invited_joins_the_team_in_the_role(self, api: Api) -> None:
        team_id = await api.team()
        created = await invite(api, team_id, role="viewer")
        assert (await register(api, created["token"], email=EMAIL.upper())).status_code == 202
        token = (await api.login(EMAIL)).json()["access_token"]
        who = (await api.client.get(WHO, headers={"Authorization": f"Bearer {token}"})).json()
        assert (who["team_id"], who["role"]) == (str(team_id), "viewer")
        assert who["scopes"] == sorted(DEFAULT_SCOPES[Role.VIEWER])

    async def test_an_invitation_is_listed_without_its_token_and_can_be_revoked(self, api: Api) -> None:
        team_id = await api.team()
        created = await invite(api, team_id)
        path = f"/api/v1/teams/{team_id}/invitations"
        listed = await api.client.get(path, headers=api.admin.headers)
        assert [each["id"] for each in listed.json()["items"]] == [created["id"]]
        assert created["token"] not in listed.text
        elsewhere = f"/api/v1/teams/{await api.team()}/invitations/{created['id']}"
        assert (await api.client.delete(elsewhere, headers=api.admin.headers)).status_code == 404
        revoke = f"{path}/{created['id']}"
        assert (await api.client.delete(revoke, headers=api.admin.headers)).status_code == 204
        assert (await api.client.delete(revoke, headers=api.admin.headers)).status_code == 404
        assert await code_of(await register(api, created["token"])) == (404, "invitation-not-found")

    async def test_pages_of_invitations_follow_each_other(self, api: Api) -> None:
        team_id = await api.team()
        made = [(await invite(api, team_id, email=f"{n}@example.org"))["id"] for n in range(3)]
        path, seen, cursor = f"/api/v1/teams/{team_id}/invitations", [], None
        for _ in range(3):
            parameters = {"limit": 1} | ({"cursor": cursor} if cursor else {})
            page = (await api.client.get(path, headers=api.admin.headers, params=parameters)).json()
            seen += [each["id"] for each in page["items"]]
            cursor = page["next_cursor"]
        assert seen == made[::-1]

    async def test_an_invitation_that_expired_opens_nothing(self, api: Api) -> None:
        created = await invite(api, await api.team())
        await api.rows.execute(update(invitation).values(expires_at=func.now()))
        assert await code_of(await register(api, created["token"])) == (404, "invitation-not-found")

    async def test_an_invitation_is_for_its_address_alone(self, api: Api) -> None:
        created = await invite(api, await api.team())
        answer = await register(api, created["token"], email="eve@example.org")
        assert answer.json()["errors"][0]["code"] == "email-not-invited"
        assert (await register(api, created["token"])).status_code == 202

    async def test_of_several_who_use_one_invitation_at_once_one_gets_it(self, api: Api) -> None:
        created = await invite(api, await api.team())
        answers = await asyncio.gather(*(register(api, created["token"]) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [202, 404, 404, 404, 404]

    async def test_who_was_invited_is_told_that_the_address_is_taken_and_keeps_the_invitation(self, api: Api) -> None:
        created = await invite(api, await api.team())
        existing = await api.person(email=EMAIL)
        assert await code_of(await register(api, created["token"])) == (409, "email-taken")
        await api.rows.execute(update(user).where(user.c.id == existing.user_id).values(email=None))
        assert (await register(api, created["token"])).status_code == 202

    async def test_only_an_admin_invites_and_resets(self, api: Api, member: UserWithKey) -> None:
        for path, body in (
            (f"/api/v1/teams/{member.team_id}/invitations", {"email": EMAIL, "role": "admin"}),
            (f"/api/v1/users/{member.user_id}/password-reset", {}),
        ):
            answer = await api.client.post(path, headers=member.headers, json=body)
            assert answer.status_code == 403
        listed = await api.client.get(f"/api/v1/teams/{member.team_id}/invitations", headers=member.headers)
        assert listed.status_code == 403

    async def test_a_team_that_is_not_there_invites_nobody(self, api: Api) -> None:
        path = f"/api/v1/teams/{uuid4()}/invitations"
        answer = await api.client.post(path, headers=api.admin.headers, json={"email": EMAIL})
        assert await code_of(answer) == (404, "team-not-found")


class TestRegistration:
    async def test_without_an_invitation_it_is_closed(self, api: Api) -> None:
        assert await code_of(await register(api)) == (403, "registration-closed")

    async def test_where_it_is_open_one_becomes_a_member_of_the_team_that_the_setting_names(
        self, api: Api, make_api: MakeApi
    ) -> None:
        team_id = await api.team()
        async with make_api(open_registration_team_id=team_id) as opened:
            assert (await register(opened)).json() == {"status": "accepted"}
            row = await user_named(opened, EMAIL)
            assert (row["team_id"], row["role"]) == (team_id, "member")
            assert row["scopes"] == list(DEFAULT_SCOPES[Role.MEMBER])

    async def test_an_address_that_is_taken_costs_and_answers_the_same(
        self, api: Api, make_api: MakeApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hashed: list[str] = []
        hash_ = Passwords.hash

        async def counted(self: Passwords, password: str) -> str:
            hashed.append(password)
            return await hash_(self, password)

        async with make_api(open_registration_team_id=await api.team()) as opened:
            before = await opened.person(email=EMAIL)
            monkeypatch.setattr(Passwords, "hash", counted)
            answers = [await register(opened, email=email, password=OTHER_PASSWORD) for email in (EMAIL, "new@b.org")]
            assert len(hashed) == 2
            assert [(answer.status_code, answer.content) for answer in answers] == [(202, answers[0].content)] * 2
            assert (await opened.login(EMAIL, OTHER_PASSWORD)).status_code == 401
            assert (await opened.login(EMAIL)).status_code == 200
            row = await opened.rows.fetch_one(
                select(audit_event).where(audit_event.c.action == "user.registration_repeated")
            )
            assert row is not None
            assert row["target_id"] == before.user_id

    @pytest.mark.parametrize(
        "more",
        [
            {"role": "admin"},
            {"scopes": ["admin"]},
            {"team_id": str(uuid4())},
            {"id": str(uuid4())},
            {"disabled_at": None},
        ],
    )
    async def test_nobody_chooses_a_role_scopes_or_a_team(self, api: Api, more: dict[str, Any]) -> None:
        created = await invite(api, await api.team())
        answer = await register(api, created["token"], **more)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] in more

    async def test_a_setting_that_names_no_team_opens_nothing(self, make_api: MakeApi) -> None:
        async with make_api(open_registration_team_id=uuid4()) as api:
            assert await code_of(await register(api)) == (403, "registration-closed")

    @pytest.mark.parametrize(
        ("password", "code"),
        [
            ("fourteen chars", "password-length"), ("x" * 129, "password-length"), ("ﬀ" * 65, "password-length"),
            ("Password123456789", "password-common"), ("a" * 15, "password-common"),
            (EMAIL, "password-is-email"), (EMAIL.upper(), "password-is-email"),
        ],
    )  # fmt: skip
    async def test_a_password_that_is_guessed_first_is_refused(self, api: Api, password: str, code: str) -> None:
        created = await invite(api, await api.team())
        answer = await register(api, created["token"], password=password)
        assert answer.json()["errors"][0]["code"] == code
        assert password not in answer.text
        assert (await register(api, created["token"])).status_code == 202

    async def test_a_password_is_the_same_however_its_letters_are_composed(self, api: Api) -> None:
        created = await invite(api, await api.team())
        await register(api, created["token"], password="cafe\u0301 au lait, ﬁne")
        assert (await api.login(EMAIL, "caf\u00e9 au lait, fine")).status_code == 200

    async def test_no_address_password_or_token_is_audited_or_kept(self, api: Api) -> None:
        created = await invite(api, await api.team())
        await register(api, created["token"])
        written = repr([dict(row) for row in await api.rows.fetch(select(audit_event))])
        kept = repr([dict(row) for row in await api.rows.fetch(select(invitation))])
        for secret in (EMAIL, PASSWORD, created["token"]):
            assert secret not in written
        assert created["token"] not in kept
        assert "user.registered" in written


class TestPasswordChange:
    async def change(self, api: Api, headers: dict[str, str], current: str = PASSWORD) -> httpx2.Response:
        body = {"current_password": current, "password": OTHER_PASSWORD}
        return await api.client.post(f"{AUTH}/password", headers=headers, json=body)

    async def test_it_needs_the_present_one_and_ends_the_other_sessions(self, api: Api) -> None:
        person = await api.person()
        mine, other = [
            {"Authorization": f"Bearer {(await api.login(person.email)).json()['access_token']}"} for _ in range(2)
        ]
        assert await code_of(await self.change(api, mine, "not the password")) == (401, "sign-in-failed")
        assert (await api.client.get(WHO, headers=other)).status_code == 200
        assert (await self.change(api, mine)).status_code == 204
        assert (await api.client.get(WHO, headers=mine)).status_code == 200
        assert await code_of(await api.client.get(WHO, headers=other)) == (401, "session-ended")
        assert (await api.login(person.email)).status_code == 401
        assert (await api.login(person.email, OTHER_PASSWORD)).status_code == 200

    async def test_a_reset_that_was_issued_before_sets_no_other(self, api: Api) -> None:
        person = await api.person()
        token = await reset_token(api, person.user_id)
        assert (await self.change(api, await api.bearer(person))).status_code == 204
        assert await code_of(await reset(api, token, "another password")) == (404, "password-reset-not-found")

    async def test_a_key_cannot_change_it(self, api: Api) -> None:
        person = await api.person()
        assert await code_of(await self.change(api, person.headers)) == (403, "session-required")

    async def test_guessing_the_present_one_is_delayed_like_a_sign_in(self, api: Api) -> None:
        person = await api.person()
        headers = await api.bearer(person)
        codes = [(await code_of(await self.change(api, headers, "not the password"))) for _ in range(6)]
        assert codes[-1] == (429, "too-many-sign-ins")


class TestPasswordReset:
    async def test_a_token_sets_the_password_once_and_ends_every_session(self, api: Api) -> None:
        person = await api.person()
        headers = {"Authorization": f"Bearer {(await api.login(person.email)).json()['access_token']}"}
        token = await reset_token(api, person.user_id)
        assert (await reset(api, token)).status_code == 204
        assert await code_of(await api.client.get(WHO, headers=headers)) == (401, "session-ended")
        assert (await api.login(person.email, OTHER_PASSWORD)).status_code == 200
        assert await code_of(await reset(api, token, "another password")) == (404, "password-reset-not-found")

    async def test_somebody_who_had_only_keys_gets_a_password(self, api: Api) -> None:
        keys_only = await api.user(email=EMAIL)
        assert (await reset(api, await reset_token(api, keys_only.user_id))).status_code == 204
        assert (await api.login(EMAIL, OTHER_PASSWORD)).status_code == 200

    async def test_of_several_who_use_one_token_at_once_one_sets_the_password(self, api: Api) -> None:
        person = await api.person()
        token = await reset_token(api, person.user_id)
        passwords = [f"battery number {n} of five" for n in range(5)]
        answers = await asyncio.gather(*(reset(api, token, password) for password in passwords))
        assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404, 404]
        winner = passwords[[answer.status_code for answer in answers].index(204)]
        assert (await api.login(person.email, winner)).status_code == 200

    async def test_of_two_tokens_issued_at_once_one_sets_the_password(self, api: Api) -> None:
        person = await api.person()
        tokens = await asyncio.gather(*(reset_token(api, person.user_id) for _ in range(2)))
        answers = [await reset(api, token) for token in tokens]
        assert sorted(answer.status_code for answer in answers) == [204, 404]

    async def test_a_password_that_is_refused_leaves_the_token(self, api: Api) -> None:
        token = await reset_token(api, (await api.person()).user_id)
        assert (await reset(api, token, "short")).status_code == 422
        assert (await reset(api, token)).status_code == 204

    async def test_a_newer_token_ends_the_one_before_and_time_ends_both(self, api: Api) -> None:
        person = await api.person()
        first, second = [await reset_token(api, person.user_id, expires_in_seconds=60) for _ in range(2)]
        assert await code_of(await reset(api, first)) == (404, "password-reset-not-found")
        await api.rows.execute(update(password_reset).values(expires_at=func.now()))
        assert await code_of(await reset(api, second)) == (404, "password-reset-not-found")

    async def test_a_user_without_address_or_who_is_not_there_gets_none(self, api: Api, member: UserWithKey) -> None:
        for user_id, expected in ((member.user_id, (422, "request-invalid")), (uuid4(), (404, "user-not-found"))):
            path = f"/api/v1/users/{user_id}/password-reset"
            assert await code_of(await api.client.post(path, headers=api.admin.headers)) == expected

    async def test_the_token_is_kept_as_a_hash_and_audited_without_it(self, api: Api) -> None:
        person: Person = await api.person()
        token = await reset_token(api, person.user_id)
        kept = [dict(row) for table in (password_reset, audit_event) for row in await api.rows.fetch(select(table))]
        assert token not in repr(kept)
        assert "password.reset_issued" in repr(kept)
