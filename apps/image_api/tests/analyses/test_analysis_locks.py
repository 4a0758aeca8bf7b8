"""A request and an arrival that make the same analysis: both take its row first and the account after it."""

import asyncio

from sqlalchemy import func, insert, select

from image_core import testing
from image_core.analyses.catalogue import CATALOGUE, canonical_parameters
from image_core.billing import credits
from image_core.db import to_json
from image_core.ids import new_id
from image_core.models import analysis
from image_core.testing import UserWithKey

from ..conftest import Api
from .test_analyses import RESULT, analyze, balance_of


async def test_a_request_beside_an_arrival_that_has_the_result(api: Api, member: UserWithKey) -> None:
    assert member.team_id is not None
    image = await api.upload(member)
    spec, reservation_id = CATALOGUE["colors"], new_id()
    parameters, digest = canonical_parameters(spec, {})
    async with api.rows.transaction() as arriving:
        await arriving.execute(
            insert(analysis).values(
                id=new_id(), team_id=member.team_id, sha256=bytes.fromhex(image["sha256"]), analyzer="colors",
                version=spec.version, parameters=to_json(parameters), parameters_hash=digest, status="done",
                result=to_json(RESULT), analyzed_at=func.now(), reservation_id=reservation_id,
            )
        )  # fmt: skip
        asking = asyncio.create_task(analyze(api, member, image["id"]))
        await testing.wait_for_lock_waiter(api.rows)
        await credits.reserve(arriving, member.team_id, spec.price_credits, "analyze:colors", reservation_id)
        await credits.commit(arriving, reservation_id)
    answer = await asking
    assert (answer.status_code, answer.json()["status"]) == (200, "done"), answer.text
    assert await api.rows.fetch_value(select(func.count()).select_from(analysis)) == 1
    assert await balance_of(api, member.team_id) == testing.STARTING_CREDITS - spec.price_credits
