"""A safe change overwrites nobody: its reading is young when it is sent, and it is not repeated over an edit."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from leadconnector_async import (
    Appointment,
    Event,
    LeadConnector,
    OutcomeUnknownError,
    PreconditionFailedError,
    RetryPolicy,
)
from leadconnector_async._api.precondition import MOST_READINGS, ReadingClock, UpdateGuard
from leadconnector_async._api.readback import list_changes
from leadconnector_async.events import Reconciled, RequestFailed, RequestSent, ResponseReceived
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient

DAY = timedelta(days=1)
UPDATE, GET = "update_appointment", "get_appointment"


def once(kind: type[Event], operation: str, act: Callable[[], object]) -> Callable[[Event], None]:
    """Acts the first time that this happens."""
    waiting = [act]

    def handle(event: Event) -> None:
        if isinstance(event, kind) and event.operation == operation and waiting:
            waiting.pop()()

    return handle


class Wall:
    """The wall clock, which can be set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead, real = 0.0, time.time
        monkeypatch.setattr(time, "time", lambda: real() + self.ahead)

    def advance(self, seconds: float) -> None:
        self.ahead += seconds


@pytest.mark.parametrize(
    "edit",
    [
        {"appointment_status": "cancelled"},
        {"title": "Root canal"},
        {"start_time": datetime(2031, 3, 3, 9, tzinfo=UTC), "end_time": datetime(2031, 3, 3, 10, tzinfo=UTC)},
    ],
    ids=lambda edit: next(iter(edit)),
)
async def test_a_change_whose_answer_is_lost_is_not_repeated_over_somebody_elses(
    sandbox: Sandbox, make_client: MakeClient, edit: dict[str, object]
) -> None:
    """The request is cut off, the front desk edits, the event is read back: it is nobody's to overwrite now."""
    event_id = sandbox.appointment_ids[0]
    sandbox.faults.plan(UPDATE, ["503"])
    handler = once(ResponseReceived, UPDATE, lambda: sandbox.edit_appointment(event_id, **edit))
    with pytest.raises(PreconditionFailedError, match=f"{next(iter(edit))} was .*, is ") as caught:
        await make_client(on_event=handler).reschedule_appointment(event_id, shift=DAY)
    assert caught.value.outcome == "not_applied"
    edited = sandbox.appointment(event_id)
    assert {name: getattr(edited, name) for name in edit} == edit


async def test_it_stays_unknown_while_the_first_request_may_still_arrive(
    sandbox: Sandbox, make_client: MakeClient
) -> None:
    """A request that was cut off can be applied later, so nobody may say that it was not."""
    event_id = sandbox.appointment_ids[0]
    sandbox.faults.plan(UPDATE, ["reset"])
    handler = once(RequestFailed, UPDATE, lambda: sandbox.edit_appointment(event_id, title="Root canal"))
    with pytest.raises(PreconditionFailedError) as caught:
        await make_client(on_event=handler).reschedule_appointment(event_id, shift=DAY)
    assert caught.value.outcome == "unknown"


async def test_a_change_that_was_lost_and_touched_by_nobody_is_repeated(
    sandbox: Sandbox, make_client: MakeClient
) -> None:
    """The reading back shows the state before: it is sent again, though the first reading has grown old."""
    event_id, story = sandbox.appointment_ids[0], list[bool]()
    before = sandbox.appointment(event_id)
    sandbox.faults.plan(UPDATE, ["503"])
    client = make_client(on_event=lambda one: story.append(one.applied) if isinstance(one, Reconciled) else None)
    await client.reschedule_appointment(event_id, shift=DAY)
    assert story == [False]
    assert sandbox.appointment(event_id).start_time == before.start_time + DAY


