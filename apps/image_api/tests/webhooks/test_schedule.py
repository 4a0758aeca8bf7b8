"""When deliveries are tried again, and whose turn it is."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from image_api.webhooks.sending import schedule, slots
from image_api.webhooks.sending.slots import Candidate, Slots

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_ten_attempts_over_three_days() -> None:
    delays = [schedule.next_delay(attempts, lambda: 0.5) for attempts in range(11)]
    assert delays[-1] is None
    hours = [delay.total_seconds() / 3600 for delay in delays[1:-1] if delay is not None]
    assert hours == [5 / 3600, 5 / 60, 0.5, 2, 5, 10, 14, 20, 24]
    assert schedule.next_delay(1, lambda: 1.0) == timedelta(seconds=5.5)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120), ("0", 5), ("9999999999999", 86_400), ("Sun, 01 Mar 2026 12:01:00 GMT", 60),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 5), ("soon", None), ("", None), ("1.5", None), ("²", None),
        ("Sun, 01 Mar 99999999999999999999 12:01:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_in_both_forms(text: str, seconds: int | None) -> None:
    wanted = None if seconds is None else timedelta(seconds=seconds)
    assert schedule.retry_after(text, NOW) == wanted


def test_what_an_answer_means() -> None:
    assert schedule.judge(204, {}, NOW).succeeded
    assert not schedule.judge(302, {"location": "https://example.com"}, NOW).succeeded
    assert schedule.judge(410, {}, NOW).gone
    assert schedule.judge(503, {"retry-after": "60"}, NOW).hold == timedelta(seconds=60)
    assert schedule.judge(500, {}, NOW).hold is None
    assert {status for status in range(400, 600) if schedule.judge(status, {}, NOW).hold} == {429, 502, 504}
    assert schedule.judge(400, {"webhook-delivery": "Abort-Message"}, NOW).aborted
    assert not schedule.judge(400, {"webhook-delivery": "later"}, NOW).aborted


def due(team: UUID, webhook: UUID | None = None, count: int = 4, *, proven: bool = True) -> list[Candidate]:
    webhook = webhook or uuid4()
    return [Candidate(uuid4(), webhook, team, proven) for _ in range(count)]


class TestSlots:
    def test_an_endpoint_has_four_and_one_that_fails_has_one(self) -> None:
        taken = Slots(lambda: 0.0).take([*due(uuid4(), count=9), *due(uuid4(), count=9, proven=False)])
        assert [sum(each.is_proven is proven for each in taken) for proven in (True, False)] == [4, 1]

    def test_teams_and_endpoints_take_turns(self) -> None:
        team, other = uuid4(), uuid4()
        many, few = due(team), due(team)
        taken = Slots(lambda: 0.0).take([*many, *few, *due(other)])
        assert {each.team_id for each in taken[:2]} == {team, other}
        assert {each.webhook_id for each in taken[:4] if each.team_id == team} == {
            many[0].webhook_id,
            few[0].webhook_id,
        }

    def test_failing_endpoints_take_half_and_a_team_a_quarter_of_the_rest(self) -> None:
        table = Slots(lambda: 0.0)
        failing = [each for _ in range(100) for each in due(uuid4(), count=1, proven=False)]
        assert len(table.take(failing)) == slots.MOST_OF_FAILING
        team = uuid4()
        sound = [each for _ in range(20) for each in due(team)]
        assert len(table.take(sound)) == (slots.SLOTS - slots.MOST_OF_FAILING) // 4
        assert len(table.take(due(uuid4()))) == 4

    def test_endpoints_that_hang_leave_their_team_its_slots(self) -> None:
        now = 0.0
        table, team = Slots(lambda: now), uuid4()
        hanging = [each for _ in range(8) for each in due(team)]
        assert len(table.take(hanging)) == 32
        assert table.take(due(team)) == []
        now = slots.SLOW_SECONDS + 0.1
        again = due(team, hanging[0].webhook_id)
        assert {each.webhook_id for each in table.take([*again, *due(team)])}.isdisjoint({hanging[0].webhook_id})
        assert len(table) == 36
        table.release(hanging[0].delivery_id)
        assert len(table) == 35
