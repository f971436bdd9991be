"""What happens to the rows of a location: every transition, without an event loop."""

import asyncio
import random
from typing import cast

import pytest
from msgspec import structs

from leadconnector_async import JournalError
from leadconnector_async._api.precondition import ReadingClock
from leadconnector_async.jobs import JobOptions, RowOutcome
from leadconnector_async.jobs.journal.rows import LAST, OpenRow, Standing
from leadconnector_async.jobs.run.execute import Postponed, Result
from leadconnector_async.jobs.run.in_flight import InFlightRow, RowMetrics, RowPhase
from leadconnector_async.jobs.run.read_ahead import ReadAhead
from leadconnector_async.jobs.run.schedule import (
    GAP,
    MOST_TRIES,
    MOST_UNREACHABLE,
    Action,
    Blocked,
    Close,
    Event,
    Fail,
    LocationState,
    Requeue,
    Restore,
    Save,
    Started,
    choose_rank,
    choose_start,
    find_blocker,
    grant_slots,
    next_step,
)
from leadconnector_async.jobs.states import RowState, Stopped
from leadconnector_async.models import AppointmentUpdate

NOW = 1_000_000.0
UPDATE = AppointmentUpdate(title="Intro call")
ROW = OpenRow(
    number=7,
    line=8,
    event_id="ev7",
    location="loc1",
    state="pending",
    rank=1,
    found=None,
    updates=(UPDATE,),
    waits_for=(),
    parks=None,
    read_at=NOW,
    new_start=None,
)
WAITING = structs.replace(ROW, waits_for=(3,))
UNREACHABLE = Stopped("unreachable", "no route", "loc1")
DAILY_SOON = Stopped("daily", "the daily limit is reached", "loc1", 60.0)
DAILY = Stopped("daily", "the daily limit is reached", "loc1", 3600.0)
REFUSED = Stopped("authentication", "the token was refused", "loc1")


class Clock:
    """Stands at one moment."""

    def now(self) -> float:
        return NOW

    def is_fresh(self, read_at: float, max_age: float) -> bool:
        return 0 <= NOW - read_at <= max_age


def make_location(**fields: object) -> LocationState:
    ahead = ReadAhead(cast("ReadingClock", Clock()), 60.0)
    values = {"location": "loc1", "options": JobOptions(), "most": 4, "ahead": ahead, "free": 2, **fields}
    return LocationState(**values)  # type: ignore[arg-type]


def make(row: OpenRow = ROW, phase: RowPhase = "running", **fields: object) -> InFlightRow:
    return InFlightRow(row, RowMetrics(), phase=phase, **fields)  # type: ignore[arg-type]


def end(state: RowState, reason: str = "") -> Result:
    return Result(RowOutcome(line=8, event_id="ev7", location_id="loc1", state=state, reason=reason))


def stand(state: RowState, rank: int = 1, number: int = 3) -> Standing:
    return Standing(number, 4, rank, state)


