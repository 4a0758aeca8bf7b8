import asyncio
import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from image_api.actor import Role
from image_core import testing
from image_core.analyses.catalogue import CATALOGUE
from image_core.db import to_json
from image_core.ids import new_id
from image_core.models import analysis, credit_account, credit_entry, event
from image_core.testing import UserWithKey

from ..conftest import Api

RESULT = {
    "palette": [{"hex": "#102030", "name": "black", "share": 1.0}],
    "transparency": 0.0,
    "grey": False,
    "mean_chroma": 3.0,
    "warmth": -1.0,
    "temperature": "cool",
}


async def analyze(api: Api, by: UserWithKey, image_id: Any, wait: float = 0, **body: Any) -> Any:
    wish = {"image_id": str(image_id), "analyzer": "colors", **body}
    return await api.client.post("/api/v1/analyze", json=wish, headers=by.headers, params={"wait": wait})


async def balance_of(api: Api, team_id: UUID) -> int:
    left: int = await api.rows.fetch_value(select(credit_account.c.balance).where(credit_account.c.team_id == team_id))
    return left


async def end_all(api: Api, **columns: Any) -> None:
    """As the processor leaves a row when it is over."""
    await api.rows.execute(update(analysis).values(**columns))


async def finish_all(api: Api) -> None:
    await end_all(api, status="done", result=to_json(RESULT), analyzed_at=func.now())


async def requests_published(api: Api) -> int:
    count: int = await api.rows.fetch_value(
        select(func.count()).select_from(event).where(event.c.topic == "analyses", event.c.published_at.is_not(None))
    )
    return count


