import asyncio
from typing import Any

import pytest

from image_core import errors
from image_core.keys import master_secrets
from image_core.keys.master_secrets import COOL_DOWN_SECONDS, REFRESH_SECONDS, Masters, MasterSecret

SECRET = "projects/p/secrets/master"


def test_a_new_one_reads_back_as_32_bytes() -> None:
    made = master_secrets.generate()
    assert len(master_secrets.from_text(f"{made}\n")) == 32
    assert made != master_secrets.generate()


@pytest.mark.parametrize("text", ["", "short", "A" * 42 + "B", "A" * 44, "A" * 42 + "*", "é" * 43])
def test_nothing_else_is_one_and_no_message_repeats_it(text: str) -> None:
    with pytest.raises(ValueError, match="32 bytes") as refused:
        master_secrets.from_text(text)
    assert not text or text not in str(refused.value)


async def test_it_is_read_once(secret_manager: Any) -> None:
    secret_manager.versions[SECRET] = [master_secrets.generate()]
    source = master_secrets.from_secret(SECRET)
    found = await asyncio.gather(*(source.get() for _ in range(5)))
    assert set(found) == {master_secrets.from_text(secret_manager.versions[SECRET][0])}
    assert secret_manager.reads == 1


async def test_one_that_has_no_version_is_read_again_after_a_while(secret_manager: Any) -> None:
    secret_manager.versions[SECRET] = []
    source, now = master_secrets.from_secret(SECRET), [100.0]
    source.clock = lambda: now[0]
    for _ in range(2):
        with pytest.raises(errors.MasterSecretUnavailable):
            await source.get()
    assert secret_manager.reads == 1

    secret_manager.versions[SECRET] = [master_secrets.generate()]
    now[0] += COOL_DOWN_SECONDS
    assert await source.get() == master_secrets.from_text(secret_manager.versions[SECRET][0])


async def test_a_fault_of_secret_manager_is_said_to_pass(secret_manager: Any) -> None:
    secret_manager.refuses_with = "UNAVAILABLE"
    with pytest.raises(errors.MasterSecretUnavailable) as refused:
        await master_secrets.from_secret(SECRET).get()
    assert refused.value.retry_after_seconds == COOL_DOWN_SECONDS


async def test_text_that_is_no_master_secret_is_never_used() -> None:
    with pytest.raises(errors.MasterSecretUnavailable):
        await MasterSecret(lambda: "password").get()


def test_a_replacement_keeps_the_one_before_it_and_none_older() -> None:
    first = master_secrets.generate()
    second = master_secrets.generate_in_place_of(first)
    third = master_secrets.generate_in_place_of(f"{second}\n")
    assert master_secrets.masters_from_text(first) == Masters(master_secrets.from_text(first))
    assert master_secrets.masters_from_text(second).previous == master_secrets.from_text(first)
    assert master_secrets.masters_from_text(third).previous == master_secrets.masters_from_text(second).current
    assert len({master_secrets.masters_from_text(each).current for each in (first, second, third)}) == 3


@pytest.mark.parametrize("lines", [("A" * 43, "short"), ("short", "A" * 43), ("A" * 43,) * 3])
def test_other_lines_are_refused_and_no_message_repeats_them(lines: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="master secret") as refused:
        master_secrets.masters_from_text("\n".join(lines))
    assert "short" not in str(refused.value)


async def test_a_rotation_is_noticed_while_the_known_one_stays_in_use(secret_manager: Any) -> None:
    first = master_secrets.generate()
    second = master_secrets.generate_in_place_of(first)
    secret_manager.versions[SECRET] = [first]
    source, now = master_secrets.from_secret(SECRET), [100.0]
    source.clock = lambda: now[0]
    await source.get()

    secret_manager.versions[SECRET].append(second)
    now[0] += REFRESH_SECONDS - 1
    assert await source.get_with_previous() == master_secrets.masters_from_text(first)
    assert source._refreshing is None
    now[0] += 1
    answers = [await source.get_with_previous() for _ in range(2)]
    assert answers == [master_secrets.masters_from_text(first)] * 2
    assert source._refreshing is not None
    await source._refreshing
    assert await source.get_with_previous() == master_secrets.masters_from_text(second)
    assert secret_manager.reads == 2


async def test_one_that_cannot_be_read_again_stays_in_use(secret_manager: Any) -> None:
    secret_manager.versions[SECRET] = [master_secrets.generate()]
    source, now = master_secrets.from_secret(SECRET), [100.0]
    source.clock = lambda: now[0]
    known = await source.get()
    secret_manager.refuses_with = "UNAVAILABLE"
    now[0] += REFRESH_SECONDS
    await source.get()
    assert source._refreshing is not None
    await source._refreshing
    assert await source.get() == known
