"""PostgreSQL goes away, comes back, refuses and forgets to answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import asyncpg
import httpx2
import pytest

from .conftest import Scene
from .pictures import heavy_picture, picture
from .postgres_proxy import SqlRule
from .system import FaultySystem, Service

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

ROW, COMPLETION = "INSERT INTO image ", "UPDATE image SET .*filename"
CLAIM, FINISH = "UPDATE image SET .*claim_token.*RETURNING", "UPDATE image SET .*ready_at"
READ_ONLY = "ALTER SYSTEM {} default_transaction_read_only{};\nSELECT pg_reload_conf();"
END_ALL = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"


@pytest.fixture
def impatient_api(system: FaultySystem) -> Iterator[None]:
    """An upload expires after 15 s, so that what was left pending is dealt with soon."""
    system.api.restart(UPLOAD_DEADLINE_SECONDS="15")
    yield
    system.heal()
    system.api.restart()


async def refused_upload(scene: Scene, content: bytes) -> None:
    refused = await scene.caller.upload(content)
    assert refused is not None
    assert (refused.status_code, refused.json()["code"]) == (503, "database-unavailable")


async def many_uploads(scene: Scene, contents: list[bytes]) -> list[httpx2.Response | None]:
    return list(await asyncio.gather(*(scene.caller.upload(content) for content in contents)))


def restart(scene: Scene) -> None:
    scene.system.postgres.stop()
    time.sleep(0.5)
    scene.system.postgres.start()


def end_all(scene: Scene) -> None:
    scene.system.as_superuser(END_ALL)


def cut_all(scene: Scene) -> None:
    scene.api.database.cut()
    scene.processor.database.cut()


@pytest.mark.usefixtures("impatient_api")
@pytest.mark.parametrize("fault", [restart, end_all, cut_all], ids=lambda fault: fault.__name__)
async def test_connections_that_end_under_traffic_cost_no_upload_that_was_acknowledged(
    scene: Scene, fault: Callable[[Scene], None]
) -> None:
    contents = [picture() for _ in range(60)]
    for _ in range(3):
        uploads = asyncio.create_task(many_uploads(scene, contents))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(fault, scene)
        assert {answer.status_code for answer in await uploads if answer is not None} <= {200, 201, 503}
    for content in contents:
        image = await scene.caller.uploaded(content)
        await scene.until(image["id"], "ready")


async def test_a_server_that_turned_read_only_is_let_go_of_and_found_again(scene: Scene) -> None:
    before = await scene.caller.uploaded(picture(), wait=20)
    content = picture()
    scene.system.as_superuser(READ_ONLY.format("SET", " = on"))
    try:
        await asyncio.sleep(0.5)
        for _ in range(3):
            await refused_upload(scene, content)
        # What only reads goes on.
        assert (await scene.caller.image(before["id"]))["status"] == "ready"
    finally:
        scene.system.as_superuser(READ_ONLY.format("RESET", ""))
    writable_at = time.monotonic()
    while (answer := await scene.caller.upload(content)) is not None and answer.status_code == 503:
        await asyncio.sleep(0.2)
    assert time.monotonic() - writable_at < 10
    assert answer is not None
    assert answer.status_code == 201
    await scene.until(answer.json()["id"], "ready")


@pytest.mark.parametrize("fault", ["refuse", "stall"])
async def test_an_api_without_a_database_says_so_in_time(scene: Scene, fault: str) -> None:
    image = await scene.caller.uploaded(picture(), wait=20)
    getattr(scene.api.database, fault)()
    # More requests than the pool has connections.
    wanted = ["/images", f"/images/{image['id']}", f"/images/{image['id']}/content"] * 5
    answers = await asyncio.gather(*(scene.caller.ask("GET", path) for path in wanted), scene.caller.upload(picture()))
    assert {answer.status_code for answer in answers if answer is not None} == {503}
    scene.api.database.heal()
    assert (await scene.caller.image(image["id"]))["status"] == "ready"


@pytest.mark.parametrize("fault", ["refuse", "stall"])
async def test_a_processor_without_a_database_leaves_its_messages_for_later(scene: Scene, fault: str) -> None:
    getattr(scene.processor.database, fault)()
    images = [await scene.caller.uploaded(picture()) for _ in range(5)]
    await asyncio.sleep(5)
    scene.processor.database.heal()
    for image in images:
        await scene.until(image["id"], "ready")


@pytest.mark.usefixtures("impatient_api")
@pytest.mark.parametrize("statement", [ROW, COMPLETION], ids=["row", "completion"])
async def test_a_lost_answer_to_an_upload_s_commit_is_a_503_and_never_a_second_image(
    scene: Scene, statement: str
) -> None:
    content = heavy_picture(200_000)
    rule = scene.api.database.add(SqlRule(sql=statement, when="after", then="cut"))
    await refused_upload(scene, content)
    assert rule.met.is_set()
    image = await scene.caller.uploaded(content)
    await scene.until(image["id"], "ready")


async def test_a_lost_answer_to_the_commit_of_a_deletion_is_a_503_and_repeated_it_is_done(scene: Scene) -> None:
    image = await scene.caller.uploaded(picture(), wait=20)
    rule = scene.api.database.add(SqlRule(sql="^COMMIT", when="after", then="cut"))
    answer = await scene.caller.ask("DELETE", f"/images/{image['id']}")
    assert rule.met.is_set()
    assert answer is not None
    assert answer.status_code == 503
    await scene.caller.trash(image["id"])


def lose_commit_of(service: Service, statement: str) -> SqlRule:
    """Let the transaction that holds `statement` be committed, and its answer be lost."""
    commit = SqlRule(sql="^COMMIT", when="after", then="cut")
    service.database.add(SqlRule(sql=statement, act=lambda: _add(service, commit)))
    return commit


def _add(service: Service, rule: SqlRule) -> None:
    service.database.add(rule)


@pytest.mark.parametrize("statement", [CLAIM, FINISH, "INSERT INTO event"], ids=["claim", "finish", "event"])
async def test_a_lost_answer_to_a_job_s_commit_is_made_good(scene: Scene, statement: str) -> None:
    rule = lose_commit_of(scene.processor, statement)
    image = await scene.caller.uploaded(picture())
    await asyncio.to_thread(rule.wait)
    await scene.until(image["id"], "ready")


STATES = {
    "deadlock": "40P01",
    "serialization": "40001",
    "disk full": "53100",
    "out of memory": "53200",
    "too many connections": "53300",
    "shutting down": "57P01",
    "starting up": "57P03",
    "lock timeout": "55P03",
    "statement timeout": "57014",
    "read-only": "25006",
}


async def test_an_error_that_may_pass_is_a_503_at_the_api(scene: Scene) -> None:
    for name, sqlstate in STATES.items():
        for statement in (ROW, COMPLETION):
            content = picture()
            rule = scene.api.database.add(SqlRule(sql=statement, sqlstate=sqlstate))
            refused = await scene.caller.upload(content)
            assert rule.met.is_set()
            assert refused is not None
            assert (refused.status_code, refused.json()["code"]) == (503, "database-unavailable"), name
            image = await scene.caller.uploaded(content)
            await scene.until(image["id"], "ready")


async def test_an_error_that_may_pass_costs_the_processor_another_try(scene: Scene) -> None:
    images = []
    for sqlstate in STATES.values():
        for statement in (CLAIM, FINISH):
            rule = scene.processor.database.add(SqlRule(sql=statement, sqlstate=sqlstate))
            images.append(await scene.caller.uploaded(picture()))
            await asyncio.to_thread(rule.wait)
    for image in images:
        await scene.until(image["id"], "ready")


async def test_a_server_without_a_connection_to_spare_is_a_503(scene: Scene) -> None:
    content = picture()
    scene.system.as_superuser("ALTER ROLE image_api CONNECTION LIMIT 0")
    try:
        scene.system.as_superuser(END_ALL + " AND usename = 'image_api'")
        await refused_upload(scene, content)
    finally:
        scene.system.as_superuser("ALTER ROLE image_api CONNECTION LIMIT -1")
    image = await scene.caller.uploaded(content)
    await scene.until(image["id"], "ready")


async def test_a_row_that_somebody_keeps_locked_is_a_503_in_time(scene: Scene) -> None:
    image = await scene.caller.uploaded(picture(), wait=20)
    connection = await asyncpg.connect(scene.system.urls.owner)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM image WHERE id = $1 FOR UPDATE", image["id"])
            answers = await asyncio.gather(
                *(scene.caller.ask("PATCH", f"/images/{image['id']}", json={"filename": f"{n}.jpg"}) for n in range(12))
            )
    finally:
        await connection.close()
    assert {answer.status_code for answer in answers if answer is not None} == {503}
    patched = await scene.caller.ask("PATCH", f"/images/{image['id']}", json={"filename": "after.jpg"})
    assert patched is not None
    assert patched.status_code == 200


async def test_a_deadlock_ends_with_a_503_and_the_same_request_goes_through_afterwards(scene: Scene) -> None:
    image = await scene.caller.uploaded(picture(), wait=20)
    path, change = f"/images/{image['id']}", {"filename": "changed.jpg"}
    connection = await asyncpg.connect(scene.system.urls.owner)
    try:
        async with connection.transaction():
            # The API holds the row and waits for the audit log; whoever waited first is the one that is refused.
            await connection.execute("LOCK TABLE audit_event IN EXCLUSIVE MODE")
            patch = asyncio.create_task(scene.caller.ask("PATCH", path, json=change))
            await asyncio.sleep(0.4)
            await connection.execute("SELECT FROM image WHERE id = $1 FOR UPDATE", image["id"])
            answer = await patch
    finally:
        await connection.close()
    assert answer is not None
    assert answer.status_code == 503
    again = await scene.caller.ask("PATCH", path, json=change)
    assert again is not None
    assert again.status_code == 200


async def test_a_key_whose_upload_met_no_database_is_free_once_the_database_is_back(scene: Scene) -> None:
    """Half a body, then PostgreSQL is away for four seconds, then the rest."""
    content = picture()
    await scene.caller.uploaded(picture())

    async def body() -> AsyncIterator[bytes]:
        yield content[: len(content) // 2]
        await asyncio.to_thread(scene.api.database.refuse)
        yield content[len(content) // 2 :]

    broken = asyncio.create_task(scene.caller.upload(content, body=body(), key="half"))
    await asyncio.sleep(4)
    scene.api.database.heal()
    refused = await broken
    assert refused is not None
    assert (refused.status_code, refused.json()["code"]) == (503, "database-unavailable")
    free_at = time.monotonic() + 10
    while (again := await scene.caller.upload(content, key="half")) is not None and again.status_code in (409, 503):
        assert time.monotonic() < free_at, again.text
        await asyncio.sleep(0.5)
    assert again is not None
    assert again.status_code == 201, again.text
    await scene.until(again.json()["id"], "ready")
