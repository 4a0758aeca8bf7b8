"""The spelling of addresses: whatever the rules build is taken, and nothing else is."""

import json
import string
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core.delivery import grant
from image_core.delivery.grant import Address, Grant, ScopeKind, address_path, expiry_of, is_signed_by, parse
from image_core.keys.derived_secrets import derive

MASTER = bytes(range(32))
KEY = grant.key_bytes(MASTER, 3)
IMAGE = UUID("01921c4c-1160-575d-93a0-81488a7f3c62")
VECTORS = json.loads((Path(__file__).parents[4] / "docs" / "delivery-vectors.json").read_text())

LINK = st.binary(min_size=16, max_size=16).map(grant.to_text)
SCOPES = st.one_of(
    st.sampled_from(["e", "p"]),
    st.tuples(LINK, st.integers(0, 36**7 - 1)).map(lambda pair: f"c{pair[0]}.{grant.to_base36(pair[1])}"),
)
FILES = st.tuples(
    st.text(string.ascii_letters + string.digits + "@_.-", min_size=1, max_size=80),
    st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8),
)


@st.composite
def signed_addresses(draw: st.DrawFn) -> str:
    number, (spec, extension) = draw(st.integers(1, 10**10 - 1)), draw(FILES)
    image, tag = draw(st.uuids()), draw(st.from_regex(r"[0-9a-f]{6}", fullmatch=True))
    expiry, scope = draw(st.integers(0, 36**7 - 1)), draw(SCOPES)
    file = f"{spec}.{extension}"
    signed = grant.sign(
        number, grant.key_bytes(MASTER, number), image, tag, file=file, expiry_minutes=expiry, scope=scope
    )
    return f"/i/{signed}/{file}"


def is_served(path: str) -> bool:
    """As a server decides that knows the master: the signature, not the time."""
    address = parse(path)
    return (
        address is not None
        and address.grant is not None
        and is_signed_by(grant.key_bytes(MASTER, address.grant.key_number), address)
    )


@given(signed_addresses())
def test_every_address_that_the_rules_build_is_taken_and_spelled_back(path: str) -> None:
    assert is_served(path)
    address = parse(path)
    assert address is not None
    assert address_path(address) == path


@given(signed_addresses(), st.data())
def test_no_character_can_be_changed(path: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(path) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda character: character != path[place]))
    changed = path[:place] + other + path[place + 1 :]
    address = parse(path)
    assert address is not None
    assert address.grant is not None
    file_starts = len(path) - len(address.file)
    if place >= file_starts and address.grant.kind is not ScopeKind.EXACT:
        # Such a grant names no file: which files it opens is judged by the presets.
        return
    assert not is_served(changed)


@given(signed_addresses(), st.data())
def test_no_character_can_be_left_out_or_put_in(path: str, data: st.DataObject) -> None:
    address = parse(path)
    assert address is not None
    assert address.grant is not None
    limit = len(path) if address.grant.kind is ScopeKind.EXACT else len(path) - len(address.file)
    place = data.draw(st.integers(0, limit - 1))
    assert not is_served(path[:place] + path[place + 1 :])
    extra = data.draw(st.sampled_from("0aAkp-._@%/? +=\n\x00é"))
    longer = path[:place] + extra + path[place:]
    assert longer == path or not is_served(longer)


@pytest.mark.parametrize(
    "path",
    [
        "/i/k03-0-e-AAAAAAAAAAAAAAAAAAAAAA/AZIhMFBg12TkoIFLp8YgvQ.9c41e2/thumb.webp",
        "/i/k3-00-e-AAAAAAAAAAAAAAAAAAAAAA/AZIhMFBg12TkoIFLp8YgvQ.9c41e2/thumb.webp",
        "/i/k3-HTJFQ-e-AAAAAAAAAAAAAAAAAAAAAA/AZIhMFBg12TkoIFLp8YgvQ.9c41e2/thumb.webp",
        "/i/k3-0-x-AAAAAAAAAAAAAAAAAAAAAA/AZIhMFBg12TkoIFLp8YgvQ.9c41e2/thumb.webp",
        # Spare bits of the last character.
        "/i/k3-0-e-AAAAAAAAAAAAAAAAAAAAAB/AZIhMFBg12TkoIFLp8YgvQ.9c41e2/thumb.webp",
        "/i/k3-0-e-AAAAAAAAAAAAAAAAAAAAAA/AZIhMFBg12TkoIFLp8YgvR.9c41e2/thumb.webp",
        # Only a public address may leave the tag out.
        "/i/k3-0-e-AAAAAAAAAAAAAAAAAAAAAA/AZIhMFBg12TkoIFLp8YgvQ/thumb.webp",
        "/i/public/AZIhMFBg12TkoIFLp8YgvQ.9C41E2/thumb.webp",
        "/i/public/AZIhMFBg12TkoIFLp8YgvQ/thumb",
        "/i/public/AZIhMFBg12TkoIFLp8YgvQ/th%75mb.webp",
        "/i/public/AZIhMFBg12TkoIFLp8YgvQ//thumb.webp",
        "/i/public/AZIhMFBg12TkoIFLp8YgvQ/thumb.webp\n",
        "/i/public/AZIhMFBg12TkoIFLp8YgvQ/thumb.webp/",
        "//i/public/AZIhMFBg12TkoIFLp8YgvQ/thumb.webp",
    ],
)
def test_a_second_spelling_is_no_address(path: str) -> None:
    assert parse(path) is None