class TestAsking:
    async def test_new_analysis_is_asked_for_and_paid(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        answer = await analyze(api, member, image["id"])
        body = answer.json()
        assert (answer.status_code, body["status"], body["cached"]) == (202, "requested", False)
        assert body["credits"] == {"spent": 1, "left": testing.STARTING_CREDITS - 1}
        assert answer.headers["location"] == f"/api/v1/analyses/{body['analysis_id']}"
        assert await requests_published(api) == 1

    async def test_stored_result_is_given_again_at_no_cost(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        await analyze(api, member, image["id"])
        await finish_all(api)
        first, second = [await analyze(api, member, image["id"]) for _ in range(2)]
        assert first.content == second.content
        body = first.json()
        assert (first.status_code, body["cached"], body["result"]) == (200, True, RESULT)
        assert body["credits"] == {"spent": 0, "left": testing.STARTING_CREDITS - 1}
        assert (body["analyzer"], body["version"], body["sha256"]) == ("colors", "1", image["sha256"])

    async def test_it_waits_for_the_result(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        waiting = asyncio.create_task(analyze(api, member, image["id"], wait=20))
        while not await api.rows.fetch_value(select(func.count()).select_from(analysis)):
            await asyncio.sleep(0.01)
        await finish_all(api)
        answer = await waiting
        assert (answer.status_code, answer.json()["result"], answer.json()["cached"]) == (200, RESULT, False)

    async def test_asked_ten_times_at_once_it_is_paid_once(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        answers = await asyncio.gather(*(analyze(api, member, image["id"]) for _ in range(10)))
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["analysis_id"] for answer in answers}) == 1
        assert sum(answer.json()["credits"]["spent"] for answer in answers) == 1
        assert await balance_of(api, member.team_id) == testing.STARTING_CREDITS - 1
        assert await requests_published(api) == 1

    async def test_other_parameters_are_another_analysis(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        wishes: list[dict[str, Any]] = [{}, {"colors": 6}, {"colors": 3}]
        ids = [(await analyze(api, member, image["id"], parameters=each)).json()["analysis_id"] for each in wishes]
        # The default said aloud is still the default.
        assert ids[0] == ids[1] != ids[2]

    async def test_without_a_name_it_means_skin(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        body = {"image_id": image["id"]}
        answer = await api.client.post("/api/v1/analyze?wait=0", json=body, headers=member.headers)
        assert answer.json()["analyzer"] == "skin"

    async def test_new_version_stands_beside_the_old(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from dataclasses import replace

        image = await api.upload(member)
        await analyze(api, member, image["id"])
        await finish_all(api)
        monkeypatch.setitem(CATALOGUE, "colors", replace(CATALOGUE["colors"], version="2"))
        assert (await analyze(api, member, image["id"])).json()["version"] == "2"
        listed = await api.client.get(f"/api/v1/images/{image['id']}/analyses", headers=member.headers)
        assert [item["version"] for item in listed.json()["items"]] == ["2", "1"]

    async def test_same_bytes_in_another_team_are_its_own_affair(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        image = await api.upload(member)
        await analyze(api, member, image["id"])
        await finish_all(api)
        twin = await api.upload(stranger)
        assert twin["sha256"] == image["sha256"]
        answer = await analyze(api, stranger, twin["id"])
        assert (answer.status_code, answer.json()["credits"]["spent"]) == (202, 1)
        assert await balance_of(api, stranger.team_id) == testing.STARTING_CREDITS - 1


class TestRefusal:
    async def test_unknown_analyzer_names_the_nearest(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        answer = await analyze(api, member, image["id"], analyzer="colours")
        assert (answer.status_code, answer.json()["code"]) == (422, "analyzer-unknown")
        assert "'colors'" in answer.json()["detail"]

    @pytest.mark.parametrize("parameters", [{"colors": 0}, {"colours": 3}, {"colors": "many"}])
    async def test_bad_parameters_are_named(self, api: Api, member: UserWithKey, parameters: dict[str, Any]) -> None:
        image = await api.upload(member)
        answer = await analyze(api, member, image["id"], parameters=parameters)
        assert (answer.status_code, answer.json()["code"]) == (422, "request-invalid")
        assert answer.json()["errors"][0]["field"] == f"parameters.{next(iter(parameters))}"
        assert await balance_of(api, member.team_id) == testing.STARTING_CREDITS

    @pytest.mark.parametrize("body", [{"team_id": "x"}, {"price": 0}, {"reservation_id": None}])
    async def test_fields_of_ours_are_refused(self, api: Api, member: UserWithKey, body: dict[str, Any]) -> None:
        image = await api.upload(member)
        assert (await analyze(api, member, image["id"], **body)).status_code == 422

    async def test_absent_and_foreign_images_answer_alike(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        image = await api.upload(member)
        for image_id in (image["id"], new_id()):
            answer = await analyze(api, stranger, image_id)
            assert (answer.status_code, answer.json()["code"]) == (404, "image-not-found")

    async def test_image_whose_bytes_have_not_arrived_is_not_ready(self, api: Api, member: UserWithKey) -> None:
        image_id = await testing.add_image(api.rows, member.team_id, "pending")
        answer = await analyze(api, member, image_id)
        assert (answer.status_code, answer.json()["code"]) == (409, "image-not-ready")

    async def test_image_that_failed_is_not_decodable(self, api: Api, member: UserWithKey) -> None:
        image_id = await testing.add_image(api.rows, member.team_id, "failed")
        answer = await analyze(api, member, image_id)
        assert (answer.status_code, answer.json()["code"]) == (422, "image-not-decodable")
        assert answer.json()["reason"] == (await api.row(image_id))["failure_code"]

    async def test_image_in_the_trash_is_not_analysed(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        await api.set_row(image["id"], deleted_at=func.now())
        assert (await analyze(api, member, image["id"])).status_code == 404

    async def test_empty_balance_refuses_and_tells_the_price(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        await api.rows.execute(update(credit_account).values(balance=0))
        answer = await analyze(api, member, image["id"])
        assert (answer.status_code, answer.json()["code"]) == (429, "credits-exhausted")
        assert (answer.json()["price"], answer.json()["balance"]) == (1, 0)
        assert await api.rows.fetch(select(analysis)) == []

    async def test_overspending_by_a_race_fails(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        await api.rows.execute(update(credit_account).values(balance=3))
        wishes = [{"colors": number} for number in range(1, 13)]
        answers = await asyncio.gather(*(analyze(api, member, image["id"], parameters=each) for each in wishes))
        assert sorted(answer.status_code for answer in answers) == [202] * 3 + [429] * 9
        assert await balance_of(api, member.team_id) == 0

    async def test_viewer_may_not_run_but_may_read(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        viewer = await api.user(member.team_id, Role.VIEWER)
        refused = await analyze(api, viewer, image["id"])
        assert (refused.status_code, refused.json()["missing_scopes"]) == (403, ["analyses:run"])
        read = await api.client.get(f"/api/v1/images/{image['id']}/analyses", headers=viewer.headers)
        assert read.status_code == 200


class TestEnd:
    @pytest.mark.parametrize(
        ("failure", "status", "code"),
        [
            ("image-undecodable", 422, "image-not-decodable"),
            ("analyzer-failed", 503, "analyzer-failed"),
            ("analysis-attempts-exhausted", 503, "analyzer-failed"),
            ("image-gone", 404, "image-not-found"),
        ],
    )
    async def test_failure_is_told_to_whoever_waits(
        self, api: Api, member: UserWithKey, failure: str, status: int, code: str
    ) -> None:
        image = await api.upload(member)
        waiting = asyncio.create_task(analyze(api, member, image["id"], wait=20))
        while not await api.rows.fetch_value(select(func.count()).select_from(analysis)):
            await asyncio.sleep(0.01)
        await end_all(api, status="failed", failure_code=failure, failure_message="Why.")
        answer = await waiting
        assert (answer.status_code, answer.json()["code"], answer.json()["detail"]) == (status, code, "Why.")

    async def test_what_failed_can_be_asked_for_again(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        first = (await analyze(api, member, image["id"])).json()
        await end_all(api, status="failed", failure_code="analyzer-failed")
        again = await analyze(api, member, image["id"])
        assert (again.status_code, again.json()["credits"]["spent"]) == (202, 1)
        assert again.json()["analysis_id"] != first["analysis_id"]

    async def test_place_to_ask_shows_it_whatever_its_state(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        place = (await analyze(api, member, image["id"])).headers["location"]
        shown = (await api.client.get(place, headers=member.headers)).json()
        assert (shown["status"], shown["result"], shown["image_id"]) == ("requested", None, image["id"])
        await end_all(api, status="failed", failure_code="analyzer-failed", failure_message="Why.")
        shown = (await api.client.get(place, headers=member.headers)).json()
        assert (shown["status"], shown["failure"]) == ("failed", {"code": "analyzer-failed", "message": "Why."})

    async def test_foreign_analysis_is_not_there(self, api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
        image = await api.upload(member)
        place = (await analyze(api, member, image["id"])).headers["location"]
        for path in (place, f"/api/v1/analyses/{new_id()}"):
            answer = await api.client.get(path, headers=stranger.headers)
            assert (answer.status_code, answer.json()["code"]) == (404, "analysis-not-found")
        foreign = await api.client.get(f"/api/v1/images/{image['id']}/analyses", headers=stranger.headers)
        assert foreign.status_code == 404


class TestReading:
    async def test_analyses_of_an_image_are_paged(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        for colors in (2, 3, 4):
            await analyze(api, member, image["id"], parameters={"colors": colors})
        path, seen, cursor = f"/api/v1/images/{image['id']}/analyses", [], None
        while True:
            query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = (await api.client.get(path, headers=member.headers, params=query)).json()
            seen += [item["parameters"]["colors"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == [4, 3, 2]

    async def test_analyzers_are_listed_with_price_and_shapes(self, api: Api, member: UserWithKey) -> None:
        listed = (await api.client.get("/api/v1/analyzers", headers=member.headers)).json()["items"]
        assert {item["name"]: item["price_credits"] for item in listed} == {
            name: spec.price_credits for name, spec in CATALOGUE.items()
        }
        assert all(item["parameters"]["type"] == item["result"]["type"] == "object" for item in listed)

    async def test_ledger_names_the_operation(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        await analyze(api, member, image["id"])
        (entry,) = await api.rows.fetch(select(credit_entry).where(credit_entry.c.kind == "reserved"))
        assert (entry["operation"], entry["amount"]) == ("analyze:colors", -1)


class TestOnArrival:
    async def test_admin_chooses_the_analyzers_of_a_team(self, api: Api, member: UserWithKey) -> None:
        path = f"/api/v1/teams/{member.team_id}"
        answer = await api.client.patch(path, json={"analyze_on_arrival": ["quality"]}, headers=api.admin.headers)
        assert answer.json()["analyze_on_arrival"] == ["quality"]

    async def test_unknown_analyzer_is_refused(self, api: Api, member: UserWithKey) -> None:
        path = f"/api/v1/teams/{member.team_id}"
        answer = await api.client.patch(path, json={"analyze_on_arrival": ["beauty"]}, headers=api.admin.headers)
        assert answer.status_code == 422
        assert "quality" in answer.json()["errors"][0]["message"]


async def test_result_is_written_with_sorted_keys(api: Api, member: UserWithKey) -> None:
    image = await api.upload(member)
    await analyze(api, member, image["id"])
    await finish_all(api)
    text = (await analyze(api, member, image["id"])).text
    assert json.dumps(RESULT, sort_keys=True, separators=(",", ":")) in text


async def test_request_survives_a_broker_that_is_away(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    from image_core import errors

    image = await api.upload(member)

    async def away(*_: Any, **__: Any) -> None:
        raise errors.MessagingUnavailable("Away.") from OSError()

    monkeypatch.setattr(api.services.publisher, "publish", away)
    assert (await analyze(api, member, image["id"])).status_code == 202
    # The sweep publishes what is left.
    assert await requests_published(api) == 0
    assert await api.rows.fetch_value(select(func.count()).select_from(event).where(event.c.topic == "analyses")) == 1


async def test_inserted_meanwhile_it_is_the_others(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    from image_api.analyses import queries

    image = await api.upload(member)
    find = queries.find_by_content
    looked = []

    async def find_late(*arguments: Any) -> Any:
        found = await find(*arguments)
        if not looked:
            looked.append(True)
            await testing.add_analysis(api.rows, member.team_id, bytes.fromhex(image["sha256"]))
        return found

    monkeypatch.setattr(queries, "find_by_content", find_late)
    answer = await analyze(api, member, image["id"])
    assert (answer.status_code, answer.json()["credits"]["spent"]) == (202, 0)
    assert await balance_of(api, member.team_id) == testing.STARTING_CREDITS
