"""The delay that grows with failed attempts, for an account and for an address."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from image_api.people import delays, queries
from image_core.models import sign_in_delay

from ..conftest import Api, MakeApi, Person

WRONG = "not the password"


async def as_if_passed(api: Api, seconds: int) -> None:
    """As if so much time were over."""
    step = timedelta(seconds=seconds)
    await api.rows.execute(
        update(sign_in_delay).values(
            blocked_until=sign_in_delay.c.blocked_until - step, last_failed_at=sign_in_delay.c.last_failed_at - step
        )
    )


@pytest.fixture
async def behind_proxy(make_api: MakeApi, api: Api) -> object:
    """Attempts can come from many addresses here."""
    async with make_api(trusted_proxy_depth=1) as made:
        yield made


@pytest.mark.parametrize("known", [True, False])
async def test_after_five_failures_the_wait_doubles_up_to_a_quarter_of_an_hour(api: Api, known: bool) -> None:
    email = (await api.person()).email if known else "nobody@example.org"
    assert [(await api.login(email, WRONG)).status_code for _ in range(6)] == [401] * 5 + [429]
    waits = []
    for _ in range(11):
        answer = await api.login(email, WRONG)
        assert (answer.status_code, answer.json()["code"]) == (429, "too-many-sign-ins")
        waits.append(int(answer.headers["retry-after"]))
        await as_if_passed(api, waits[-1])
        assert (await api.login(email, WRONG)).status_code == 401
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900]


async def test_an_address_written_otherwise_is_the_same_account(api: Api) -> None:
    await api.person(email="iris@example.org")
    # PostgreSQL's small letter of U+0130 is i.
    for name in ("iris", "IRIS", "\u0130ris", "ir\u0130s", "\u0130r\u0130s"):
        assert (await api.login(f"{name}@example.org", WRONG)).status_code == 401
    assert (await api.login("iris@example.org")).status_code == 429


async def test_while_one_waits_the_right_password_does_not_help_and_nothing_is_hashed(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await api.person()
    for _ in range(5):
        await api.login(person.email, WRONG)
    monkeypatch.setattr(api.services.passwords, "_verify", None)
    assert (await api.login(person.email)).status_code == 429


async def test_the_right_password_begins_anew_for_the_account_but_not_for_the_address(api: Api) -> None:
    person = await api.person()
    for _ in range(4):
        await api.login(person.email, WRONG)
    assert (await api.login(person.email)).status_code == 200
    assert [(await api.login(person.email, WRONG)).status_code for _ in range(6)] == [401] * 5 + [429]
    address = delays._address_subject("127.0.0.1")
    failures = await api.rows.fetch_value(select(sign_in_delay.c.failures).where(sign_in_delay.c.subject == address))
    assert failures == 9


async def test_a_delay_holds_on_every_instance(api: Api, make_api: MakeApi) -> None:
    person = await api.person()
    for _ in range(5):
        await api.login(person.email, WRONG)
    await as_if_passed(api, -100)
    async with make_api() as other:
        assert (await other.login(person.email)).status_code == 429


async def test_attempts_at_once_get_no_further_than_one_after_the_other(api: Api) -> None:
    person = await api.person()
    answers = await asyncio.gather(*(api.login(person.email, WRONG) for _ in range(15)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 10


async def test_an_attempt_does_not_wait_for_one_that_began_later(api: Api) -> None:
    person, database = await api.person(), api.services.database
    subject = delays._address_subject("127.0.0.1")
    async with database.transaction() as early:
        await early.fetch_value(select(func.now()))
        assert (await api.login(person.email, WRONG)).status_code == 401
        assert await queries.count_failure(early, subject, 20, 900, 1800)
    assert (await api.login(person.email)).status_code == 200


async def test_one_address_cannot_try_many_accounts(behind_proxy: Api) -> None:
    api = behind_proxy
    statuses = [(await api.login(f"{n}@example.org", WRONG, address="192.0.2.1")).status_code for n in range(21)]
    assert statuses == [401] * 20 + [429]
    assert (await api.login("21@example.org", WRONG, address="192.0.2.2")).status_code == 401


async def test_an_ipv6_customer_is_one_address(behind_proxy: Api) -> None:
    api = behind_proxy
    statuses = [(await api.login(f"{n}@example.org", WRONG, address=f"2001:db8::{n:x}")).status_code for n in range(21)]
    assert statuses == [401] * 20 + [429]
    assert (await api.login("x@example.org", WRONG, address="2001:db8:0:1::1")).status_code == 401


async def test_strangers_from_many_addresses_hold_an_account_for_a_minute_at_most(behind_proxy: Api) -> None:
    api = behind_proxy
    person: Person = await api.person()
    assert (await api.login(person.email, address="198.51.100.7")).status_code == 200
    for n in range(40):
        await api.login(person.email, WRONG, address=f"192.0.2.{n}")
        await as_if_passed(api, 61)
    await api.login(person.email, WRONG, address="192.0.2.99")
    answer = await api.login(person.email, address="203.0.113.1")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) <= 60
    # Whoever has signed in from an address before is not held there.
    assert (await api.login(person.email, address="198.51.100.7")).status_code == 200


async def test_failures_are_forgiven_with_time(api: Api) -> None:
    person = await api.person()
    for _ in range(5):
        await api.login(person.email, WRONG)
    await as_if_passed(api, 5 * 1800)
    assert [(await api.login(person.email, WRONG)).status_code for _ in range(6)] == [401] * 5 + [429]


async def test_neither_addresses_are_kept_as_such(api: Api) -> None:
    await api.login("ada@example.org", WRONG)
    kept = repr([dict(row) for row in await api.rows.fetch(select(sign_in_delay))])
    assert "ada" not in kept
    assert "127.0.0.1" not in kept
    assert await api.rows.fetch_value(select(func.count()).select_from(sign_in_delay)) == 3


async def test_all_that_strangers_may_try_has_a_rate_limit_of_its_own(make_api: MakeApi) -> None:
    async with make_api(sign_in_limit_per_minute=1) as api:
        assert (await api.login("ada@example.org", WRONG)).status_code == 401
        for path, body in (
            ("login", {"email": "a@b", "password": WRONG}),
            ("register", {"email": "a@b", "password": WRONG, "name": "Ada"}),
            ("password-reset", {"token": "x", "password": WRONG}),
        ):
            answer = await api.client.post(f"/api/v1/auth/{path}", json=body)
            assert (answer.status_code, answer.json()["code"]) == (429, "too-many-sign-ins"), path
            assert int(answer.headers["retry-after"]) >= 1
