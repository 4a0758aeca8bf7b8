"""Which addresses are served, which are refused, and what the holder of each is told."""

import asyncio
import json
import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, update

from image_core import models, testing
from image_core.delivery.encoding import image_text
from image_core.delivery.link_grant import LinkScope
from image_core.delivery.spec import Recipe
from image_core.delivery.tag import delivery_tag
from image_core.ids import new_id
from image_core.keys import master_secrets
from image_core.keys.master_secrets import REFRESH_SECONDS

from ..conftest import MASTER, Delivery, MakeDelivery, Team

VECTORS = json.loads((Path(__file__).parents[4] / "docs" / "delivery-vectors.json").read_text())
NOW_MINUTES = 29_000_000
ALPHABET = string.ascii_letters + string.digits + "-_.@%/~é"

in_one_loop = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def at(delivery: Delivery, minutes: float) -> None:
    """Sets the time."""
    delivery.serving.verification.now = lambda: minutes * 60


async def refused(delivery: Delivery, address: str, status: int, code: str) -> dict[str, Any]:
    answer = await delivery.get(address)
    assert answer.headers["content-type"] == "application/problem+json", (answer.status_code, answer.content)
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert body["detail"]
    return body


async def is_unknown(delivery: Delivery, address: str) -> None:
    answer = await delivery.get(address)
    assert (answer.status_code, answer.content) == (404, b"")
    assert answer.headers["cache-control"] == "public, max-age=60"


async def test_a_signed_address_is_served(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team, b"a thumbnail")
    for scope in "ep":
        answer = await delivery.get(team.address(row, scope=scope))
        assert (answer.status_code, answer.content) == (200, b"a thumbnail")


def changes(address: str, places: Iterable[int]) -> list[str]:
    """The address with the character at each of these places left out, spelled otherwise, replaced, or put before."""
    found = set()
    for place in places:
        before, character, after = address[:place], address[place], address[place + 1 :]
        found |= {before + after, before + character.swapcase() + after}
        found |= {f"{before}%{code}{after}" for code in (f"{ord(character):02X}", f"{ord(character):02x}")}
        found |= {before + other + after for other in ALPHABET[:: 1 + place % 7]}
        found |= {before + other + character + after for other in "-%./0A="}
    return sorted(found - {address})


async def link_scope(delivery: Delivery, team: Team, row: Any, **columns: Any) -> str:
    """The scope of a link that shows an image."""
    link_id = await testing.add_share_link(delivery.rows, team.id, [row["id"]], **columns)
    return LinkScope(link_id, columns.get("epoch", 0)).text


@pytest.mark.parametrize(
    ("scope", "file"),
    [("e", "thumb@71b0.webp"), ("e", "original.file"), ("e", "t-w64.auto"), ("p", "thumb.webp"), ("c", "thumb.webp")],
)
async def test_no_byte_of_an_address_can_be_changed_respelled_left_out_or_put_in(
    delivery: Delivery, scope: str, file: str
) -> None:
    team = await delivery.team()
    row = await delivery.shown(team)
    await delivery.rendition(row, Recipe(width_px=64), b"made")
    spelled = await link_scope(delivery, team, row, epoch=37) if scope == "c" else scope
    address = team.address(row, file, spelled, expiry=NOW_MINUTES)
    at(delivery, NOW_MINUTES - 1)
    assert (await delivery.get(address, "HEAD", accept="image/webp")).status_code == 200
    # Outside scope `e` the file is no right: which files are served is tested beside the presets.
    grant = len(address) - len(f"/{file}")
    places = [*range(0, grant, 3), *range(grant, len(address))] if scope == "e" else range(grant)
    delivery.queries.clear()
    for changed in changes(address, places):
        assert (await delivery.get(changed, "HEAD")).status_code == 404, changed
    assert delivery.queries == []


async def test_no_byte_of_a_public_address_can_be_changed_before_its_preset(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team, visibility="public")
    image, tag = image_text(row["id"]), team.grant(row).rpartition(".")[2]
    address = f"/i/public/{image}.{tag}/thumb.webp"
    assert (await delivery.get(address)).status_code == 200
    for changed in changes(address, range(0, len(address) - len("/thumb.webp"), 2)):
        assert (await delivery.get(changed, "HEAD")).status_code == 404, changed