LATE = "the new time passed before the row could be sent"
BLOCKED = "line 4, whose time it needs, has not moved (failed)"
TRANSITIONS: dict[str, tuple[dict[str, object], OpenRow, RowPhase, Event, Action]] = {
    "a plain row": ({}, ROW, "new", Started(NOW), "save_intent"),
    "one that keeps its time": ({}, structs.replace(ROW, new_start=None), "new", Started(NOW), "save_intent"),
    "one that moves to a later time": (
        {},
        structs.replace(ROW, new_start=int(NOW) + 1),
        "new",
        Started(NOW),
        "save_intent",
    ),
    "one that is too late": (
        {},
        structs.replace(ROW, new_start=int(NOW)),
        "new",
        Started(NOW),
        Save(end("failed", LATE)),
    ),
    "one that may be late": (
        {"options": JobOptions(allow_past=True)},
        structs.replace(ROW, new_start=int(NOW)),
        "new",
        Started(NOW),
        "save_intent",
    ),
    "one that was sent before": ({}, structs.replace(ROW, state="sent"), "new", Started(NOW), "run"),
    "one that parks another": ({}, structs.replace(ROW, parks=3), "new", Started(NOW), "run"),
    "one that waits for another": ({}, WAITING, "new", Started(NOW), "run"),
    "its intent is on disk": ({}, ROW, "saving_intent", None, "queue"),
    "the same at the run's limit": ({"phase": "finishing"}, ROW, "saving_intent", None, "queue"),
    "the same while closing": ({"phase": "closing"}, ROW, "saving_intent", None, "withdraw"),
    "its task wants a slot": ({}, WAITING, "running", "slot_wanted", "queue"),
    "the same while closing, for a restore": ({"phase": "closing"}, WAITING, "restoring", "slot_wanted", "queue"),
    "it is cancelled in the queue": ({}, ROW, "queued", "cancelled", "withdraw"),
    "it is cancelled": ({}, ROW, "running", "cancelled", "withdraw"),
    "it is cancelled while requeueing": ({}, ROW, "requeueing", "cancelled", "withdraw"),
    "it was applied": ({}, ROW, "running", end("applied"), Save(end("applied"))),
    "it failed": ({}, ROW, "running", end("failed"), Save(end("failed"))),
    "it was applied, after others": ({}, WAITING, "running", end("applied"), Save(end("applied"))),
    "its outcome is unknown, after others": ({}, WAITING, "running", end("unknown"), Save(end("unknown"))),
    "it failed, after others": ({}, WAITING, "running", end("failed"), Restore(end("failed"))),
    "it was skipped, after others": ({}, WAITING, "running", end("skipped"), Restore(end("skipped"))),
    "it is restored": ({}, WAITING, "restoring", end("failed"), Save(end("failed"))),
    "its slot is taken": ({}, ROW, "running", Postponed("taken"), Requeue("taken", refused=True)),
    "it is requeued": ({}, ROW, "requeueing", "requeued", "remove"),
    "the server is unreachable": ({}, ROW, "running", UNREACHABLE, Requeue("no route", delay=GAP)),
    "the server is unreachable, while closing": (
        {"phase": "closing"},
        ROW,
        "running",
        UNREACHABLE,
        Requeue("no route"),
    ),
    "the same once too often for the row": (
        {"tries": {7: MOST_TRIES - 1}},
        ROW,
        "running",
        UNREACHABLE,
        Save(end("failed", "no route")),
    ),
    "the same, and it waited for others": (
        {"tries": {7: MOST_TRIES - 1}},
        WAITING,
        "running",
        UNREACHABLE,
        Restore(end("failed", "no route")),
    ),
    "the same, and it may have been applied": (
        {"tries": {7: MOST_TRIES - 1}},
        structs.replace(ROW, state="sent"),
        "running",
        UNREACHABLE,
        "remove",
    ),
    "the same for too many rows in a row": (
        {"unreachable": MOST_UNREACHABLE - 1},
        ROW,
        "running",
        UNREACHABLE,
        Close(UNREACHABLE),
    ),
    "the daily limit is soon reset": ({}, ROW, "running", DAILY_SOON, Requeue(DAILY_SOON.reason, delay=60.0)),
    "the daily limit is soon reset, at the run's limit": (
        {"phase": "finishing"},
        ROW,
        "running",
        DAILY_SOON,
        Close(DAILY_SOON),
    ),
    "the same once it is closing": ({"phase": "closing"}, ROW, "running", DAILY_SOON, Close(DAILY_SOON)),
    "the daily limit is reset in an hour": ({}, ROW, "running", DAILY, Close(DAILY)),
    "the token is refused": ({}, ROW, "running", REFUSED, Close(REFUSED)),
    "its blocker is in flight": (
        {"cursor": (5, 1)},
        WAITING,
        "running",
        Blocked(stand("sent"), in_flight=True),
        Requeue(behind=1),
    ),
    "its blocker comes again in this run": (
        {"cursor": (5, 1)},
        WAITING,
        "running",
        Blocked(stand("pending", LAST), in_flight=False),
        Requeue(behind=LAST),
    ),
    "its blocker is the last that was taken up": (
        {"cursor": (1, 3)},
        WAITING,
        "running",
        Blocked(stand("pending"), in_flight=False),
        Requeue(behind=1),
    ),
    "its blocker does not come again in this run": (
        {"cursor": (5, 1)},
        WAITING,
        "running",
        Blocked(stand("pending"), in_flight=False),
        "remove",
    ),
    "its blocker is in flight, at the run's limit": (
        {"phase": "finishing"},
        WAITING,
        "running",
        Blocked(stand("pending"), in_flight=True),
        "remove",
    ),
    "its blocker will not move": (
        {},
        WAITING,
        "running",
        Blocked(stand("failed"), in_flight=False),
        Restore(end("skipped", BLOCKED)),
    ),
}


