"""`update_many`: streams of any length, results as they finish."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from leadconnector_async import (
    AppointmentUpdate,
    ConfigurationError,
    LeadConnector,
    NotFoundError,
    OutcomeUnknownError,
    PlanError,
    PreconditionFailedError,
    VerificationError,
)
from leadconnector_async.jobs import BulkJob, PlanRow, RowOutcome, Shift, many, update_many
from leadconnector_async.jobs.many import classify_failure
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
    await outcomes.aclose()
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
    sandbox.faults.plan("update_appointment", ["lose-response", "ok", "503", "ok"])
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


async def test_a_row_that_is_none_of_any_kind_is_refused(sandbox: Sandbox, client: LeadConnector) -> None:
    """With its line and what it should have been; the others go on."""

    class Broken(Mapping[str, object]):
        def __getitem__(self, name: str) -> object:
            raise RuntimeError("no cell")

        def __iter__(self) -> Iterator[str]:
            return iter(["event_id"])

        def __len__(self) -> int:
            return 1

    update = AppointmentUpdate(title="x")
    odd: list[object] = [
        None,
        "event",
        b"event",
        7,
        (),
        ("event",),
        ("event", None),
        (None, update),
        [("event", update)],
        {},
        {None: "x"},
        {"event_id": "event", "title": object()},
        {"event_id": "event", "start_time": float("nan")},
        {"event_id": "event", 7: "x"},
        Broken(),
        PlanRow(3, "event", None),  # type: ignore[arg-type]
        PlanRow(3, 7, update),  # type: ignore[arg-type]
        PlanRow(3, "event", update, 7),  # type: ignore[arg-type]
        object(),
        update,
    ]
    rows = [*odd, (sandbox.appointment_ids[0], update)]
    outcomes = [one async for one in update_many(client, rows)]  # type: ignore[arg-type]
    assert Counter(one.state for one in outcomes) == {"refused": len(odd), "applied": 1}
    assert all(one.reason for one in outcomes if one.state == "refused")
    assert len(sandbox.requests) == 2


@pytest.mark.parametrize("rows", [None, "event", b"event", {"event_id": "a"}, 7, PlanRow(1, "event")])
async def test_what_no_rows_can_come_from_is_refused(client: LeadConnector, tmp_path: Path, rows: object) -> None:
    """By both ways to change many; nothing is left behind."""
    with pytest.raises(ConfigurationError, match="give an iterable"):
        async for _ in update_many(client, rows):  # type: ignore[arg-type]
            pass
    with pytest.raises(ConfigurationError, match="give an iterable"):
        await BulkJob.create(tmp_path / "job", client, rows)  # type: ignore[arg-type]
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize("blank", ["", "  ", "\u200b"])
async def test_an_empty_title_in_a_mapping_is_refused(sandbox: Sandbox, client: LeadConnector, blank: str) -> None:
    """It would empty the title at the server; a cell of a file leaves it."""
    event_id = sandbox.appointment_ids[0]
    rows = [{"event_id": event_id, "title": blank, "address": "x"}, {"event_id": event_id, "title": None}]
    first, second = sorted([one async for one in update_many(client, rows)], key=lambda one: one.line)
    assert (first.state, first.event_id) == ("refused", event_id)
    assert first.reason == "title is empty; leave it out to keep it"
    assert "no fields" in second.reason


async def test_two_names_of_one_field_are_refused(sandbox: Sandbox, client: LeadConnector) -> None:
    """By both names; none of the two wins."""
    one, two = sandbox.appointment_ids[:2]
    (outcome,) = [each async for each in update_many(client, [{"eventId": one, "event_id": two, "title": "x"}])]
    assert outcome.state == "refused"
    assert "eventId and event_id are the same field" in outcome.reason


async def test_a_stream_that_is_cancelled_ends_the_others_and_hangs_nobody(
    sandbox: Sandbox, client: LeadConnector
) -> None:
    """What it raises is raised, after the outcomes of the rows before it."""

    async def cancelled() -> AsyncIterator[tuple[str, AppointmentUpdate]]:
        for event_id in sandbox.appointment_ids[:5]:
            yield event_id, AppointmentUpdate(title="x")
        raise asyncio.CancelledError

    states: list[str] = []
    with pytest.raises(asyncio.CancelledError):
        await _collect(states, update_many(client, cancelled()))
    assert states == ["applied"] * 5


@pytest.mark.parametrize("taken", [1, 3])
async def test_a_break_loses_no_outcome(sandbox: Sandbox, client: LeadConnector, taken: int) -> None:
    """Rows that were begun are finished and told before `aclose` returns; no further row starts."""
    told: list[RowOutcome] = []
    begun = 0

    async def stream() -> AsyncIterator[tuple[str, AppointmentUpdate]]:
        nonlocal begun
        for event_id in sandbox.appointment_ids:
            begun += 1
            yield event_id, AppointmentUpdate(title="told")

    sandbox.faults.plan("update_appointment", ["ok"] * taken + ["stall 0.05"] * 20)
    async with aclosing(update_many(client, stream(), concurrency=12, on_outcome=told.append)) as outcomes:
        seen = [await anext(outcomes) for _ in range(taken)]
    changed = {one for one in sandbox.appointment_ids if sandbox.appointment(one).title == "told"}
    assert {one.event_id for one in told if one.state == "applied"} == changed
    assert len(told) == begun < len(sandbox.appointment_ids)
    assert len(changed) > taken
    assert all(one in told for one in seen)
    sent = len(sandbox.requests)
    await asyncio.sleep(0.05)
    assert len(sandbox.requests) == sent


async def test_a_break_does_not_wait_for_a_stream_that_never_goes_on(
    sandbox: Sandbox, client: LeadConnector
) -> None:
    """A worker that waits for a row has begun none."""

    async def stream() -> AsyncIterator[tuple[str, AppointmentUpdate]]:
        yield sandbox.appointment_ids[0], AppointmentUpdate(title="x")
        await asyncio.Event().wait()

    async with aclosing(update_many(client, stream())) as outcomes:
        assert (await anext(outcomes)).state == "applied"


async def test_what_is_cancelled_twice_ends_at_once(sandbox: Sandbox, client: LeadConnector) -> None:
    """A row whose write has left is told as unknown, and not as applied or failed."""
    sandbox.faults.plan("update_appointment", ["stall 60"])
    told: list[RowOutcome] = []
    rows = [(sandbox.appointment_ids[0], AppointmentUpdate(title="x"))]
    task = asyncio.create_task(_collect([], update_many(client, rows, on_outcome=told.append)))
    while len(sandbox.requests) < 2:
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0.05)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [one.state for one in told] == ["unknown"]


async def test_what_on_outcome_raises_reaches_the_caller(sandbox: Sandbox, client: LeadConnector) -> None:
    """While outcomes are taken, and while the stream is closed; no row of it starts after that."""

    def tell(outcome: RowOutcome) -> None:
        raise RuntimeError("no room")

    rows = [(one, AppointmentUpdate(title="x")) for one in sandbox.appointment_ids]
    with pytest.raises(RuntimeError, match="no room"):
        await _collect([], update_many(client, rows, concurrency=2, on_outcome=tell))
    assert len(writes(sandbox)) <= 4


async def test_a_job_takes_what_update_many_takes(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """Pairs, mappings with datetimes and rows of a plan, out of lists and out of async generators."""
    one, two, three, four = sandbox.appointment_ids[:4]
    start = sandbox.appointment(three).start_time + timedelta(weeks=1)

    async def stream() -> AsyncIterator[object]:
        yield (one, AppointmentUpdate(title="pair"))
        await asyncio.sleep(0)
        yield {"event_id": two, "title": "mapping"}
        yield {"eventId": three, "startTime": start}
        yield PlanRow(9, four, AppointmentUpdate(title="row"))

    for number, rows in enumerate((stream(), [one async for one in stream()])):
        folder = tmp_path / f"job{number}"
        async with await BulkJob.create(folder, client, rows) as job:  # type: ignore[arg-type]
            summary = await job.run()
        assert summary.counts == ({"applied": 4} if number == 0 else {"unchanged": 4})
    assert [sandbox.appointment(each).title for each in (one, two, four)] == ["pair", "mapping", "row"]
    assert sandbox.appointment(three).start_time == start


async def test_a_job_names_the_bad_rows_of_a_stream(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """All of them, by their number; times on the clock need a zone, which may be given once."""

    async def stream() -> AsyncIterator[object]:
        yield {"event_id": "a", "start_time": datetime(2027, 3, 17, 9)}
        yield None
        yield {"event_id": "b", "title": "x"}

    with pytest.raises(PlanError) as caught:
        await BulkJob.create(tmp_path / "job", client, stream())  # type: ignore[arg-type]
    assert [fault.line for fault in caught.value.faults] == [1, 2]
    with pytest.raises(PlanError) as caught:
        await BulkJob.create(tmp_path / "job", client, stream(), timezone="America/New_York")  # type: ignore[arg-type]
    assert [fault.line for fault in caught.value.faults] == [2]
    assert not (tmp_path / "job").exists()


async def test_what_the_stream_of_a_job_raises_leaves_nothing(client: LeadConnector, tmp_path: Path) -> None:
    """It reaches the caller as it is, a cancellation too; the folder is free again."""

    async def broken(error: BaseException) -> AsyncIterator[tuple[str, AppointmentUpdate]]:
        yield "a", AppointmentUpdate(title="x")
        raise error

    for error in (RuntimeError("the queue is gone"), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            await BulkJob.create(tmp_path / "job", client, broken(error))
        assert not (tmp_path / "job").exists()


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.01, 0.1])
async def test_a_job_whose_stream_never_goes_on_can_be_cancelled(
    client: LeadConnector, tmp_path: Path, seconds: float
) -> None:
    """At any moment. It leaves nothing, and no thread that waits."""

    async def stream() -> AsyncIterator[tuple[str, AppointmentUpdate]]:
        yield "a", AppointmentUpdate(title="x")
        await asyncio.Event().wait()

    task = asyncio.create_task(BulkJob.create(tmp_path / "job", client, stream()))
    while not (tmp_path / "job").exists():
        await asyncio.sleep(0.01)
    await asyncio.sleep(seconds)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize(
    ("error", "sent", "state"),
    [
        (OutcomeUnknownError("lost"), True, "unknown"),
        (VerificationError("shows something else", outcome="applied"), True, "applied"),
        (PreconditionFailedError("changed", outcome="not_applied"), False, "skipped"),
        (PreconditionFailedError("changed", outcome="unknown"), True, "unknown"),
        (NotFoundError("gone", status=404, outcome="not_applied"), True, "failed"),
        (KeyError("x"), False, "failed"),
        (KeyError("x"), True, "unknown"),
        (asyncio.CancelledError(), False, "failed"),
        (asyncio.CancelledError(), True, "unknown"),
    ],
)
def test_a_row_that_raises_has_a_state(error: BaseException, *, sent: bool, state: str) -> None:
    """What the error knows of the write counts, then whether it was sent; without an event loop."""
    found, reason = classify_failure(error, sent=sent)
    assert found == state
    assert reason


class UnreadableError(Exception):
    """As that of a library whose errors cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError

    __str__ = __repr__


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (asyncio.CancelledError(), "CancelledError"),
        (ValueError("two\nlines"), "ValueError: two lines"),
        (UnreadableError(), "UnreadableError"),
    ],
)
def test_the_reason_of_a_row_is_a_sentence_whatever_was_raised(error: BaseException, shown: str) -> None:
    """The row keeps its outcome even if the error cannot be shown."""
    assert classify_failure(error, sent=False) == ("failed", f"it was interrupted ({shown})")


async def test_the_past_of_a_stream_that_runs_for_days_is_that_of_each_row(
    sandbox: Sandbox, client: LeadConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time that was ahead when the stream began can have passed when a row that wants it comes."""
    one, two = map(sandbox.appointment, sandbox.appointment_ids[:2])
    wanted = [event.start_time + timedelta(weeks=1) for event in (one, two)]

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Later":
            return cls.fromtimestamp(max(wanted).timestamp() + 1, tz)

    async def stream() -> AsyncIterator[object]:
        yield (one.id, AppointmentUpdate(start_time=wanted[0]))
        while not writes(sandbox):
            await asyncio.sleep(0.01)
        monkeypatch.setattr(many, "datetime", Later)
        yield (two.id, AppointmentUpdate(start_time=wanted[1]))

    rows = stream()
    outcomes = {each.event_id: each async for each in update_many(client, rows, concurrency=1)}  # type: ignore[arg-type]
    assert outcomes[one.id].state == "applied"
    assert outcomes[two.id].state == "refused"
    assert "is in the past" in outcomes[two.id].reason
    assert writes(sandbox) == [one.id]