async def test_an_address_is_served_whatever_query_follows_it(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team, b"a thumbnail")
    assert (await delivery.get(f"{team.address(row)}?{'x' * 200}&y=%2F")).content == b"a thumbnail"


async def test_an_address_signed_by_the_published_rules_is_served(make_delivery: MakeDelivery) -> None:
    """The vectors' own images, under the vectors' own keys and master."""
    async with make_delivery() as delivery:
        team = await delivery.team()
        served = 0
        for each in VECTORS["grants"]:
            number, expiry = int(each["signed"].split("\n")[1][1:]), int(each["signed"].split("\n")[2], 36)
            at(delivery, expiry - 1)
            await delivery.rows.execute(update(models.delivery_key).values(number=number))
            delivery.let_pass(10)
            answer = await delivery.get(each["address"])
            assert answer.status_code == 404
            # The signature was good: only so does the service look for the image.
            served += "image" in delivery.queries
            delivery.queries.clear()
        assert served == len(VECTORS["grants"]) > 0
        assert team


PRESET_FILES = ("thumb.webp", "thumb.auto", "thumb@71b0.webp", "thumb@0000.auto")
ASKED = [
    *((scope, file) for scope in ("e", "p", "c", "public", "public without a tag") for file in PRESET_FILES),
    *(("e", file) for file in ("t-w64.webp", "t-w64.auto", "original.file")),
    ("c", "original.file"),
]


@in_one_loop
@given(
    number=st.integers(1, 10**10 - 1), epoch=st.integers(0, 2**31 - 1), generation=st.integers(1, 2**62),
    expiry=st.one_of(st.just(0), st.integers(NOW_MINUTES + 1, 36**7 - 1)), asked=st.sampled_from(ASKED),
)  # fmt: skip
async def test_any_address_built_by_the_rules_is_served(
    delivery: Delivery, number: int, epoch: int, generation: int, expiry: int, asked: tuple[str, str]
) -> None:
    at(delivery, NOW_MINUTES)
    team = await delivery.team()
    await delivery.rows.execute(delete(models.delivery_key).where(models.delivery_key.c.number == number))
    await delivery.rows.execute(
        update(models.delivery_key).where(models.delivery_key.c.team_id == team.id).values(number=number)
    )
    scope, file = asked
    visibility = "public" if scope.startswith("public") else "private"
    row = await delivery.shown(team, generation=generation, delivery_epoch=epoch, visibility=visibility)
    await delivery.rendition(row, Recipe(width_px=64), b"made")
    delivery.let_pass(10)
    if scope.startswith("public"):
        tag = delivery_tag(generation, epoch) if scope == "public" else ""
        address = f"/i/public/{image_text(row['id'])}{tag and f'.{tag}'}/{file}"
    else:
        if scope == "c":
            scope = await link_scope(delivery, team, row, epoch=epoch, download="original")
            expiry = NOW_MINUTES + 1 + expiry % 90
        address = Team(team.id, number).address(row, file, scope, expiry=expiry)
    # The original's bytes are not stored here.
    method = "HEAD" if file == "original.file" else "GET"
    assert (await delivery.get(address, method, accept="image/webp")).status_code == 200


async def test_a_wrong_grant_costs_no_query(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team)
    right, other = team.address(row), team.address(row, "large.webp")
    for wrong in (right.replace("thumb", "large"), other.replace("large", "thumb"), f"/i/k1-0-e-{'A' * 22}/x/y.webp"):
        await is_unknown(delivery, wrong)
    assert delivery.queries == []


async def test_many_unknown_ids_wait_for_one_query_at_a_time(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team, visibility="public")
    addresses = [f"/i/public/{image_text(new_id())}/thumb.webp" for _ in range(200)]
    mine = f"/i/public/{image_text(row['id'])}/thumb.webp"
    answers = await asyncio.gather(*(delivery.get(each) for each in [*addresses, mine]))
    assert [answer.status_code for answer in answers] == [404] * 200 + [200]
    # The first one began a query, and everybody else waited for the next.
    assert 1 <= delivery.queries.count("image") <= 2


