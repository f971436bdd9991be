"""`update_many`: streams of any length, results as they finish."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest

from leadconnector_async import AppointmentUpdate, ConfigurationError, LeadConnector
from leadconnector_async.jobs import PlanRow, RowOutcome, Shift, update_many
from leadconnector_async.sandbox import Sandbox

from .jobbing import picture, writes


async def test_a_status_that_an_update_would_reset_is_kept(sandbox: Sandbox, client: LeadConnector) -> None:
    """Each appointment is read first; `keep=False` sends the update as it is, and loses it."""
    (event_id,) = [
        one for one in sandbox.appointment_ids if sandbox.appointment(one).appointment_status == "noshow"
    ][:1]
    outcomes = [one async for one in update_many(client, [(event_id, AppointmentUpdate(title="Safe"))])]
    assert [one.state for one in outcomes] == ["applied"]
    assert sandbox.appointment(event_id).appointment_status == "noshow"
    async for _ in update_many(client, [(event_id, AppointmentUpdate(title="Plain"))], keep=False):
        pass
    assert sandbox.appointment(event_id).appointment_status == "confirmed"


async def test_one_dead_row_stops_nobody(sandbox: Sandbox, client: LeadConnector) -> None:
    """Unknown events, bad cells and refusals come out as outcomes, with the line and the reason."""
    good = [{"eventId": one, "title": "x"} for one in sandbox.appointment_ids]
    bad = [
        {"eventId": "unknown", "title": "x"},
        {"eventId": sandbox.appointment_ids[0], "colour": "red"},
        {"eventId": sandbox.appointment_ids[0], "startTime": "2027-03-17T09:00:00"},
        {"eventId": sandbox.appointment_ids[0], "title": "y", "assigned_user_id": "nobody"},
    ]
    outcomes = [one async for one in update_many(client, [*bad, *good])]
    by_line = {one.line: one for one in outcomes}
    assert [by_line[line].state for line in (1, 2, 3, 4)] == ["failed", "refused", "refused", "failed"]
    assert "unknown column" in by_line[2].reason
    assert "no offset" in by_line[3].reason
    assert Counter(one.state for one in outcomes) == {"applied": 40, "failed": 2, "refused": 2}


async def test_all_kinds_of_rows_are_taken(sandbox: Sandbox, client: LeadConnector) -> None:
    """Pairs, mappings, rows of a plan; out of lists and out of async generators."""
    one, two, three, four = sandbox.appointment_ids[:4]
    start = sandbox.appointment(three).start_time

    async def stream() -> AsyncIterator[object]:
        yield (one, AppointmentUpdate(title="pair"))
        yield {"event_id": two, "title": "mapping"}
        yield PlanRow(9, three, shift=Shift(minutes=7 * 24 * 60))
        yield {"event_id": four, "start_time": "2027-03-17T09:05:00"}

    rows = stream()
    outcomes = [each async for each in update_many(client, rows, timezone="America/New_York")]  # type: ignore[arg-type]
    assert Counter(each.state for each in outcomes) == {"applied": 3, "failed": 1}
    assert [sandbox.appointment(each).title for each in (one, two)] == ["pair", "mapping"]
    assert (sandbox.appointment(three).start_time - start).days == 7


async def test_a_stream_is_read_no_faster_than_it_is_worked_off(sandbox: Sandbox, client: LeadConnector) -> None:
    """Whatever its length: no more rows are held than are under way or wait to be taken."""
    taken = 0

    def endless() -> Iterator[tuple[str, AppointmentUpdate]]:
        nonlocal taken
        while True:
            for event_id in sandbox.appointment_ids:
                taken += 1
                yield event_id, AppointmentUpdate(title=f"turn {taken}")

    done = 0
    outcomes = update_many(client, endless(), concurrency=4)
    async for _ in outcomes:
        done += 1
        assert taken - done <= 3 * 4
        if done == 100:
            break
    await outcomes.aclose()  # type: ignore[attr-defined]
    sent = len(sandbox.requests)
    await asyncio.sleep(0.05)
    assert len(sandbox.requests) == sent


async def test_what_the_stream_raises_reaches_the_caller(sandbox: Sandbox, client: LeadConnector) -> None:
    """After the outcomes of the rows before it."""

    def broken() -> Iterator[tuple[str, AppointmentUpdate]]:
        yield sandbox.appointment_ids[0], AppointmentUpdate(title="x")
        raise RuntimeError("the file ended")

    states: list[str] = []
    with pytest.raises(RuntimeError, match="the file ended"):
        await _collect(states, update_many(client, broken()))
    assert states == ["applied"]


async def _collect(states: list[str], outcomes: AsyncIterator[RowOutcome]) -> None:
    async for outcome in outcomes:
        states.append(outcome.state)


async def test_a_write_in_doubt_is_told(sandbox: Sandbox, client: LeadConnector) -> None:
    """It is read back, done once, and marked only if it was sent again."""
    sandbox.faults.plan("update_appointment", ["lose-answer", "ok", "503", "ok"])
    before = picture(sandbox)
    rows = [(one, AppointmentUpdate(title="x")) for one in sandbox.appointment_ids[:3]]
    outcomes = [one async for one in update_many(client, rows, concurrency=1)]
    assert [(one.state, one.repeated) for one in outcomes] == [
        ("applied", False),
        ("applied", False),
        ("applied", True),
    ]
    assert len(writes(sandbox)) == 3
    assert picture(sandbox) != before


async def test_a_bad_concurrency_is_refused(client: LeadConnector) -> None:
    """Before anything else."""
    with pytest.raises(ConfigurationError, match="concurrency"):
        async for _ in update_many(client, [], concurrency=0):
            pass
