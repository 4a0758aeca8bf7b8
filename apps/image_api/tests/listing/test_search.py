"""Searches for words (`q`): what they find, compared with a plain reading of the texts."""

import random
import re
import unicodedata
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text, update

from image_core import testing
from image_core.models import image
from image_core.testing import UserWithKey

from ..conftest import Api
from ..housekeeping import Tasks

IMAGES = "/api/v1/images"
PIECES = (
    "fjord", "Fjörd", "FJO\u0308RD", "ﬁn", "ﬁ", "a", "ab", "B", "x1", "2026", "写真", "写", "真館", "ひが",
    "ひか\u3099", "한국", "한", "ＡＢ", "é", "e\u0301", "Ÿ", "_", "-", ".", "%", "\\", "(", "ß", "ς", "İ", "Ж", "жук",
    " ", " ",
)  # fmt: skip
UNSPACED = "[ぁ-ヿ一-鿿가-힣]"


async def add(api: Api, owner: UserWithKey, **columns: Any) -> UUID:
    assert owner.team_id is not None
    return await testing.add_image(api.rows, owner.team_id, **columns)


async def found(api: Api, by: UserWithKey, query: str, **filters: Any) -> set[UUID]:
    answer = await api.client.get(IMAGES, headers=by.headers, params={"q": query, "limit": 200, **filters})
    assert answer.status_code == 200, answer.text
    return {UUID(each["id"]) for each in answer.json()["items"]}


def folded(value: str) -> str:
    """The text as it is compared; kana keep their voicing marks."""
    plain = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFKD", value))
    return "".join(each.lower() for each in unicodedata.normalize("NFC", plain))


def plainly_matches(words: list[str], texts: list[str]) -> bool:
    """Whether each word is within one of the texts; a short one at the beginning of a word of it."""

    def occurs(word: str, value: str) -> bool:
        if len(word) > 2 or re.search(UNSPACED, word) or not word.replace("_", "-").isalnum():
            return word in value
        return any(
            value.startswith(word, at) and (at == 0 or not (value[at - 1].isalnum())) for at in range(len(value))
        )

    return all(any(occurs(word, value) for value in texts) for word in words)


async def test_searches_find_what_a_plain_comparison_finds(api: Api, member: UserWithKey) -> None:
    chance = random.Random(1)

    def phrase(most: int) -> str:
        return "".join(chance.choice(PIECES) for _ in range(chance.randint(1, most))).strip() or "x"

    texts: dict[UUID, list[str]] = {}
    for number in range(60):
        filename, description, tags = (
            phrase(4),
            phrase(6) if number % 2 else None,
            [phrase(2) for _ in range(number % 3)],
        )
        status = "stored" if number % 10 == 0 else "ready"
        image_id = await add(api, member, status=status, filename=filename, description=description, tags=tags)
        texts[image_id] = [folded(each) for each in (filename, description or "", *tags)]
    matches = 0
    for _ in range(150):
        query = phrase(3)
        words = folded(query).split()
        expected = {image_id for image_id, each in texts.items() if plainly_matches(words, each)}
        assert await found(api, member, query) == expected, query
        matches += len(expected)
    assert matches > 300


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SKAGEN", True),
        ("kage", True),
        ("cafe moen", True),
        ("CAFE\u0301", True),
        ("møen", False),
        ("skagen paris", False),
        ("ca", True),
        ("c", True),
        ("af", False),
        ("真館", True),
        ("館", True),
        ("写館", False),
        ("img_2", True),
        ("100%", True),
        ("0%_", False),
        ("fé\\n", False),
    ],
)
async def test_words_are_found_in_filename_description_and_tags(
    api: Api, member: UserWithKey, query: str, expected: bool
) -> None:
    image_id = await add(
        api, member, filename="IMG_2026 Skagen.jpg", description="Café du Möen, 100% 写真館", tags=["København"]
    )
    assert await found(api, member, query) == ({image_id} if expected else set())


async def test_a_change_is_found_and_what_it_replaced_is_not(api: Api, member: UserWithKey) -> None:
    image_id = await add(api, member, filename="skagen.jpg")
    path = f"{IMAGES}/{image_id}"
    for patch, query in (
        ({"description": "harbour"}, "harbour"),
        ({"tags": ["lighthouse"]}, "lighthouse"),
        ({"filename": "x.png"}, "x.p"),
    ):
        assert await found(api, member, query) == set()
        assert (await api.client.patch(path, headers=member.headers, json=patch)).status_code == 200
        assert await found(api, member, query) == {image_id}
    assert await found(api, member, "skagen") == set()


async def test_a_change_during_processing_is_found_when_it_ends(api: Api, member: UserWithKey) -> None:
    image_id = await add(api, member, filename="skagen.jpg")
    for columns in ({"status": "stored"}, {"filename": "harbour.jpg"}, {"status": "ready"}):
        await api.rows.execute(update(image).where(image.c.id == image_id).values(**columns))
        query = "harbour" if "filename" in columns or columns.get("status") == "ready" else "skagen"
        assert await found(api, member, query) == {image_id}
    terms = await api.rows.fetch_value(select(image.c.search_terms).where(image.c.id == image_id))
    assert {"har", "^h", "^ha"} <= set(terms)
    assert "ska" not in terms


async def test_searches_stay_within_the_team_and_beside_other_filters(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    own = await add(api, member, filename="skagen.jpg", rating=3)
    other = await add(api, stranger, filename="skagen.jpg")
    assert await found(api, member, "skagen") == {own}
    assert await found(api, member, "sk") == {own}
    assert await found(api, member, "skagen", min_rating=4) == set()
    assert await found(api, api.admin, "skagen") == {own, other}
    assert await found(api, member, " \u0301 ") == {own}


async def test_images_of_an_earlier_release_are_found_before_and_after_they_are_filled_in(tasks: Tasks) -> None:
    row, _ = await tasks.image("ready", filename="skagen.jpg")
    await tasks.image("stored", team_id=row["team_id"])
    expected = row["search_terms"]
    await tasks.rows.execute(update(image).values(search_terms=None))
    assert (await tasks.sweep())["search_terms_filled"] == 1
    filled = await tasks.row(row["id"])
    assert (filled["search_terms"], filled["revision"]) == (expected, row["revision"])
    assert (await tasks.sweep())["search_terms_filled"] == 0


async def test_an_image_without_terms_is_found_all_the_same(api: Api, member: UserWithKey) -> None:
    image_id = await add(api, member, filename="skagen.jpg")
    await api.rows.execute(update(image).values(search_terms=None))
    assert await found(api, member, "skagen") == {image_id}
    assert await found(api, member, "sk") == {image_id}


async def test_terms_do_not_depend_on_the_search_path(api: Api) -> None:
    async with api.rows.transaction() as transaction:
        await transaction.fetch_value(text("SELECT set_config('search_path', 'pg_temp', true)"))
        terms = text("SELECT public.search_terms(gen_random_uuid(), 'ÀBC', NULL, '{}')")
        assert (await transaction.fetch_value(terms))[1:] == ["abc", "^a", "^ab"]
