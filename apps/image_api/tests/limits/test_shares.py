"""What a caller gets of one instance that counts on its own, as the committed environments have it."""

import re
from pathlib import Path

import pytest

from image_api.limits import rate_limits
from image_api.limits.token_buckets import Limit, MemoryBuckets
from image_api.openapi import page

from ..conftest import Api, MakeApi

ENVIRONMENTS = Path(__file__).parents[4] / "terraform" / "environments"
# What the settings give where nothing is set.
DEFAULTS = {
    "rate_limit_per_second": 50,
    "upload_rate_limit_per_second": 20,
    "address_rate_limit_per_second": 20,
    "sign_in_limit_per_minute": 30,
}


def max_instances(environment: str) -> int:
    api = re.search(
        r"^api = \{(.*?)^\}", (ENVIRONMENTS / f"{environment}.tfvars").read_text(), re.DOTALL | re.MULTILINE
    )
    assert api
    found = re.search(r"max_instances\s*=\s*(\d+)", api[1])
    assert found
    return int(found[1])


@pytest.fixture(autouse=True)
def one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes back while a test runs."""
    monkeypatch.setattr(rate_limits, "MemoryBuckets", lambda: MemoryBuckets(lambda: 0))


@pytest.mark.parametrize("environment", sorted(path.stem for path in ENVIRONMENTS.glob("*.tfvars")))
class TestTheCommittedEnvironments:
    async def test_open_the_documentation_as_often_as_one_likes(self, make_api: MakeApi, environment: str) -> None:
        async with make_api(**DEFAULTS, max_instances=max_instances(environment)) as api:
            for _ in range(20):
                answers = [await api.client.get(path) for path in sorted(page.PATHS)]
                assert [answer.status_code for answer in answers] == [200] * len(page.PATHS)
            assert "ratelimit" not in answers[0].headers
            assert (await api.client.get("/docs/nothing")).headers["ratelimit"].startswith('"addresses";r=39;')

    async def test_take_thirty_requests_of_a_key_in_a_row(self, make_api: MakeApi, environment: str) -> None:
        async with make_api(**DEFAULTS, max_instances=max_instances(environment)) as api:
            member = await api.user()
            answers = [await api.client.get("/api/v1/whoami", headers=member.headers) for _ in range(30)]
        assert [answer.status_code for answer in answers] == [200] * 30
        assert answers[0].headers["ratelimit-policy"].startswith('"requests";q=100;')

    async def test_take_uploads_and_sign_ins_at_once(self, make_api: MakeApi, environment: str) -> None:
        async with make_api(**DEFAULTS, max_instances=max_instances(environment)) as api:
            member = await api.user()
            uploads = [await api.client.post("/api/v1/images", headers=member.headers) for _ in range(20)]
            sign_ins = [await api.login(f"{n}@example.org") for n in range(10)]
        assert {answer.status_code for answer in uploads} == {415}
        assert {answer.status_code for answer in sign_ins} == {401}


@pytest.mark.parametrize(
    ("capacity", "window", "parts", "floor", "shared"),
    [
        (100, 2, 1, 20, (100, 2)),
        (100, 2, 2, 20, (100, 4)),
        (100, 2, 10, 20, (100, 10)),
        (100, 2, 1000, 20, (100, 10)),
        (40, 2, 10, 20, (40, 4)),
        (30, 60, 10, 10, (30, 180)),
        (30, 60, 10, 1, (30, 600)),
        (10, 60, 100, 1, (10, 600)),
        (4, 2, 10, 20, (4, 2)),
    ],
)
def test_a_share_divides_what_is_sustained_and_never_what_may_come_at_once(
    capacity: int, window: int, parts: int, floor: int, shared: tuple[int, int]
) -> None:
    share = Limit("x", capacity, window).share(parts, floor)
    assert (share.capacity, share.window_seconds) == shared


async def test_a_caller_is_told_of_the_instances_share(make_api: MakeApi) -> None:
    async with make_api(rate_limit_per_second=50, max_instances=10) as api:
        answers = [await _ask(api) for _ in range(101)]
    assert [status for status, _ in answers] == [200] * 100 + [429]
    assert {policy for _, policy in answers} == {'"requests";q=100;w=10'}


async def _ask(api: Api) -> tuple[int, str]:
    answer = await api.client.get("/api/v1/whoami", headers=api.admin.headers)
    return answer.status_code, answer.headers["ratelimit-policy"]