def test_a_public_address_needs_no_tag_and_keeps_one() -> None:
    for path in (
        "/i/public/AZIhMFBg12TkoIFLp8YgvQ/card.auto",
        "/i/public/AZIhMFBg12TkoIFLp8YgvQ.9c41e2/card@7d1e.webp",
    ):
        address = parse(path)
        assert address is not None
        assert address.grant is None
        assert address_path(address) == path
        with pytest.raises(ValueError, match="not signed"):
            address.signed_bytes()


def test_a_link_id_with_hyphens_is_parsed_by_its_length() -> None:
    scope = "c----------------------"[:22] + "A.1z"
    path = "/i/" + grant.sign(7, KEY, IMAGE, "9c41e2", file=None, expiry_minutes=12, scope=scope) + "/thumb.webp"
    address = parse(path)
    assert address is not None
    assert address.grant is not None
    assert (address.grant.key_number, address.grant.scope, address.grant.kind) == (7, scope, ScopeKind.LINK)


@pytest.mark.parametrize("vector", VECTORS["grants"], ids=lambda vector: vector["address"])
def test_the_published_vectors(vector: dict[str, str]) -> None:
    master = bytes.fromhex(VECTORS["master"])
    address = parse(vector["address"])
    assert address is not None
    assert address.grant is not None
    key = grant.key_bytes(master, address.grant.key_number)
    assert grant.to_text(key) == VECTORS["keys"][f"k{address.grant.key_number}"]
    assert address.signed_bytes().decode() == vector["signed"]
    assert is_signed_by(key, address)


def test_the_vectors_show_every_scope_an_expiry_and_none() -> None:
    grants = [parse(vector["address"]) for vector in VECTORS["grants"]]
    shown = [address.grant for address in grants if address is not None and address.grant is not None]
    assert {one.kind for one in shown} == set(ScopeKind)
    assert {one.expiry_minutes == 0 for one in shown} == {True, False}


@pytest.mark.parametrize(
    ("expires_in", "window"),
    [(60, 1), (420, 1), (839, 1), (840, 2), (86_400, 205), (7 * 86_400, 1440), (10**9, 1440)],
)
def test_an_expiry_is_the_first_multiple_of_its_window(expires_in: int, window: int) -> None:
    for now in (1_800_000_000.0, 1_800_000_000.5, 1_800_000_123.0):
        expiry = expiry_of(now, expires_in)
        assert expiry % window == 0
        assert (expiry - window) * 60 < now + expires_in <= expiry * 60


def test_an_expiry_of_null_is_none() -> None:
    assert expiry_of(1_800_000_000.0, None) == 0


def test_a_grant_is_valid_until_the_minute_that_it_names() -> None:
    signed = Grant(3, 30_000_000, "e", bytes(16))
    assert not signed.has_expired(30_000_000 * 60 - 0.001)
    assert signed.has_expired(30_000_000 * 60)
    assert not signed._replace(expiry_minutes=0).has_expired(2.0**40)


def test_a_key_is_not_taken_for_another_ones_signature() -> None:
    path = "/i/" + grant.sign(3, KEY, IMAGE, "9c41e2", file="a.webp", expiry_minutes=0, scope="e") + "/a.webp"
    address = parse(path)
    assert address is not None
    assert is_signed_by(KEY, address)
    assert not is_signed_by(grant.key_bytes(MASTER, 4), address)
    assert not is_signed_by(KEY, Address(None, IMAGE, "9c41e2", "a", "webp"))


def test_derived_keys_are_those_of_the_standard() -> None:
    """RFC 5869, test case 3: no salt and no info; its first 32 bytes."""
    assert derive(b"\x0b" * 22, "").hex() == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