async def test_what_was_read_is_believed_for_five_seconds(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team, visibility="public")
    address = f"/i/public/{image_text(row['id'])}/thumb.webp"
    assert (await delivery.get(address)).status_code == 200
    await delivery.change(row["id"], visibility="private")
    delivery.let_pass(4)
    assert (await delivery.get(address)).status_code == 200
    delivery.let_pass(1.1)
    await is_unknown(delivery, address)


async def test_an_expired_address_says_so_and_costs_no_query(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team)
    address = team.address(row, expiry=NOW_MINUTES)
    at(delivery, NOW_MINUTES - 0.001)
    assert (await delivery.get(address)).status_code == 200
    at(delivery, NOW_MINUTES)
    delivery.queries.clear()
    await refused(delivery, address, 410, "delivery-expired")
    assert (await delivery.get(address)).headers["cache-control"] == "public, max-age=60"
    assert delivery.queries == []


async def test_another_teams_key_opens_nothing_and_is_not_told_why(delivery: Delivery) -> None:
    team, other = await delivery.team(), await delivery.team()
    row = await delivery.shown(team)
    await is_unknown(delivery, other.address(row))
    absent = {**dict(row.items()), "id": new_id()}  # type: ignore[attr-defined]
    await is_unknown(delivery, other.address(absent))


async def test_a_team_signs_with_its_first_key_at_once(delivery: Delivery) -> None:
    for _ in range(2):
        team = await delivery.team()
        assert (await delivery.get(team.address(await delivery.shown(team)))).status_code == 200


async def test_a_number_that_nobody_has_opens_nothing(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team)
    await is_unknown(delivery, team.address(row, key_number=7))


@pytest.mark.parametrize("state", ["active", "verifying", "retired"])
async def test_a_key_verifies_until_it_is_retired(delivery: Delivery, state: str) -> None:
    team = await delivery.team()
    row = await delivery.shown(team)
    await delivery.rows.execute(
        update(models.delivery_key).where(models.delivery_key.c.team_id == team.id).values(
            state=state, verifying_at=None if state == "active" else func.now(),
            retired_at=func.now() if state == "retired" else None,
        )
    )  # fmt: skip
    if state == "retired":
        await refused(delivery, team.address(row), 410, "delivery-revoked")
    else:
        assert (await delivery.get(team.address(row))).status_code == 200


async def test_revoking_ends_addresses_and_new_ones_are_good_at_once(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team)
    old = team.address(row)
    assert (await delivery.get(old)).status_code == 200
    await delivery.change(row["id"], delivery_epoch=1)
    # The row in memory is a moment old, and does not fit the new address.
    assert (await delivery.get(team.address(await delivery.row(row["id"])))).status_code == 200
    await refused(delivery, old, 410, "delivery-revoked")