@pytest.mark.parametrize("case", TRANSITIONS)
def test_what_follows_for_a_row_in_flight(case: str) -> None:
    """Each row of the table in `schedule`, and its exceptions."""
    fields, row, phase, event, action = TRANSITIONS[case]
    assert next_step(make_location(**fields), make(row, phase), event) == action


@pytest.mark.parametrize("phase", ["new", "saving_intent", "queued", "running", "restoring", "requeueing"])
def test_an_error_fails_the_location_in_every_phase(phase: RowPhase) -> None:
    """Of the journal, of the program, or what a user's function raises."""
    for error in (JournalError("disk full"), KeyError("x"), KeyboardInterrupt()):
        assert next_step(make_location(), make(phase=phase), error) == Fail(error)


def test_only_consecutive_rows_that_cannot_reach_the_server_count() -> None:
    """Any other ending shows that it can be reached; a row's own tries are counted through the whole run."""
    location = make_location()
    for number in range(MOST_UNREACHABLE - 1):
        next_step(location, make(structs.replace(ROW, number=number)), UNREACHABLE)
    next_step(location, make(), end("applied"))
    assert location.unreachable == 0
    assert next_step(location, make(structs.replace(ROW, number=1)), UNREACHABLE) == Requeue("no route", delay=GAP)
    assert location.tries[1] == 2


@pytest.mark.parametrize(
    ("event", "free"),
    [(end("applied"), 1), (Postponed("taken"), 1), ("requeued", 1), ("cancelled", 1), (KeyError(), 1)],
)
def test_a_slot_is_free_as_soon_as_the_response_is_there(event: Event, free: int) -> None:
    """Whatever the response is: the next row need not wait for the disk."""
    location, one = make_location(free=0), make(holds_slot=True)
    next_step(location, one, event)
    assert (location.free, one.holds_slot) == (free, False)


def test_a_row_keeps_its_slot_while_its_appointment_is_restored() -> None:
    """The way back needs no second slot."""
    location, one = make_location(free=0), make(WAITING, holds_slot=True)
    assert isinstance(next_step(location, one, end("failed")), Restore)
    assert (location.free, one.holds_slot) == (0, True)
    one.phase = "restoring"
    next_step(location, one, end("failed"))
    assert (location.free, one.holds_slot) == (1, False)


@pytest.mark.parametrize("stopped", [UNREACHABLE, DAILY_SOON])
def test_a_row_that_waits_for_the_server_keeps_its_slot(stopped: Stopped) -> None:
    """Other rows would fail as well, so that a short outage would stop a location with a concurrency of 1."""
    location, one = make_location(free=0), make(holds_slot=True)
    assert isinstance(next_step(location, one, stopped), Requeue)
    assert (location.free, one.holds_slot) == (0, True)
    one.phase = "requeueing"
    next_step(location, one, "requeued")
    assert (location.free, one.holds_slot) == (1, False)


def test_slots_are_granted_in_the_order_of_asking() -> None:
    """Two at a time; the third waits until one is free."""
    location = make_location(free=2)
    rows = [make(structs.replace(ROW, number=number), "saving_intent") for number in range(4)]
    for one in rows:
        assert next_step(location, one, None) == "queue"
    assert grant_slots(location) == rows[:2]
    assert grant_slots(location) == []
    next_step(location, rows[1], end("applied"))
    assert grant_slots(location) == [rows[2]]
    assert [one.holds_slot for one in rows] == [True, False, True, False]


def test_a_slot_that_nobody_waits_for_any_more_goes_to_the_next() -> None:
    """The task that had asked for it was cancelled meanwhile."""
    loop = asyncio.new_event_loop()
    gone, there = (make(phase="running", slot=loop.create_future()) for _ in range(2))
    loop.close()
    location = make_location(free=1)
    next_step(location, gone, "slot_wanted")
    next_step(location, there, "slot_wanted")
    assert gone.slot is not None
    gone.slot.cancel()
    assert grant_slots(location) == [there]
    assert (location.free, gone.holds_slot) == (0, False)


