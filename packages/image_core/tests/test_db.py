import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import bindparam, func, insert, literal, select, text

from image_core import db, errors, testing
from image_core.db import Database, DatabaseConfig, Query, to_json
from image_core.ids import new_id
from image_core.models import team

ONE = Query(select(literal(1)))
BACKEND = Query(select(func.pg_backend_pid()))
TEAMS = Query(select(func.count()).select_from(team))


def a_team(name: str) -> Any:
    return insert(team).values(id=new_id(), name=name)


@pytest.fixture
async def database(urls: Any) -> AsyncIterator[Database]:
    made = Database(DatabaseConfig(url=urls.api, pool_size=2, acquire_timeout_seconds=0.2))
    await made.open()
    yield made
    await made.close()


async def end_backends(rows: Database) -> None:
    await rows.execute(
        text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = 'image_api' AND datname = current_database()"
        )
    )


async def backends(rows: Database) -> int:
    found: int = await rows.fetch_value(
        text(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'image_api' AND datname = current_database()"
            " AND state <> 'idle'"
        )
    )
    return found


class TestVerbs:
    async def test_values_travel_by_name_and_rows_come_back_by_name_or_place(self, database: Database) -> None:
        query = Query(select(bindparam("a", type_=team.c.name.type).label("x"), literal(2).label("y")))
        row = await database.fetch_one(query, a="é")
        assert row is not None
        assert (row["x"], row[1], list(row.keys())) == ("é", 2, ["x", "y"])
        assert await database.fetch_value(query, a="z") == "z"
        assert await database.fetch(select(team)) == []
        assert await database.fetch_one(select(team)) is None

    async def test_a_parameter_without_a_value_is_an_error(self, database: Database) -> None:
        with pytest.raises(TypeError, match="'limit' has no value"):
            await database.fetch(Query(select(team).limit(bindparam("limit"))), most=1)

    async def test_execute_says_how_many_rows_it_touched(self, database: Database) -> None:
        assert await database.execute(a_team("a")) == 1
        assert await database.execute(team.update().values(keep_location=False)) == 1
        assert await database.execute(team.update().where(team.c.name == "b").values(keep_location=False)) == 0

    async def test_the_url_may_begin_in_either_way(self, urls: Any) -> None:
        for scheme in ("postgres://", "postgresql://"):
            other = Database(DatabaseConfig(url=urls.api.replace("postgresql://", scheme)))
            await other.open()
            assert await other.fetch_value(ONE) == 1
            await other.close()

    async def test_json_is_text_on_its_way_in(self) -> None:
        assert to_json({"a": [1, None]}) == '{"a":[1,null]}'


class TestTransactions:
    async def test_a_block_that_ends_well_is_committed(self, database: Database) -> None:
        async with database.transaction() as transaction:
            await transaction.execute(a_team("a"))
        assert await database.fetch_value(TEAMS) == 1

    async def test_an_error_undoes_everything(self, database: Database) -> None:
        with pytest.raises(RuntimeError):
            async with database.transaction() as transaction:
                await transaction.execute(a_team("a"))
                raise RuntimeError
        assert await database.fetch_value(TEAMS) == 0

    async def test_an_error_inside_a_savepoint_undoes_only_what_was_inside(self, database: Database) -> None:
        async with database.transaction() as transaction:
            await transaction.execute(a_team("a"))
            with pytest.raises(db.UniqueViolation):
                async with transaction.savepoint():
                    await transaction.execute(a_team("b"))
                    await transaction.execute(a_team("a"))
            await transaction.execute(a_team("c"))
        names = await database.fetch(select(team.c.name).order_by(team.c.name))
        assert [row[0] for row in names] == ["a", "c"]

    async def test_a_commit_that_fails_is_never_a_success(self, database: Database, rows: Database) -> None:
        await rows._pool.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$;"
            " CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON team DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        try:
            with pytest.raises(errors.DatabaseUnavailable):
                async with database.transaction() as transaction:
                    await transaction.execute(a_team("a"))
        finally:
            await rows._pool.execute("DROP TRIGGER refuse ON team; DROP FUNCTION refuse()")
        assert await database.fetch_value(TEAMS) == 0

    async def test_a_connection_that_dies_before_the_commit_is_never_a_success(
        self, database: Database, rows: Database
    ) -> None:
        with pytest.raises(errors.DatabaseUnavailable):
            async with database.transaction() as transaction:
                await transaction.execute(a_team("a"))
                await end_backends(rows)
        assert await database.fetch_value(TEAMS) == 0

    async def test_two_who_wait_for_each_other_are_told_to_come_again(self, database: Database) -> None:
        for name in ("a", "b"):
            await database.execute(a_team(name))
        both_hold_one = asyncio.Barrier(2)

        async def take(first: str, second: str) -> None:
            async with database.transaction() as transaction:
                await transaction.execute(team.update().where(team.c.name == first).values(revision=2))
                await both_hold_one.wait()
                await transaction.execute(team.update().where(team.c.name == second).values(revision=3))

        outcomes = await asyncio.gather(take("a", "b"), take("b", "a"), return_exceptions=True)
        assert sorted(type(each).__name__ for each in outcomes) == ["DatabaseUnavailable", "NoneType"]