async def test_a_reading_that_has_grown_old_before_its_write_is_done_again(
    sandbox: Sandbox, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was read, the machine slept for an hour, somebody cancelled: the write is planned anew, and keeps that."""
    event_id, wall = sandbox.appointment_ids[0], Wall(monkeypatch)

    def sleep() -> None:
        wall.advance(3600)
        sandbox.edit_appointment(event_id, appointment_status="cancelled")

    client = make_client(on_event=once(ResponseReceived, GET, sleep))
    await client.reschedule_appointment(event_id, shift=DAY)
    assert sandbox.appointment(event_id).appointment_status == "cancelled"
    assert [one.operation for one in sandbox.requests if one.operation in (GET, UPDATE)] == [GET, GET, UPDATE]


async def test_each_attempt_is_held_against_the_age_of_the_reading(
    sandbox: Sandbox, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 429 proves that nothing was applied; the pause after it can be long, and the reading old by its end."""
    event_id, wall = sandbox.appointment_ids[0], Wall(monkeypatch)

    def wait() -> None:
        wall.advance(100)
        sandbox.edit_appointment(event_id, appointment_status="cancelled")

    sandbox.faults.plan(UPDATE, ["429 retry-after=0"])
    client = make_client(on_event=once(ResponseReceived, UPDATE, wait))
    await client.reschedule_appointment(event_id, shift=DAY)
    assert sandbox.appointment(event_id).appointment_status == "cancelled"


async def test_a_turn_that_always_comes_too_late_is_an_error(
    sandbox: Sandbox, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read a few times, and not for ever; nothing is sent."""
    event_id, wall = sandbox.appointment_ids[0], Wall(monkeypatch)
    client = make_client(on_event=lambda one: wall.advance(61) if isinstance(one, ResponseReceived) else None)
    with pytest.raises(PreconditionFailedError, match=r"read \d+\.\d s before") as caught:
        await client.reschedule_appointment(event_id, shift=DAY)
    assert caught.value.outcome == "not_applied"
    assert [one.operation for one in sandbox.requests] == [GET] * MOST_READINGS


async def test_an_own_first_step_is_nobody_elses_change(sandbox: Sandbox, make_client: MakeClient) -> None:
    """A new assignee is set first; the second step is cut off, read back, and sent again."""
    event_id = sandbox.appointment_ids[0]
    before = sandbox.appointment(event_id)
    others = [one.assigned_user_id for one in sandbox.store if one.calendar_id == before.calendar_id]
    other = next(one for one in others if one not in (None, before.assigned_user_id))
    free = datetime(2031, 3, 3, 15, tzinfo=UTC)
    sandbox.faults.plan(UPDATE, ["ok", "503"])
    await make_client().reschedule_appointment(
        event_id, start_time=free, assigned_user_id=other, ignore_free_slot_validation=True
    )
    after = sandbox.appointment(event_id)
    assert (after.start_time, after.assigned_user_id) == (free, other)


async def test_a_clock_that_is_set_back_makes_nothing_young(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds of readings pass as fast as the loop's clock and as the wall clock, whichever is faster."""
    wall = Wall(monkeypatch)
    clock = ReadingClock(asyncio.get_running_loop())
    read_at = clock.now()
    wall.advance(-3600)
    assert clock.is_fresh(read_at, 60)
    wall.advance(3600 + 61)
    assert not clock.is_fresh(read_at, 60)
    wall.advance(-61)
    assert not clock.is_fresh(read_at, 60)
    assert not clock.is_fresh(clock.now() + 5, 60)


async def test_what_is_shown_again_as_expected_counts_as_a_new_reading() -> None:
    """And what is shown otherwise says which field, and what it was and is."""
    clock = ReadingClock(asyncio.get_running_loop())
    before = Appointment(title="Check-up", description=None)
    precondition = UpdateGuard(lambda: [before], 0.0, clock)
    assert precondition.check_age() is not None
    assert precondition.check_shown(Appointment(title="Check-up", description=""), clock.now()) is None
    assert precondition.check_age() is None
    changed = precondition.check_shown(Appointment(title="Check-up", description="Bring X-rays"), clock.now())
    assert changed is not None
    assert "description was empty, is 'Bring X-rays'" in str(changed)


def test_all_that_an_update_can_overwrite_is_watched() -> None:
    """Something where nothing was, a deletion, another instant; not another offset, and not a long value whole."""
    moment = datetime(2031, 3, 3, 9, tzinfo=UTC)
    before = Appointment(start_time=moment)
    assert not list_changes(before, Appointment(start_time=moment.astimezone()))
    assert [str(one) for one in list_changes(before, Appointment(start_time=moment, deleted=True))] == [
        "deleted was empty, is True"
    ]
    assert [one.name for one in list_changes(before, Appointment(start_time=moment, address="Zoom"))] == ["address"]
    assert len(str(list_changes(Appointment(), Appointment(title="x" * 10**6))[0])) < 200


async def test_a_change_that_nobody_can_tell_of_is_as_before(sandbox: Sandbox, client: LeadConnector) -> None:
    """Without a reading back, the outcome is unknown, whatever anybody has done."""
    cautious = client.with_options(retry=RetryPolicy(on_ambiguous="raise"))
    sandbox.faults.plan(UPDATE, ["503"])
    with pytest.raises(OutcomeUnknownError):
        await cautious.reschedule_appointment(sandbox.appointment_ids[0], shift=DAY)


async def test_plain_updates_hold_no_precondition(sandbox: Sandbox, make_client: MakeClient) -> None:
    """`update_appointment` sends what it is told to, and reads nothing first."""
    seen: list[str] = []
    client = make_client(on_event=lambda one: seen.append(one.operation) if isinstance(one, RequestSent) else None)
    await client.reschedule_appointment(sandbox.appointment_ids[0], title="New")
    assert seen == [GET, UPDATE]


async def test_a_reading_whose_moment_was_rounded_up_is_fresh() -> None:
    """By the 15 digits that SQLite shows in JSON; one that another clock stamped is not."""
    clock = ReadingClock(asyncio.get_running_loop())
    now = clock.now()
    assert clock.is_fresh(now + 0.000_005, 60.0)
    assert not clock.is_fresh(clock.now() + 1.0, 60.0)