def test_no_slot_is_lost_or_granted_twice() -> None:
    """Whatever comes and ends in whatever order."""
    chooser = random.Random(5)
    for _ in range(50):
        slots = chooser.randint(1, 5)
        location, sending = make_location(free=slots), list[InFlightRow]()
        for number in range(200):
            next_step(location, make(structs.replace(ROW, number=number), "saving_intent"), None)
            sending += grant_slots(location)
            assert len(sending) <= slots
            while sending and chooser.random() < 0.5:
                next_step(location, sending.pop(chooser.randrange(len(sending))), end("applied"))
                sending += grant_slots(location)
        assert len(sending) == slots - location.free
        assert not (location.free and location.queue)


LAST_ROW = structs.replace(ROW, rank=LAST)
OLD = structs.replace(ROW, read_at=NOW - 59)
STARTS: dict[str, tuple[dict[str, object], OpenRow, set[int], str]] = {
    "nothing is in flight": ({}, ROW, set(), "start"),
    "there is room": ({}, ROW, {1, 2, 3}, "start"),
    "there is none": ({}, ROW, {1, 2, 3, 4}, "wait_for_any"),
    "it was taken up, and there is room now": ({"cursor": (1, 7)}, ROW, {1, 2, 3}, "start"),
    "it was taken up, and there is none yet": ({"cursor": (1, 7)}, ROW, {1, 2, 3, 4}, "wait_for_any"),
    "it is still being requeued": ({}, ROW, {7}, "wait_for_row"),
    "it was tried before, others are in flight": ({"cursor": (1, 9)}, LAST_ROW, {1}, "drain"),
    "it was tried before, and so were these": ({"cursor": (LAST, 1)}, LAST_ROW, {1}, "start"),
    "it was tried before, nothing is in flight": ({"cursor": (1, 9)}, LAST_ROW, set(), "start"),
    "its reading is getting old": ({}, OLD, set(), "read_again"),
    "its reading is getting old, but it was taken up": ({"cursor": (1, 7)}, OLD, set(), "start"),
    "it was sent before, so it is read back": ({}, structs.replace(OLD, state="sent"), set(), "start"),
    "it parks another": ({}, structs.replace(OLD, parks=3), set(), "start"),
}


@pytest.mark.parametrize("case", STARTS)
def test_when_a_row_starts(case: str) -> None:
    """In order, with room, on a fresh reading, and after all that may yet come before it."""
    fields, row, in_flight, action = STARTS[case]
    location = make_location(**fields)
    assert choose_start(location, row, in_flight) == action
    taken_up = action in ("start", "wait_for_any")
    assert (location.cursor == (row.rank, row.number)) == taken_up


@pytest.mark.parametrize(
    ("row", "behind", "cursor", "rank"),
    [
        (ROW, 0, (1, 7), LAST),
        (ROW, LAST + 3, (1, 7), LAST + 4),
        (LAST_ROW, 0, (LAST, 7), LAST + 1),
        (LAST_ROW, 0, (LAST + 5, 7), LAST + 6),
    ],
)
def test_a_requeued_row_comes_again_in_the_same_run(
    row: OpenRow, behind: int, cursor: tuple[int, int], rank: int
) -> None:
    """Its rank is after its own, after its blocker's, and after all that have started."""
    assert choose_rank(make_location(cursor=cursor), row, behind) == rank


@pytest.mark.parametrize(
    ("state", "on_conflict", "ignores", "blocks"),
    [
        ("pending", "park", False, True),
        ("sent", "force", True, True),
        ("loaded", "park", False, True),
        ("applied", "park", False, False),
        ("unchanged", "park", False, False),
        ("failed", "park", False, True),
        ("skipped", "skip", False, True),
        ("refused", "park", True, True),
        ("failed", "force", False, False),
        ("unknown", "park", False, False),
        ("unknown", "park", True, True),
    ],
)
def test_what_blocks_a_row(state: RowState, on_conflict: str, *, ignores: bool, blocks: bool) -> None:
    """Rows that are open or did not move; after an unknown outcome the server's slot check decides."""
    update = AppointmentUpdate(title="x", ignore_free_slot_validation=True) if ignores else UPDATE
    row = structs.replace(WAITING, updates=(update,))
    moved = stand("applied", number=2)
    found = find_blocker(row, [moved, stand(state)], on_conflict)  # type: ignore[arg-type]
    assert found == (stand(state) if blocks else None)
