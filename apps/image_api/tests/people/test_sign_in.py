"""Signing in and out, sessions by token and by cookie, on one instance and on two."""

import asyncio
from typing import Any

import httpx2
import orjson
import pytest
from sqlalchemy import func, select, update

from image_api.lookups import fresh_cache
from image_api.proofs import session_cookies
from image_api.proofs.passwords import Passwords
from image_core.models import audit_event, session, user
from image_core.testing import UserWithKey

from ..conftest import PASSWORD, Api, MakeApi, Person

AUTH, WHO, TEAMS = "/api/v1/auth", "/api/v1/whoami", "/api/v1/teams"
COOKIE = "__Host-im_session"


@pytest.fixture
async def ada(api: Api) -> Person:
    return await api.person()


async def bearer_of(api: Api, person: Person) -> dict[str, str]:
    answer = await api.login(person.email)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def cookie_of(api: Api, person: Person) -> dict[str, str]:
    """The cookie and the CSRF token, as a page of our own sends them."""
    answer = await api.login(person.email, mode="cookie")
    assert answer.status_code == 200, answer.text
    value = answer.headers["set-cookie"].partition(";")[0]
    api.client.cookies.clear()
    return {"Cookie": value, "X-CSRF-Token": answer.json()["csrf_token"], "Sec-Fetch-Site": "same-origin"}


