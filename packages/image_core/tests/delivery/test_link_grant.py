"""Grants of share links: how long they live, and the link that they name."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core.delivery import grant, link_grant
from image_core.delivery.grant import Grant, ScopeKind, is_signed_by, parse
from image_core.delivery.link_grant import LinkScope, expiry_of, link_of, lives_too_long

KEY = grant.key_bytes(bytes(range(32)), 3)
IMAGE = UUID("01921c4c-1160-575d-93a0-81488a7f3c62")
HALF_HOUR = 1800


@given(st.uuids(), st.integers(0, 2**31 - 1), st.integers(1, 36**7 - 1))
def test_what_is_signed_for_a_link_is_an_address_that_names_it(link_id: UUID, epoch: int, expiry: int) -> None:
    link = LinkScope(link_id, epoch)
    address = parse(f"/i/{link_grant.sign(3, KEY, link, IMAGE, '9c41e2', expiry)}/thumb.webp")
    assert address is not None
    assert address.grant is not None
    assert is_signed_by(KEY, address)
    assert (address.image_id, address.grant.kind, address.grant.expiry_minutes) == (IMAGE, ScopeKind.LINK, expiry)
    assert link_of(address.grant) == link


@given(st.floats(0, 2.0**33))
def test_what_is_signed_lives_for_half_an_hour_to_an_hour_in_windows(now: float) -> None:
    expiry = expiry_of(now)
    assert expiry % 30 == 0
    assert HALF_HOUR <= expiry * 60 - now <= 2 * HALF_HOUR
    assert not lives_too_long(Grant(3, expiry, "c", bytes(16)), now)


def test_all_views_of_a_window_share_an_expiry() -> None:
    begin = 1_800_000_000 // HALF_HOUR * HALF_HOUR
    assert expiry_of(begin + 0.001) == expiry_of(begin + HALF_HOUR) == expiry_of(begin + HALF_HOUR + 0.001) - 30


@pytest.mark.parametrize(("expiry", "is_too_long"), [(0, True), (1, False), (90, False), (91, True), (36**7 - 1, True)])
def test_a_grant_may_end_an_hour_and_a_window_ahead(expiry: int, is_too_long: bool) -> None:
    now = 1_800_000_000
    minutes = expiry and now // 60 + expiry
    assert lives_too_long(Grant(3, minutes, "c", bytes(16)), now) is is_too_long
