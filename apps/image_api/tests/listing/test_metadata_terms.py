"""The terms that filters on metadata are looked up by."""

from decimal import Decimal

from hypothesis import example, given
from hypothesis import strategies as st

from image_api.listing import queries
from image_api.listing.filters import metadata_terms
from image_api.listing.orders import NEWEST_FIRST
from image_core import testing
from image_core.db import Database
from image_core.models import image


@given(
    low=st.decimals(-(10**18), 10**18, places=2) | st.none(),
    high=st.decimals(-(10**18), 10**18, places=2) | st.none(),
    value=st.decimals(-(10**18), 10**18, places=2) | st.decimals(-200, 200, places=1),
)
@example(low=Decimal("-0.5"), high=Decimal("0.5"), value=Decimal("-0.3"))
@example(low=Decimal(10**16), high=None, value=Decimal(10**17))
def test_a_number_in_a_range_has_one_of_its_terms(low: Decimal | None, high: Decimal | None, value: Decimal) -> None:
    digits = str(int(abs(value)))
    of_value = {f"k{'<' if value < 0 else '+'}{min(len(digits), 17)}:{digits[:n]}" for n in range(len(digits) + 1)}
    if (low is None or low <= value) and (high is None or value <= high):
        terms = metadata_terms.numbers("k", low, high)
        assert of_value & set(terms)
        assert len(terms) <= 1_000


def test_a_range_is_a_few_terms() -> None:
    ages = metadata_terms.numbers("age", Decimal(18), Decimal(30))
    assert sorted(ages) == ["age+2:18", "age+2:19", "age+2:2", "age+2:30"]


async def test_images_are_narrowed_to_those_with_a_term_of_each_group(rows: Database) -> None:
    team_id = await testing.add_team(rows)
    young, _ = [await testing.add_image(rows, team_id, metadata={"age": age}) for age in (5, 70)]
    values = {"team_id": team_id, "terms_0": metadata_terms.numbers("age", Decimal(0), Decimal(9)), "limit": 10}
    found = await queries.page(rows, frozenset({"team_id", "terms_0"}), values, NEWEST_FIRST, (image.c.id,))
    assert [row["id"] for row in found] == [young]