async def code_of(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


class TestPasswords:
    async def test_a_token_says_who_it_is_and_carries_the_rights_of_its_user(self, api: Api, ada: Person) -> None:
        answer = await api.login(ada.email.upper())
        body = answer.json()
        assert answer.headers["cache-control"] == "no-store"
        assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
        who = (await api.client.get(WHO, headers={"Authorization": f"Bearer {body['access_token']}"})).json()
        by_key = (await api.client.get(WHO, headers=ada.headers)).json()
        assert who["session_id"] == body["session_id"]
        assert (who["credential_id"], who["key_prefix"]) == (None, None)
        assert {name: who[name] for name in ("user_id", "team_id", "role", "scopes")} == {
            name: by_key[name] for name in ("user_id", "team_id", "role", "scopes")
        }

    async def test_half_a_character_is_no_password(self, api: Api, ada: Person) -> None:
        body = b'{"email": "%s", "password": "\\ud800"}' % ada.email.encode()
        headers = {"Content-Type": "application/json"}
        answer = await api.client.post(f"{AUTH}/login", content=body, headers=headers)
        assert await code_of(answer) == (422, "request-invalid")
        assert answer.json()["errors"][0]["field"] == "password"

    async def test_an_unknown_account_and_one_without_password_cost_a_hash_and_answer_the_same(
        self, api: Api, ada: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys_only = await api.user(email="keys@example.org")
        assert keys_only
        hashed: list[str | None] = []
        verify = Passwords._verify

        def counted(self: Passwords, password: str, stored: str | None) -> bool:
            hashed.append(stored)
            return verify(self, password, stored)

        monkeypatch.setattr(Passwords, "_verify", counted)
        answers = [
            await api.login(email, "not the password")
            for email in (ada.email, "nobody@example.org", "keys@example.org")
        ]
        assert [stored is None for stored in hashed] == [False, True, True]
        problems = [{**answer.json(), "request_id": None} for answer in answers]
        assert problems[0] == problems[1] == problems[2]
        assert problems[0]["code"] == "sign-in-failed"
        assert {answer.status_code for answer in answers} == {401}

    async def test_the_hash_for_nobody_has_the_parameters_of_all_others(self, api: Api) -> None:
        passwords = api.services.passwords
        assert not passwords.is_outdated(passwords._dummy_hash)
        assert not await passwords.verify("the password of nobody", None)

    async def test_parameters_that_rose_hash_the_password_anew_at_the_next_sign_in(
        self, make_api: MakeApi, api: Api, ada: Person
    ) -> None:
        async def stored() -> str:
            return str(await api.rows.fetch_value(select(user.c.password_hash).where(user.c.id == ada.user_id)))

        before = await stored()
        await api.login(ada.email)
        assert await stored() == before
        async with make_api(password_hash_iterations=2) as stronger:
            assert (await stronger.login(ada.email, "not the password")).status_code == 401
            assert await stored() == before
            assert (await stronger.login(ada.email)).status_code == 200
        assert ",t=2," in await stored()
        assert (await stored()).startswith("$argon2id$")
        assert (await api.login(ada.email)).status_code == 200

    async def test_a_disabled_user_cannot_sign_in_and_its_sessions_are_over(self, api: Api, ada: Person) -> None:
        headers = await bearer_of(api, ada)
        assert (await api.client.get(WHO, headers=headers)).status_code == 200
        path = f"/api/v1/users/{ada.user_id}"
        assert (await api.client.patch(path, headers=api.admin.headers, json={"disabled": True})).status_code == 200
        assert await code_of(await api.client.get(WHO, headers=headers)) == (401, "user-disabled")
        assert await code_of(await api.login(ada.email)) == (401, "user-disabled")
        assert await code_of(await api.login(ada.email, "not the password")) == (401, "sign-in-failed")

    async def test_more_passwords_than_can_wait_are_put_off(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("image_api.proofs.passwords._MAX_WAITING", 0)
        assert await code_of(await api.login("ada@example.org")) == (503, "passwords-busy")

    async def test_a_password_changed_while_it_was_being_checked_begins_no_session(
        self, api: Api, ada: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        verify = Passwords.verify

        async def changed_meanwhile(self: Passwords, password: str, stored: str | None) -> bool:
            right = await verify(self, password, stored)
            await api.rows.execute(update(user).where(user.c.id == ada.user_id).values(password_hash="another"))
            return right

        monkeypatch.setattr(Passwords, "verify", changed_meanwhile)
        assert await code_of(await api.login(ada.email)) == (401, "sign-in-failed")
        assert await api.rows.fetch_value(select(func.count()).select_from(session)) == 0

    async def test_signing_in_and_out_is_audited_by_ids_alone(self, api: Api, ada: Person) -> None:
        headers = await bearer_of(api, ada)
        await api.client.post(f"{AUTH}/logout", headers=headers)
        rows = await api.rows.fetch(select(audit_event).order_by(audit_event.c.created_at))
        assert [row["action"] for row in rows] == ["session.started", "session.ended"]
        assert {row["actor_user_id"] for row in rows} == {ada.user_id}
        written = repr([dict(row) for row in rows])
        assert ada.email not in written
        assert PASSWORD not in written


class TestSessions:
    async def test_logout_ends_this_session_and_no_other(self, api: Api, ada: Person) -> None:
        first, second = await bearer_of(api, ada), await bearer_of(api, ada)
        assert (await api.client.post(f"{AUTH}/logout", headers=first)).status_code == 204
        assert await code_of(await api.client.get(WHO, headers=first)) == (401, "session-ended")
        assert (await api.client.get(WHO, headers=second)).status_code == 200

    async def test_logout_from_all_ends_every_session_but_no_key(self, api: Api, ada: Person) -> None:
        first, second = await bearer_of(api, ada), await cookie_of(api, ada)
        assert (await api.client.post(f"{AUTH}/logout?all=true", headers=first)).status_code == 204
        for headers in (first, second):
            assert await code_of(await api.client.get(WHO, headers=headers)) == (401, "session-ended")
        assert (await api.client.get(WHO, headers=ada.headers)).status_code == 200

    async def test_a_session_ended_on_one_instance_is_over_on_the_other_when_its_cache_is(
        self, api: Api, make_api: MakeApi, ada: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        headers = await bearer_of(api, ada)
        async with make_api() as other:
            assert (await other.client.get(WHO, headers=headers)).status_code == 200
            await api.client.post(f"{AUTH}/logout", headers=headers)
            assert (await other.client.get(WHO, headers=headers)).status_code == 200
            assert fresh_cache.CACHE_SECONDS <= 5
            monkeypatch.setattr(fresh_cache, "CACHE_SECONDS", 0.0)
            assert await code_of(await other.client.get(WHO, headers=headers)) == (401, "session-ended")

    async def test_a_session_is_looked_up_once_however_many_ask(
        self, api: Api, ada: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        headers, asked, database = await bearer_of(api, ada), [], api.services.database
        fetch_one = database.fetch_one

        async def counted(statement: Any, **values: Any) -> Any:
            asked.extend({"session_id"} & values.keys())
            return await fetch_one(statement, **values)

        monkeypatch.setattr(database, "fetch_one", counted)
        answers = await asyncio.gather(*(api.client.get(WHO, headers=headers) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert len(asked) == 1

    async def test_a_session_ends_with_its_time_however_much_it_is_used(self, api: Api, ada: Person) -> None:
        headers = await bearer_of(api, ada)
        await api.rows.execute(update(session).values(expires_at=func.now()))
        api.forget_keys()
        assert await code_of(await api.client.get(WHO, headers=headers)) == (401, "session-ended")
        assert await code_of(await api.client.post(f"{AUTH}/refresh", headers=headers)) == (401, "session-ended")

    async def test_a_refreshed_token_belongs_to_the_same_session(self, api: Api, ada: Person) -> None:
        headers = await bearer_of(api, ada)
        answer = await api.client.post(f"{AUTH}/refresh", headers=headers)
        assert answer.headers["cache-control"] == "no-store"
        renewed = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        before, after = [(await api.client.get(WHO, headers=each)).json() for each in (headers, renewed)]
        assert before == after

    async def test_a_token_never_outlives_its_session(self, api: Api, ada: Person) -> None:
        headers = await bearer_of(api, ada)
        soon = func.now() + func.make_interval(0, 0, 0, 0, 0, 1)
        await api.rows.execute(update(session).values(expires_at=soon))
        answer = await api.client.post(f"{AUTH}/refresh", headers=headers)
        assert 0 < answer.json()["expires_in"] <= 60

    async def test_a_person_sees_and_ends_own_sessions_only(self, api: Api, ada: Person, stranger: UserWithKey) -> None:
        headers, other = await bearer_of(api, ada), await cookie_of(api, ada)
        listed = (await api.client.get(f"{AUTH}/sessions", headers=headers)).json()["items"]
        assert [each["current"] for each in listed] == [False, True]
        for each in listed:
            refused = await api.client.delete(f"{AUTH}/sessions/{each['id']}", headers=stranger.headers)
            assert await code_of(refused) == (404, "session-not-found")
        assert (await api.client.delete(f"{AUTH}/sessions/{listed[0]['id']}", headers=headers)).status_code == 204
        assert await code_of(await api.client.get(WHO, headers=other)) == (401, "session-ended")
        again = await api.client.delete(f"{AUTH}/sessions/{listed[0]['id']}", headers=headers)
        assert again.status_code == 404

    async def test_a_key_is_no_session(self, api: Api, ada: Person) -> None:
        answer = await api.client.post(f"{AUTH}/logout", headers=ada.headers)
        assert await code_of(answer) == (403, "session-required")

    async def test_a_session_has_a_rate_limit_of_its_own(self, make_api: MakeApi) -> None:
        async with make_api(rate_limit_per_second=1) as api:
            headers = [await bearer_of(api, await api.person()) for _ in range(2)]
            statuses = [(await api.client.get(WHO, headers=headers[0])).status_code for _ in range(3)]
            assert statuses == [200, 200, 429]
            assert (await api.client.get(WHO, headers=headers[1])).status_code == 200

    async def test_without_signing_keys_a_cookie_still_signs_in(self, make_api: MakeApi) -> None:
        async with make_api(token_signing_keys=None) as api:
            person = await api.person()
            assert await code_of(await api.login(person.email)) == (404, "tokens-not-configured")
            assert (await api.client.get(WHO, headers=await cookie_of(api, person))).status_code == 200
            refused = await api.client.get(WHO, headers={"Authorization": "Bearer a.b.c"})
            assert await code_of(refused) == (401, "token-invalid")


class TestCookies:
    async def test_the_cookie_is_for_this_host_over_https_and_for_no_script(self, api: Api, ada: Person) -> None:
        answer = await api.login(ada.email, mode="cookie")
        name, _, rest = answer.headers["set-cookie"].partition("=")
        attributes = {each.strip().lower() for each in rest.split(";")[1:]}
        assert name == COOKIE
        assert attributes == {"httponly", "secure", "samesite=strict", "path=/", "max-age=43200"}

    async def test_on_a_laptop_without_https_the_cookie_works_too(self, make_api: MakeApi) -> None:
        async with make_api(public_base_url="http://api") as api:
            person = await api.person()
            answer = await api.login(person.email, mode="cookie")
            assert answer.headers["set-cookie"].startswith("im_session_80=")
            assert "secure" not in answer.headers["set-cookie"].lower()
            # The client sends by itself what it was given.
            assert (await api.client.get(WHO)).status_code == 200
            csrf = {"X-CSRF-Token": answer.json()["csrf_token"]}
            assert (await api.client.post(f"{AUTH}/logout", headers=csrf)).status_code == 204
            assert dict(api.client.cookies) == {}

    async def test_a_page_learns_its_csrf_token_again(self, api: Api, ada: Person) -> None:
        headers = await cookie_of(api, ada)
        shown = await api.client.get(f"{AUTH}/session", headers=headers)
        assert shown.json()["csrf_token"] == headers["X-CSRF-Token"]
        assert (await api.client.get(f"{AUTH}/session", headers=await bearer_of(api, ada))).json()["csrf_token"] is None

    async def test_a_change_without_the_sessions_own_csrf_token_is_refused(self, api: Api, ada: Person) -> None:
        mine, replayed = await cookie_of(api, ada), (await cookie_of(api, ada))["X-CSRF-Token"]
        for token in ("", replayed, mine["X-CSRF-Token"][:-1], "\xff"):
            answer = await api.client.post(f"{AUTH}/logout", headers={**mine, "X-CSRF-Token": token.encode("latin-1")})
            assert await code_of(answer) == (403, "csrf-token-invalid")
        assert (await api.client.get(WHO, headers=mine)).status_code == 200
        assert (await api.client.post(f"{AUTH}/logout", headers=mine)).status_code == 204

    @pytest.mark.parametrize(
        "said",
        [
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "https://evil.example", "Sec-Fetch-Site": ""},
            {"Origin": "null", "Sec-Fetch-Site": ""},
            {"Origin": "http://[", "Sec-Fetch-Site": ""},
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_a_cookie_never_works_from_another_site(
        self, api: Api, ada: Person, said: dict[str, str], method: str
    ) -> None:
        headers = {name: value for name, value in {**await cookie_of(api, ada), **said}.items() if value}
        path = WHO if method == "GET" else f"{AUTH}/logout"
        assert await code_of(await api.client.request(method, path, headers=headers)) == (403, "cross-site-request")
        headers = {**headers, "Origin": "http://api", "Sec-Fetch-Site": "same-origin"}
        assert (await api.client.request(method, path, headers=headers)).status_code in (200, 204)

    async def test_another_site_cannot_sign_a_browser_in(self, api: Api, ada: Person) -> None:
        body = {"email": ada.email, "password": PASSWORD, "mode": "cookie"}
        answer = await api.client.post(f"{AUTH}/login", json=body, headers={"Sec-Fetch-Site": "cross-site"})
        assert await code_of(answer) == (403, "cross-site-request")
        assert "set-cookie" not in answer.headers

    async def test_a_cookie_with_another_secret_or_session_is_refused(self, api: Api, ada: Person) -> None:
        name, _, value = (await cookie_of(api, ada))["Cookie"].partition("=")
        session_id, _, secret = value.partition(".")
        other = (await cookie_of(api, await api.person()))["Cookie"].partition("=")[2].partition(".")[0]
        for forged in (f"{session_id}.{secret[:-1]}", session_id, f"{other}.{secret}", "nonsense", f"x.{secret}"):
            answer = await api.client.get(WHO, headers={"Cookie": f"{name}={forged}"})
            assert await code_of(answer) == (401, "session-ended"), forged

    async def test_a_session_of_tokens_has_no_cookie_and_one_of_a_cookie_no_tokens(self, api: Api, ada: Person) -> None:
        by_token = (await api.login(ada.email)).json()
        forged = session_cookies.generate(by_token["session_id"])
        answer = await api.client.get(WHO, headers={"Cookie": f"{COOKIE}={forged}"})
        assert await code_of(answer) == (401, "session-ended")
        by_cookie = await cookie_of(api, ada)
        answer = await api.client.post(f"{AUTH}/refresh", headers=by_cookie)
        assert await code_of(answer) == (404, "tokens-not-configured")

    async def test_the_database_holds_no_value_that_opens_a_session(self, api: Api, ada: Person) -> None:
        headers = await cookie_of(api, ada)
        row = await api.rows.fetch_one(select(session))
        assert row is not None
        assert headers["Cookie"].rpartition(".")[2] not in repr(dict(row))
        assert row["token_hash"] == session_cookies.hash_value(headers["Cookie"].partition("=")[2])


async def test_a_request_proves_itself_in_one_way_only(api: Api, ada: Person) -> None:
    token, cookie = await bearer_of(api, ada), await cookie_of(api, ada)
    for headers in (ada.headers | token, ada.headers | cookie, token | cookie):
        assert await code_of(await api.client.get(WHO, headers=headers)) == (400, "credentials-ambiguous")


async def test_another_scheme_than_bearer_is_refused(api: Api, ada: Person) -> None:
    token = (await bearer_of(api, ada))["Authorization"].partition(" ")[2]
    for value in (f"Basic {token}", token, "Bearer", "Bearer "):
        answer = await api.client.get(WHO, headers={"Authorization": value})
        assert await code_of(answer) == (401, "token-invalid"), value
        assert "Bearer" in answer.headers["www-authenticate"]
    assert (await api.client.get(WHO, headers={"Authorization": f"bearer {token}"})).status_code == 200


async def test_what_a_session_does_is_audited_with_the_session(api: Api) -> None:
    person = await api.person(role="admin")
    headers = await bearer_of(api, person)
    assert (await api.client.post(TEAMS, headers=headers, json={"name": "North"})).status_code == 201
    row = await api.rows.fetch_one(select(audit_event).where(audit_event.c.action == "team.created"))
    assert row is not None
    who = (await api.client.get(WHO, headers=headers)).json()
    assert (row["actor_user_id"], row["credential_id"]) == (person.user_id, None)
    assert str(row["session_id"]) == who["session_id"]
    assert orjson.loads(row["after"])["name"] == "North"


async def test_a_person_makes_keys_until_the_session_is_over_elsewhere(api: Api, ada: Person) -> None:
    headers, path = await bearer_of(api, ada), f"/api/v1/users/{ada.user_id}/credentials"
    assert (await api.client.post(path, headers=headers, json={"name": "second"})).status_code == 201
    await api.rows.execute(update(session).values(ended_at=func.now()))
    answer = await api.client.post(path, headers=headers, json={"name": "third"})
    assert await code_of(answer) == (401, "session-ended")
    assert await code_of(await api.client.post(f"{path}/rotate", headers=headers)) == (401, "session-ended")
