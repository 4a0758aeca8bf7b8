"""Who answers `labels`: the built-in measurements, a model of the processor's, or Cloud Vision."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest
from sqlalchemy import select, update

from image_api.lookups.analyzer_models import AnalyzerModels
from image_core import testing
from image_core.analyses.catalogue import VISION_PRICE_CREDITS, VISION_VERSION
from image_core.db import to_json
from image_core.models import analysis, analyzer_model, team
from image_core.testing import UserWithKey

from ..conftest import Api
from ..pictures import picture
from .test_analyses import analyze, balance_of, end_all


class TestModels:
    MODEL: ClassVar = {"name": "colors", "version": "1.0", "sha256": "ab" * 32}

    async def tell(self, api: Api, version: str) -> None:
        """As a processor does that has loaded its model."""
        await api.rows.execute(analyzer_model.delete())
        await api.rows.execute(
            analyzer_model.insert().values(name="labels", version=version, model=to_json(self.MODEL))
        )
        api.services.analyzer_models._asked_at = float("-inf")

    async def test_analyzers_show_the_model_that_answers(self, api: Api, member: UserWithKey) -> None:
        await self.tell(api, "1+abababababab")
        listed = (await api.client.get("/api/v1/analyzers", headers=member.headers)).json()["items"]
        shown = {item["name"]: (item["version"], item["model"]) for item in listed}
        assert shown["labels"] == ("1+abababababab", self.MODEL)
        assert shown["colors"] == ("1", None)

    async def test_another_model_is_asked_anew(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        asked = []
        for version in ("1+aaaaaaaaaaaa", "1+bbbbbbbbbbbb", "1+aaaaaaaaaaaa"):
            await self.tell(api, version)
            answer = (await analyze(api, member, image["id"], analyzer="labels")).json()
            asked.append((answer["version"], answer["analysis_id"], answer["credits"]["spent"]))
        assert [version for version, _, _ in asked] == ["1+aaaaaaaaaaaa", "1+bbbbbbbbbbbb", "1+aaaaaaaaaaaa"]
        assert asked[0][1] == asked[2][1] != asked[1][1]
        assert [spent for _, _, spent in asked] == [1, 1, 0]

    async def test_what_was_told_is_remembered_for_a_while(self, api: Api, member: UserWithKey) -> None:
        await self.tell(api, "1+aaaaaaaaaaaa")
        assert (await api.services.analyzer_models.find("labels")).version == "1+aaaaaaaaaaaa"
        await api.rows.execute(update(analyzer_model).values(version="1+bbbbbbbbbbbb"))
        assert (await api.services.analyzer_models.find("labels")).version == "1+aaaaaaaaaaaa"
        impatient = AnalyzerModels(api.services.database, fresh_seconds=-1)
        assert (await impatient.find("labels")).version == "1+bbbbbbbbbbbb"

    @pytest.mark.parametrize("code", ["model-missing", "model-broken"])
    async def test_model_that_cannot_be_used_is_told(self, api: Api, member: UserWithKey, code: str) -> None:
        image = await api.upload(member)
        asking = asyncio.create_task(analyze(api, member, image["id"], wait=20, analyzer="labels"))
        while not await api.rows.fetch(select(analysis)):
            await asyncio.sleep(0.01)
        await end_all(api, status="failed", failure_code=code, failure_message="No model.")
        answer = await asking
        assert (answer.status_code, answer.json()["code"]) == (503, code)


class TestVision:
    @pytest.fixture
    async def enabled(self, api: Api) -> AsyncIterator[None]:
        before = api.services.settings
        object.__setattr__(api.services, "settings", before.model_copy(update={"vision_enabled": True}))
        yield
        object.__setattr__(api.services, "settings", before)

    async def choose(self, api: Api, member: UserWithKey, source: str = "vision") -> Any:
        path = f"/api/v1/teams/{member.team_id}"
        return await api.client.patch(path, json={"label_source": source}, headers=api.admin.headers)

    async def test_it_is_chosen_only_where_it_is_enabled(self, api: Api, member: UserWithKey) -> None:
        refused = await self.choose(api, member)
        assert (refused.status_code, refused.json()["code"]) == (409, "vision-not-enabled")
        body = {"name": "New team", "label_source": "vision"}
        refused = await api.client.post("/api/v1/teams", json=body, headers=api.admin.headers)
        assert (refused.status_code, refused.json()["code"]) == (409, "vision-not-enabled")

    @pytest.mark.usefixtures("enabled")
    async def test_labels_are_asked_of_it_at_its_price(self, api: Api, member: UserWithKey) -> None:
        assert (await self.choose(api, member)).json()["label_source"] == "vision"
        image = await api.upload(member)
        asked = (await analyze(api, member, image["id"], analyzer="labels")).json()
        assert (asked["version"], asked["credits"]["spent"]) == (VISION_VERSION, VISION_PRICE_CREDITS)
        colors = (await analyze(api, member, image["id"])).json()
        assert (colors["version"], colors["credits"]["spent"]) == ("1", 1)

    @pytest.mark.usefixtures("enabled")
    async def test_analyzers_show_what_answers_the_team(self, api: Api, member: UserWithKey) -> None:
        await self.choose(api, member)
        for by, version in ((member, VISION_VERSION), (await api.user(), "1")):
            listed = (await api.client.get("/api/v1/analyzers", headers=by.headers)).json()["items"]
            (labels,) = [item for item in listed if item["name"] == "labels"]
            assert labels["version"] == version
            assert labels["price_credits"] == (VISION_PRICE_CREDITS if version == VISION_VERSION else 1)

    @pytest.mark.usefixtures("enabled")
    async def test_file_is_known_by_the_results_of_the_source(self, api: Api, member: UserWithKey) -> None:
        file = {"file": ("a.png", picture(), "image/png")}
        first = (await api.client.post("/api/v1/classify?wait=0", files=file, headers=member.headers)).json()
        await self.choose(api, member)
        second = (await api.client.post("/api/v1/classify?wait=0", files=file, headers=member.headers)).json()
        assert (first["version"], second["version"]) == ("1", VISION_VERSION)
        third = (await api.client.post("/api/v1/classify?wait=0", files=file, headers=member.headers)).json()
        assert third["analysis_id"] == second["analysis_id"]

    async def test_nothing_answers_in_its_place_once_it_is_disabled(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        await api.rows.execute(update(team).values(label_source="vision"))
        answer = await analyze(api, member, image["id"], analyzer="labels")
        assert (answer.status_code, answer.json()["code"]) == (409, "vision-not-enabled")
        assert await balance_of(api, member.team_id) == testing.STARTING_CREDITS

    @pytest.mark.usefixtures("enabled")
    async def test_refusal_is_told(self, api: Api, member: UserWithKey) -> None:
        await self.choose(api, member)
        image = await api.upload(member)
        asking = asyncio.create_task(analyze(api, member, image["id"], wait=20, analyzer="labels"))
        while not await api.rows.fetch(select(analysis)):
            await asyncio.sleep(0.01)
        await end_all(api, status="failed", failure_code="vision-refused", failure_message="No.")
        assert (await asking).json()["code"] == "vision-refused"