class TestFaults:
    async def test_after_the_backend_was_ended_the_next_read_succeeds(self, database: Database, rows: Database) -> None:
        first = await database.fetch_value(BACKEND)
        await end_backends(rows)
        assert await database.fetch_value(BACKEND) != first

    async def test_a_write_on_a_dead_connection_is_not_repeated(self, database: Database, rows: Database) -> None:
        await database.fetch_value(ONE)
        await end_backends(rows)
        try:
            # The pool may have heard of the end before it lends the connection.
            written = await database.execute(a_team("a"))
        except errors.DatabaseUnavailable:
            written = 0
        assert await database.execute(a_team("b")) == 1
        assert await database.fetch_value(TEAMS) == written + 1

    async def test_a_node_that_turned_read_only_is_let_go_of(self, database: Database, rows: Database) -> None:
        """As after a failover: it answers `SELECT 1` and refuses each write."""
        before = await database.fetch_value(BACKEND)
        name = await rows.fetch_value(select(func.current_database()))
        await rows._pool.execute(f"ALTER ROLE image_api IN DATABASE {name} SET default_transaction_read_only = on")
        try:
            await end_backends(rows)
            with pytest.raises(errors.DatabaseUnavailable) as caught:
                for _ in range(2):
                    await database.execute(a_team("a"))
            stuck = caught.value
        finally:
            await rows._pool.execute(f"ALTER ROLE image_api IN DATABASE {name} RESET default_transaction_read_only")
        assert stuck.retry_after_seconds > 0
        # The old session stays read-only for ever; only a pool that let go of it recovers without being told.
        for _ in range(3):
            try:
                assert await database.execute(a_team("b")) == 1
                break
            except errors.DatabaseUnavailable:
                continue
        assert await database.fetch_value(TEAMS) == 1
        assert await database.fetch_value(BACKEND) != before

    async def test_every_connection_of_a_read_only_node_goes_with_the_first(
        self, database: Database, rows: Database
    ) -> None:
        async with database.connection() as first, database.connection() as second:
            held = {await first.fetch_value(BACKEND), await second.fetch_value(BACKEND)}
        with pytest.raises(errors.DatabaseUnavailable) as caught:
            async with database.connection():
                raise asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT in a read-only transaction")
        assert isinstance(caught.value.__cause__, asyncpg.ReadOnlySQLTransactionError)
        async with database.connection() as first, database.connection() as second:
            fresh = {await first.fetch_value(BACKEND), await second.fetch_value(BACKEND)}
        assert held.isdisjoint(fresh)

    async def test_a_pool_that_is_exhausted_says_so_once(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = 0

        def counted() -> float:
            nonlocal asked
            asked += 1
            return 0.1

        async with database.connection(), database.connection():
            monkeypatch.setattr(database, "_acquire_timeout", counted)
            with pytest.raises(errors.DatabaseUnavailable):
                await database.fetch_value(ONE)
        assert asked == 1
        assert await database.fetch_value(ONE) == 1

    async def test_a_statement_that_takes_too_long_is_ended_and_not_asked_again(
        self, urls: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        database = Database(DatabaseConfig(url=urls.api, statement_timeout_seconds=0.2))
        await database.open()
        try:
            asked = 0
            really = database._fetch

            async def counted(sql: str, arguments: list[Any]) -> Any:
                nonlocal asked
                asked += 1
                return await really(sql, arguments)

            monkeypatch.setattr(database, "_fetch", counted)
            with pytest.raises(errors.DatabaseUnavailable):
                await database.fetch_value(select(func.pg_sleep(5)))
            assert asked == 1
            assert await database.fetch_value(ONE) == 1
        finally:
            await database.close()

    async def test_a_transaction_that_takes_too_long_is_ended(self, urls: Any) -> None:
        database = Database(DatabaseConfig(url=urls.api, transaction_timeout_seconds=0.2))
        await database.open()
        try:
            with pytest.raises(errors.DatabaseUnavailable):
                async with database.transaction() as transaction:
                    await transaction.fetch_value(select(func.pg_sleep(5)))
            assert await database.fetch_value(ONE) == 1
        finally:
            await database.close()

    async def test_without_a_server_every_verb_says_so(self) -> None:
        database = Database(DatabaseConfig(url="postgresql://nobody@127.0.0.1:9/none"))
        await database.open()
        for call in (database.fetch(ONE), database.fetch_one(ONE), database.fetch_value(ONE), database.execute(ONE)):
            with pytest.raises(errors.DatabaseUnavailable):
                await call
        await database.close()

    async def test_what_the_database_refuses_is_no_outage(self, database: Database) -> None:
        await database.fetch_value(ONE)
        before = await database.fetch_value(BACKEND)
        with pytest.raises(db.UniqueViolation):
            for _ in range(2):
                await database.execute(a_team("a"))
        with pytest.raises(db.ForeignKeyViolation):
            await testing.add_user(database, new_id())
        assert await database.fetch_value(BACKEND) == before

    async def test_a_lock_that_is_not_waited_for_keeps_its_own_error(self, database: Database) -> None:
        await database.execute(a_team("a"))
        locking = select(team.c.id).with_for_update(nowait=True)
        async with database.transaction() as first:
            await first.fetch(locking)
            async with database.transaction() as second:
                with pytest.raises(db.LockNotAvailable):
                    async with second.savepoint():
                        await second.fetch(locking)


class TestCancelled:
    @pytest.mark.parametrize("inside", ["connection", "transaction"])
    async def test_a_request_that_is_cancelled_leaks_no_connection(
        self, database: Database, rows: Database, inside: str
    ) -> None:
        async def work() -> None:
            async with getattr(database, inside)() as runner:
                await runner.execute(a_team(str(new_id())))
                await runner.fetch_value(select(func.pg_sleep(30)))

        for _ in range(5):
            tasks = [asyncio.create_task(work()) for _ in range(2)]
            await asyncio.sleep(0.03)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert database.connections <= 2
        assert await asyncio.gather(database.fetch_value(ONE), database.fetch_value(ONE)) == [1, 1]
        assert await backends(rows) == 0
        if inside == "transaction":
            assert await database.fetch_value(TEAMS) == 0

    async def test_cancelling_while_waiting_for_a_connection_takes_none(self, database: Database) -> None:
        async with database.connection(), database.connection():
            task = asyncio.create_task(database.fetch_value(ONE))
            await asyncio.sleep(0.02)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert await asyncio.gather(*(database.fetch_value(ONE) for _ in range(4))) == [1] * 4

    async def test_closing_does_not_wait_for_ever(self, urls: Any) -> None:
        database = Database(DatabaseConfig(url=urls.api))
        await database.open()
        async with asyncio.timeout(8):
            async with database.connection():
                await database.close()
