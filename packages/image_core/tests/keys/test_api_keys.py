import re
import string
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from image_core.keys import api_keys

base62 = st.text(st.sampled_from(string.ascii_letters + string.digits), min_size=28, max_size=28)


def made_of(public_id: str, secret: str) -> str:
    body = f"im_{public_id}_{secret}"
    return body + api_keys._checksum(body)


@given(base62)
def test_any_well_formed_key_tells_its_public_id(text: str) -> None:
    assert api_keys.public_id_of(made_of(text[:8], text)) == text[:8]


@given(base62, st.data())
def test_a_key_with_one_wrong_character_is_refused(text: str, data: st.DataObject) -> None:
    api_key = made_of(text[:8], text)
    at = data.draw(st.integers(0, len(api_key) - 1))
    other = data.draw(st.characters().filter(lambda character: character != api_key[at]))
    assert api_keys.public_id_of(api_key[:at] + other + api_key[at + 1 :]) is None


@given(base62, st.integers(0, 43))
def test_two_neighbours_that_changed_places_are_noticed(text: str, at: int) -> None:
    api_key = made_of(text[:8], text)
    swapped = api_key[:at] + api_key[at + 1] + api_key[at] + api_key[at + 2 :]
    assert (api_keys.public_id_of(swapped) is None) == (swapped != api_key)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    assert api_keys.public_id_of(text) is None or text == api_keys.DEFAULT_KEY or text.startswith(api_keys.PREFIX)


@given(base62, st.sampled_from(["\n", " ", "\x00", "x"]))
def test_nothing_may_stand_around_a_key(text: str, extra: str) -> None:
    api_key = made_of(text[:8], text)
    assert api_keys.public_id_of(api_key + extra) is None
    assert api_keys.public_id_of(extra + api_key) is None


def test_keys_are_random_and_only_their_hash_is_kept() -> None:
    made = [api_keys.generate() for _ in range(200)]
    assert len({key.api_key for key in made}) == 200
    for key in made:
        assert api_keys.public_id_of(key.api_key) == key.public_id
        assert api_keys.hash_key(key.api_key) == key.key_hash
        assert len(key.key_hash) == 32
        assert key.key_prefix == f"im_{key.public_id}"
        secret = key.api_key.removeprefix(key.key_prefix + "_")[:28]
        assert len(set(secret)) > 8


def test_the_default_key_has_a_public_id_of_its_own() -> None:
    assert api_keys.public_id_of("ADMIN_ACCESS") == "default"
    assert api_keys.public_id_of("default") is None


def test_what_scanners_are_told_finds_every_key_whole() -> None:
    told = (Path(__file__).parents[4] / "SECURITY.md").read_text()
    (pattern,) = re.findall(r"regular expression \| `([^`]+)`", told)
    for _ in range(50):
        api_key = api_keys.generate().api_key
        assert re.findall(pattern, f'key = "{api_key}"; # {api_key}x') == [api_key]