async def test_requests_that_do_not_fit_share_one_more_look(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team)
    assert (await delivery.get(team.address(row))).status_code == 200
    delivery.queries.clear()
    answers = await asyncio.gather(*(delivery.get(team.address(row, tag="000000")) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {410}
    assert delivery.queries.count("image") == 1


@pytest.mark.parametrize("of_the_team", [False, True])
async def test_neither_the_trash_nor_a_team_that_is_removed_shows_anything(
    delivery: Delivery, of_the_team: bool
) -> None:
    now = testing.datetime.now(testing.UTC)
    team = await delivery.team(deleting_at=now if of_the_team else None)
    row = await delivery.shown(team, visibility="public", deleted_at=None if of_the_team else now)
    await refused(delivery, team.address(row), 404, "image-not-found")
    await is_unknown(delivery, f"/i/public/{image_text(row['id'])}/thumb.webp")


async def test_an_upload_that_expired_is_no_image_any_more(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.image(team, "expired")
    await refused(delivery, team.address(row), 404, "image-not-found")


async def test_a_failed_image_says_its_own_code_to_a_signed_request_alone(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.image(team, "failed", visibility="public")
    body = await refused(delivery, team.address(row), 422, "picture-unreadable")
    assert body["detail"] == "It cannot be read."
    await is_unknown(delivery, f"/i/public/{image_text(row['id'])}/thumb.webp")


async def test_a_signed_request_waits_for_an_image_that_becomes_ready(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.image(team, "processing")
    await delivery.store(row, b"at last")
    waiting = asyncio.create_task(delivery.get(team.address(row)))
    while "image" not in delivery.queries:
        await asyncio.sleep(0.01)
    ready = testing._row_of(row["id"], team.id, testing.ImageStatus.READY)
    await delivery.change(row["id"], **ready, claim_token=None, lease_expires_at=None)
    answer = await waiting
    assert (answer.status_code, answer.content) == (200, b"at last")


async def test_an_image_that_does_not_become_ready_is_a_conflict_after_a_while(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_delivery.grants.verification.READY_PATIENCE_SECONDS", 0.5)
    team = await delivery.team()
    row = await delivery.image(team, "stored", visibility="public")
    await refused(delivery, team.address(row), 409, "image-not-ready")
    answer = await delivery.get(team.address(row))
    assert int(answer.headers["retry-after"]) > 0
    await is_unknown(delivery, f"/i/public/{image_text(row['id'])}/thumb.webp")


async def test_an_image_that_is_processed_again_is_shown_meanwhile(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team, b"as before", status="stored", ready_at=testing.datetime.now(testing.UTC))
    assert (await delivery.get(team.address(row))).content == b"as before"


# --- Presets and specs -----------------------------------------------------------------------------------------------


async def test_scope_p_opens_open_presets_in_their_formats_and_nothing_else(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team, b"a thumbnail")
    await delivery.preset(team, "card", open=True, formats=["webp", "jpeg"])
    await delivery.preset(team, "secret", open=False)
    card, secret = Recipe(width_px=64), Recipe(width_px=64)
    for extension in ("webp", "jpeg", "png"):
        await delivery.rendition(row, card, extension.encode(), extension)  # type: ignore[arg-type]
    assert card == secret
    grant = team.grant(row, "p")
    for file, body in {"thumb.webp": b"a thumbnail", "card.webp": b"webp", "card.jpeg": b"jpeg"}.items():
        assert (await delivery.get(f"/i/{grant}/{file}")).content == body
    for file in ("card.png", "card.gif", "secret.webp", "t-w64.webp", "original.file", "full.file", "nothing.webp"):
        await refused(delivery, f"/i/{grant}/{file}", 404, "preset-not-found")


async def test_scope_e_opens_what_it_signs_open_or_not(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team)
    await delivery.preset(team, "secret", open=False)
    await delivery.rendition(row, Recipe(width_px=64), b"made")
    await delivery.rendition(row, Recipe(width_px=128, height_px=1, fit="cover"), b"cut")
    assert (await delivery.get(team.address(row, "secret.webp"))).content == b"made"
    assert (await delivery.get(team.address(row, "t-w64.webp"))).content == b"made"
    assert (await delivery.get(team.address(row, "t-w128-h1-cover.webp"))).content == b"cut"


@pytest.mark.parametrize(
    ("spec", "canonical"),
    [
        ("t-h480-w640-cover", "t-w640-h480-cover"), ("t-w640-q80", "t-w640"), ("t-W640", "t-w640"),
        ("t-w641", None), ("t-w640-cover", None), ("t-", None), ("t-h4097", None), ("t-w64-zoom", None),
    ],
)  # fmt: skip
async def test_a_signed_spec_that_is_wrong_says_the_right_spelling(
    delivery: Delivery, spec: str, canonical: str | None
) -> None:
    team = await delivery.team()
    row = await delivery.shown(team)
    body = await refused(delivery, team.address(row, f"{spec}.webp"), 400, "delivery-spec-invalid")
    assert body.get("canonical") == canonical


async def test_a_preset_that_is_not_there_is_told_with_the_nearest_to_a_signed_request(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team, visibility="public")
    await delivery.preset(team, "hidden-card", open=False)
    body = await refused(delivery, team.address(row, "thumbs.webp"), 404, "preset-not-found")
    assert body["nearest"] == "thumb"
    assert (await refused(delivery, team.address(row, "hiden-card.webp"), 404, "preset-not-found"))["nearest"]
    # Who may see open presets only is not told of others.
    assert "nearest" not in await refused(
        delivery, team.address(row, "hiden-card.webp", scope="p"), 404, "preset-not-found"
    )
    await is_unknown(delivery, f"/i/public/{image_text(row['id'])}/thumbs.webp")


async def test_a_signed_request_for_a_preset_is_told_what_is_wrong_with_it(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team)
    await delivery.preset(team, "card", open=True, formats=["webp", "jpeg"])
    details = {
        ("p", "card.png"): "The preset 'card' does not list this format: use webp, jpeg or auto.",
        ("p", "secret.webp"): "The team has no open preset 'secret'.",
        ("p", "full.file"): "The grant opens presets only: sign transforms, `original` and `full` one by one.",
        ("p", "t-w64.webp"): "The grant opens presets only: sign transforms, `original` and `full` one by one.",
        ("e", "secret.webp"): "The team has no preset 'secret'.",
        ("e", "CARD.webp"): "The team has no preset 'CARD'.",
    }
    for (scope, file), detail in details.items():
        body = await refused(delivery, team.address(row, file, scope=scope), 404, "preset-not-found")
        assert body["detail"] == detail
    assert body["nearest"] == "card"


async def test_a_new_preset_is_found_at_once_by_a_signed_request(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team)
    assert (await delivery.get(team.address(row))).status_code == 200
    await delivery.preset(team, "card")
    await delivery.rendition(row, Recipe(width_px=64), b"made")
    assert (await delivery.get(team.address(row, "card.webp"))).content == b"made"


async def test_old_digits_of_a_preset_go_on_and_other_changes_do_not(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team, b"a thumbnail")
    now = Recipe(width_px=256, height_px=256).short_hash()
    for digits in (f"@{now}", "@0000", ""):
        assert (await delivery.get(team.address(row, f"thumb{digits}.webp", "p"))).content == b"a thumbnail"
    for wrong in ("thumb@000.webp", "thumb@00000.webp", "thumb@GGGG.webp", "thumb@.webp", "Thumb.webp"):
        assert (await delivery.get(team.address(row, wrong, "p"))).status_code == 404


# --- Addresses that were judged before -------------------------------------------------------------------------------


@pytest.mark.parametrize("changed", ["key", "image", "preset"])
async def test_an_address_that_was_judged_before_ends_with_each_row_that_it_was_judged_by(
    delivery: Delivery, changed: str
) -> None:
    team = await delivery.team()
    row = await delivery.shown(team)
    await delivery.preset(team, "card", open=True)
    await delivery.rendition(row, Recipe(width_px=64), b"made")
    address = team.address(row, "card.webp", "p")
    for _ in range(2):
        assert (await delivery.get(address)).status_code == 200
    assert len(delivery.serving.verification._judged) == 1

    retired = {"state": "retired", "verifying_at": func.now(), "retired_at": func.now()}
    statement, status, code = {
        "key": (update(models.delivery_key).values(retired), 410, "delivery-revoked"),
        "image": (update(models.image).values(delivery_epoch=1), 410, "delivery-revoked"),
        "preset": (update(models.preset).values(open=False), 404, "preset-not-found"),
    }[changed]
    await delivery.rows.execute(statement)
    # Only this kind of row is read again: an address that is judged anew for another reason would prove nothing.
    verification = delivery.serving.verification
    lookups = {
        "key": verification._keys._rows,
        "image": verification._images.rows,
        "preset": verification._presets.rows,
    }
    lookups[changed].clock = lambda: delivery.clock() + 5.1
    await refused(delivery, address, status, code)


async def test_an_address_is_judged_once_while_its_rows_stay(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = await delivery.team()
    address = team.address(await delivery.shown(team, b"a picture"))
    assert (await delivery.get(address)).status_code == 200
    with monkeypatch.context() as patched:
        patched.setattr("image_delivery.grants.verification.parse", None)
        assert (await delivery.get(address)).content == b"a picture"


async def test_addresses_that_were_judged_take_bounded_memory(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_delivery.grants.verification._MOST_REMEMBERED", 6)
    team = await delivery.team()
    row = await delivery.shown(team)
    for expiry in range(NOW_MINUTES, NOW_MINUTES + 8):
        at(delivery, NOW_MINUTES - 1)
        assert (await delivery.get(team.address(row, expiry=expiry))).status_code == 200
        # The image and its one picture count for each address.
        assert 1 <= len(delivery.serving.verification._judged) <= 3


# --- Public images ---------------------------------------------------------------------------------------------------


async def test_a_public_image_shows_open_presets_with_and_without_its_tag(delivery: Delivery) -> None:
    team = await delivery.team()
    row = await delivery.shown(team, b"for all", visibility="public")
    await delivery.preset(team, "secret", open=False)
    image, tag = image_text(row["id"]), team.grant(row).rpartition(".")[2]
    for address in (f"{image}/thumb.webp", f"{image}.{tag}/thumb.webp", f"{image}.{tag}/thumb@0000.auto"):
        assert (await delivery.get(f"/i/public/{address}", accept="image/webp")).content == b"for all"
    for address in (
        f"{image}.000000/thumb.webp", f"{image}/secret.webp", f"{image}/t-w64.webp", f"{image}/original.file",
        f"{image}/thumb.jpeg", f"{image}./thumb.webp",
    ):  # fmt: skip
        await is_unknown(delivery, f"/i/public/{address}")


@pytest.mark.parametrize(
    ("of_team", "of_image", "status"),
    [("private", None, 404), ("public", None, 200), ("public", "private", 404), ("private", "public", 200)],
)
async def test_an_image_without_a_visibility_has_its_teams(
    delivery: Delivery, of_team: str, of_image: str | None, status: int
) -> None:
    team = await delivery.team(default_visibility=of_team)
    row = await delivery.shown(team, visibility=of_image)
    assert (await delivery.get(f"/i/public/{image_text(row['id'])}/thumb.webp")).status_code == status


# --- The database away -----------------------------------------------------------------------------------------------


async def test_without_the_database_what_was_read_counts_for_ten_minutes(delivery: Delivery) -> None:
    team = await delivery.team()
    row, other = await delivery.shown(team, b"known"), await delivery.shown(team)
    assert (await delivery.get(team.address(row))).status_code == 200
    await delivery.parts.database.close()
    delivery.let_pass(590)
    assert (await delivery.get(team.address(row))).content == b"known"
    body = await refused(delivery, team.address(other), 503, "database-unavailable")
    assert body["request_id"]
    delivery.let_pass(20)
    await refused(delivery, team.address(row), 503, "database-unavailable")


async def test_without_its_master_secret_it_is_away_and_not_unknown(
    make_delivery: MakeDelivery, secret_manager: Any
) -> None:
    async with make_delivery(delivery_master=None, delivery_master_secret="projects/p/secrets/none") as delivery:
        team = await delivery.team()
        row = await delivery.shown(team)
        answer = await delivery.get(team.address(row))
    assert (answer.status_code, answer.json()["code"]) == (503, "master-secret-unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["cache-control"] == "no-store"


async def test_a_rotation_of_the_master_ends_all_addresses_without_a_restart(
    make_delivery: MakeDelivery, secret_manager: Any
) -> None:
    secret = "projects/p/secrets/delivery-master"
    secret_manager.versions[secret] = [MASTER]
    async with make_delivery(delivery_master=None, delivery_master_secret=secret) as delivery:
        delivery.parts.master.clock = delivery.clock
        team = await delivery.team()
        row = await delivery.shown(team)
        assert (await delivery.get(team.address(row))).status_code == 200
        secret_manager.versions[secret].append(master_secrets.generate_in_place_of(MASTER))
        new = master_secrets.masters_from_text(secret_manager.versions[secret][-1]).current
        delivery.let_pass(REFRESH_SECONDS)
        await delivery.parts.master.get()
        assert delivery.parts.master._refreshing is not None
        await delivery.parts.master._refreshing
        assert (await delivery.get(team.address(row))).status_code == 404
        assert (await delivery.get(team.address(row, master=new))).status_code == 200
