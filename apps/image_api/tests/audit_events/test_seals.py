"""The chain of seals, as the sweep makes it and as the owner checks and prunes it."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import func, select, text

from image_api.audit_events import tasks
from image_api.audit_events.tasks import seal_audit_log
from image_core import admin
from image_core.admin import AdminSettings
from image_core.audit import events as audit
from image_core.audit.chain import ChainBroken, ChainReport, ExpectedSeal, check_chain
from image_core.audit.events import AuditEvent
from image_core.db import Database, DatabaseConfig, migration_engine
from image_core.models import audit_checkpoint, audit_event, audit_seal

ALWAYS = timedelta(0)


@dataclass
class Log:
    """The audit log, as housekeeping seals it, as the owner checks it, and with every right."""

    database: Database
    rows: Database
    owner_url: str

    async def write(self, *actions: str) -> None:
        for action in actions:
            async with self.database.transaction() as transaction:
                await audit.write(
                    transaction, AuditEvent(action, "thing", UUID(int=7), after={"b": 1.50, "a": "é\x7f"})
                )

    async def seal(self, **options: Any) -> int:
        return await seal_audit_log(self.database, **{"interval": ALWAYS, **options})

    async def spans(self) -> list[tuple[int, int]]:
        """Number and rows of each seal."""
        found = await self.rows.fetch(select(audit_seal).order_by(audit_seal.c.number))
        return [(row["number"], row["row_count"]) for row in found]

    async def newest(self) -> str:
        found = await self.rows.fetch_one(select(audit_seal).order_by(audit_seal.c.number.desc()).limit(1))
        assert found is not None
        return f"{found['number']}:{found['hash'].hex()}"

    async def tamper(self, *statements: str) -> None:
        """As somebody may who has every right over the server."""
        connection = await asyncpg.connect(self.rows._config.url)
        await connection.execute("SET session_replication_role = replica")
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    def check(self, expected: str | None = None) -> ChainReport:
        with migration_engine(DatabaseConfig(url=self.owner_url)).connect() as connection:
            return check_chain(connection, ExpectedSeal.parse(expected) if expected else None)


@pytest.fixture
async def log(urls: Any, rows: Database) -> AsyncIterator[Log]:
    database = Database(DatabaseConfig(url=urls.tasks))
    await database.open()
    yield Log(database, rows, urls.owner)
    await database.close()


class TestSealing:
    async def test_a_seal_covers_what_was_written_since_the_last_one(self, log: Log) -> None:
        await log.write("one", "two")
        assert await log.seal() == 1
        await log.write("three")
        assert await log.seal() == 1
        assert len(await log.rows.fetch(tasks._newest_seal)) == 1
        assert await log.spans() == [(1, 2), (2, 1)]
        assert log.check() == ChainReport(2, 3, 0, await log.newest())

    async def test_where_nothing_was_written_there_is_no_seal(self, log: Log) -> None:
        assert await log.seal() == 0
        await log.write("one")
        await log.seal()
        assert await log.seal() == 0
        assert log.check().seals == 1

    async def test_the_next_seal_waits_for_a_minute(self, log: Log) -> None:
        await log.write("one")
        assert await seal_audit_log(log.database) == 1
        await log.write("two")
        assert await seal_audit_log(log.database) == 0
        await log.tamper("UPDATE audit_seal SET created_at = created_at - interval '61 seconds'")
        assert await seal_audit_log(log.database) == 1

    async def test_a_row_that_is_committed_late_is_neither_missed_nor_sealed_twice(
        self, log: Log, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with log.database.transaction() as late:
            await audit.write(late, AuditEvent("late", "thing"))
            await log.write("early")
            assert await log.seal(patience_seconds=0) == 0
            assert "audit_seal_put_off" in caplog.messages
        assert await log.seal() == 1
        assert await log.spans() == [(1, 2)]
        actions = await log.rows.fetch(select(audit_event.c.action).order_by(audit_event.c.position))
        assert [row["action"] for row in actions] == ["late", "early"]
        assert log.check().rows == 2

    async def test_a_seal_waits_for_a_transaction_that_ends_in_time(self, log: Log) -> None:
        async with log.database.transaction() as late:
            await audit.write(late, AuditEvent("late", "thing"))
            await log.write("early")
            sealing = asyncio.create_task(log.seal(patience_seconds=30))
            await log.rows.fetch_value(text("SELECT 1"))
        assert await sealing == 1
        assert await log.spans() == [(1, 2)]

    async def test_what_is_rolled_back_leaves_a_gap_that_holds(self, log: Log) -> None:
        await log.write("one")
        with pytest.raises(ZeroDivisionError):
            async with log.database.transaction() as transaction:
                await audit.write(transaction, AuditEvent("never", "thing"))
                raise ZeroDivisionError
        await log.write("two")
        await log.seal()
        assert log.check().rows == 2

    async def test_sweeps_and_writers_at_once_leave_one_chain_with_every_row_in_it(self, log: Log) -> None:
        async def write(number: int) -> None:
            async with log.database.transaction() as transaction:
                await audit.write(transaction, AuditEvent(f"written-{number}", "thing"))

        for round_ in range(4):
            await asyncio.gather(
                *(write(round_ * 8 + n) for n in range(8)), log.seal(patience_seconds=30), log.seal(patience_seconds=30)
            )
        await log.seal(patience_seconds=30)
        checked = log.check()
        assert (checked.rows, checked.unsealed_rows) == (32, 0)

    async def test_a_seal_is_bounded_and_the_next_follows_at_once(self, log: Log) -> None:
        await log.write(*"abcdefg")
        assert await seal_audit_log(log.database, max_rows=3) == 3
        assert await log.spans() == [(1, 3), (2, 3), (3, 1)]
        assert log.check().rows == 7

    async def test_a_server_with_other_transaction_numbers_goes_on_with_the_chain(self, log: Log) -> None:
        # As after a restore into a new server: nothing that is stored names a transaction.
        await log.write("one")
        await log.seal()
        types = {str(column.type) for table in (audit_event, audit_seal) for column in table.c}
        assert not types & {"XID8", "XID"}
        await log.tamper("SELECT setval('audit_event_position_seq', 9000000000000)")
        await log.write("two")
        assert await log.seal() == 1
        assert log.check().rows == 2

    async def test_the_log_keeps_the_hash_of_each_seal(self, log: Log, caplog: pytest.LogCaptureFixture) -> None:
        await log.write("one")
        with caplog.at_level("INFO"):
            await log.seal()
        (told,) = [record.json_fields for record in caplog.records if record.message == audit.SEALED_LOG_EVENT]  # type: ignore[attr-defined]
        assert f"{told['number']}:{told['hash']}" == await log.newest()

    async def test_anybody_can_compute_a_seal_again_from_what_the_documents_say(self, log: Log) -> None:
        await log.write("one", "two")
        await log.seal()
        seal = await log.rows.fetch_one(select(audit_seal))
        assert seal is not None
        lines = hashlib.sha256()
        columns = [column.name for column in audit_event.c]
        for row in await log.rows.fetch(text(f"SELECT {', '.join(columns)} FROM audit_event ORDER BY position")):
            shown = {name: str(row[name]) if isinstance(row[name], UUID) else row[name] for name in columns}
            shown |= {name: json.loads(row[name]) if row[name] else None for name in ("before", "after")}
            shown["created_at"] = row["created_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            line = json.dumps(shown, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            lines.update(line.encode() + b"\n")
        assert lines.digest() == seal["rows_hash"]
        link = {
            "number": 1, "previous_hash": "00" * 32, "after_position": 0, "last_position": seal["last_position"],
            "row_count": 2, "rows_hash": lines.hexdigest(),
            "created_at": seal["created_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }  # fmt: skip
        whole = json.dumps(link, sort_keys=True, separators=(",", ":")).encode()
        assert hashlib.sha256(whole).digest() == seal["hash"]


@pytest.fixture
async def sealed(log: Log) -> Log:
    """Three seals of two rows each, and a row that is not sealed yet."""
    for pair in ("ab", "cd", "ef"):
        await log.write(*pair)
        await log.seal()
    await log.write("g")
    return log


_INSERT = "INSERT INTO audit_event (id, action, target_type, position) SELECT gen_random_uuid(), 'x', 'x', {} "
_TAMPERING = {
    "row changed": (2, "a row was changed", "UPDATE audit_event SET target_id = NULL WHERE action = 'c'"),
    "json changed": (2, "a row was changed", "UPDATE audit_event SET after = '{}' WHERE action = 'd'"),
    "row removed": (2, "rows were removed", "DELETE FROM audit_event WHERE action = 'd'"),
    "row added before all": (1, "before the start of", "UPDATE audit_event SET position = 0 WHERE action = 'a'"),
    "rows exchanged": (
        2,
        "a row was changed",
        "UPDATE audit_event SET action = CASE action WHEN 'c' THEN 'd' ELSE 'c' END WHERE action IN ('c', 'd')",
    ),
    "row moved behind the seals": (
        1, "rows were removed", "UPDATE audit_event SET position = position + 9000 WHERE action = 'a'"
    ),
    "seal removed": (2, "it is missing", "DELETE FROM audit_seal WHERE number = 2"),
    "first seal removed": (1, "it is missing", "DELETE FROM audit_seal WHERE number = 1"),
    "seal changed": (2, "the seal itself", "UPDATE audit_seal SET created_at = now() WHERE number = 2"),
    "hash changed": (2, "the seal itself", "UPDATE audit_seal SET hash = sha256('x') WHERE number = 2"),
    "seals exchanged": (
        1,
        "does not continue",
        "UPDATE audit_seal SET number = -number; UPDATE audit_seal SET number = number + 4",
    ),
    "sealed span and seal removed": (
        1,
        "it is missing",
        "DELETE FROM audit_event WHERE action IN ('a', 'b'); DELETE FROM audit_seal WHERE number = 1",
    ),
}  # fmt: skip


class TestVerifying:
    async def test_a_chain_that_holds_names_its_newest_seal(self, sealed: Log) -> None:
        assert sealed.check() == ChainReport(3, 6, 1, await sealed.newest())
        assert sealed.check(await sealed.newest()).seals == 3

    async def test_an_empty_log_holds(self, log: Log) -> None:
        assert log.check() == ChainReport(0, 0, 0, None)

    @pytest.mark.parametrize("what", _TAMPERING)
    async def test_tampering_shows_at_the_first_seal_that_does_not_hold(self, sealed: Log, what: str) -> None:
        number, reason, statement = _TAMPERING[what]
        await sealed.tamper(statement)
        with pytest.raises(ChainBroken) as caught:
            sealed.check()
        assert caught.value.number == number
        assert reason in caught.value.reason

    async def test_a_row_slipped_into_a_sealed_span_shows(self, log: Log) -> None:
        await log.write("a")
        with pytest.raises(ZeroDivisionError):
            async with log.database.transaction() as transaction:
                await audit.write(transaction, AuditEvent("never", "thing"))
                raise ZeroDivisionError
        await log.write("c")
        await log.seal()
        await log.tamper(_INSERT.format("position + 1") + "FROM audit_event WHERE action = 'a'")
        with pytest.raises(ChainBroken, match="rows were added"):
            log.check()

    async def test_a_tail_that_was_cut_off_shows_by_a_seal_known_from_the_log(self, sealed: Log) -> None:
        known = await sealed.newest()
        await sealed.tamper(
            "DELETE FROM audit_event WHERE action IN ('e', 'f', 'g')", "DELETE FROM audit_seal WHERE number = 3"
        )
        assert sealed.check().seals == 2
        with pytest.raises(ChainBroken, match="cut off before seal 3"):
            sealed.check(known)

    async def test_a_chain_written_anew_shows_by_a_seal_known_from_the_log(self, sealed: Log) -> None:
        known = await sealed.newest()
        await sealed.tamper("DELETE FROM audit_seal", "UPDATE audit_event SET action = 'z' WHERE action = 'a'")
        await sealed.seal(max_rows=2)
        assert sealed.check().seals == 4
        with pytest.raises(ChainBroken, match="its hash differs from the expected one"):
            sealed.check(known)

    async def test_the_command_says_so_and_ends_with_1(self, sealed: Log, capsys: pytest.CaptureFixture[str]) -> None:
        settings = AdminSettings(database_url=sealed.owner_url)
        admin.verify_audit(settings, ExpectedSeal.parse(await sealed.newest()))
        assert json.loads(capsys.readouterr().out)["intact"] is True
        await sealed.tamper("DELETE FROM audit_event WHERE action = 'c'")
        with pytest.raises(SystemExit) as ended:
            admin.verify_audit(settings, None)
        assert ended.value.code == 1
        assert json.loads(capsys.readouterr().out)["seal"] == 2
        recorded = select(audit_event.c.action).where(audit_event.c.target_id == audit.VERIFICATION_ID)
        rows = await sealed.rows.fetch(recorded.order_by(audit_event.c.position))
        assert [row["action"] for row in rows] == [audit.VERIFIED, audit.VERIFICATION_FAILED]

    @pytest.mark.parametrize("shown", ["", "1", "1:xy", "0:" + "00" * 32, "1:00"])
    def test_a_malformed_expectation_is_refused(self, shown: str) -> None:
        with pytest.raises(ValueError):
            ExpectedSeal.parse(shown)


class TestPruning:
    def prune(self, log: Log, capsys: pytest.CaptureFixture[str]) -> str:
        admin.prune_audit(AdminSettings(database_url=log.owner_url, audit_retention_days=10))
        return capsys.readouterr().out

    @pytest.fixture
    async def aged(self, log: Log, monkeypatch: pytest.MonkeyPatch) -> Log:
        """Four seals of one row each, the first two beyond the retention, made as if the clock had stood there."""
        for action, days in (("a", 30), ("b", 20), ("c", 5), ("d", 0)):
            await log.write(action)
            monkeypatch.setattr("image_api.audit_events.tasks._now", select(func.now() - timedelta(days=days)))
            await log.seal()
        return log

    async def test_what_is_beyond_the_retention_goes_and_the_chain_still_holds(
        self, aged: Log, capsys: pytest.CaptureFixture[str]
    ) -> None:
        known = await aged.newest()
        told = json.loads(self.prune(aged, capsys))
        assert (told["event"], told["number"], told["seals"], told["rows"]) == (audit.PRUNED_LOG_EVENT, 2, 2, 2)
        checked = aged.check(known)
        assert (checked.seals, checked.rows, checked.unsealed_rows) == (2, 2, 1)
        checkpoint = await aged.rows.fetch_one(select(audit_checkpoint))
        assert checkpoint is not None
        assert (checkpoint["number"], checkpoint["hash"].hex()) == (2, told["hash"])
        assert await aged.rows.fetch_value(text("SELECT after->>'rows' FROM audit_event WHERE action = 'audit.pruned'"))

    async def test_again_there_is_nothing_to_remove(self, aged: Log, capsys: pytest.CaptureFixture[str]) -> None:
        self.prune(aged, capsys)
        assert self.prune(aged, capsys) == "No sealed audit event is past its retention.\n"

    async def test_the_chain_goes_on_after_it(self, aged: Log, capsys: pytest.CaptureFixture[str]) -> None:
        self.prune(aged, capsys)
        await aged.write("e")
        await aged.seal()
        assert aged.check().seals == 3

    async def test_the_newest_seal_stays_whatever_its_age(
        self, log: Log, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("image_api.audit_events.tasks._now", select(func.now() - timedelta(days=30)))
        await log.write("a")
        await log.seal()
        self.prune(log, capsys)
        assert log.check().seals == 1

    async def test_nothing_is_removed_from_a_chain_that_does_not_hold(
        self, aged: Log, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await aged.tamper("UPDATE audit_event SET action = 'z' WHERE action = 'b'")
        with pytest.raises(SystemExit, match="Seal 2: a row was changed"):
            self.prune(aged, capsys)
        assert await aged.rows.fetch_value(select(func.count()).select_from(audit_event)) == 4

    async def test_removing_more_than_was_announced_shows(self, aged: Log, capsys: pytest.CaptureFixture[str]) -> None:
        self.prune(aged, capsys)
        await aged.tamper("DELETE FROM audit_event WHERE action = 'c'; DELETE FROM audit_seal WHERE number = 3")
        with pytest.raises(ChainBroken) as caught:
            aged.check()
        assert caught.value.number == 3
