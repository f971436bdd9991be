"""What follows from each request of a row: every transition, without an event loop."""

import math
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from msgspec import structs

from leadconnector_async import (
    AuthenticationError,
    BadRequestError,
    InvalidEventError,
    LeadConnectorError,
    NotFoundError,
    OutcomeUnknownError,
    PreconditionFailedError,
    ServerError,
    SlotUnavailableError,
    VerificationError,
)
from leadconnector_async._api.precondition import MOST_READINGS, ReadingClock, StaleReadingError, UpdateGuard
from leadconnector_async.jobs import JobOptions
from leadconnector_async.jobs.journal.rows import LAST, OpenRow
from leadconnector_async.jobs.run.execute import (
    Ending,
    Execution,
    Postponed,
    Reading,
    Result,
    Step,
    choose_first,
    next_step,
)
from leadconnector_async.jobs.run.in_flight import RowMetrics
from leadconnector_async.jobs.states import Stopped
from leadconnector_async.models import Appointment, AppointmentUpdate

NOW = 1_000_000.0
START = datetime(2026, 9, 14, 16, tzinfo=UTC)
BEFORE = Appointment(id="ev7", start_time=START, end_time=START + timedelta(minutes=30), title="Intro call")
AFTER = structs.replace(BEFORE, title="Second call")
ELSE = structs.replace(BEFORE, title="Lunch")
HIDDEN = Appointment(id="ev7")
"""It shows nothing that could be compared."""
ROW = OpenRow(
    number=7,
    line=8,
    event_id="ev7",
    location="loc1",
    state="pending",
    rank=1,
    found=None,
    updates=(AppointmentUpdate(title="Second call"),),
    waits_for=(),
    parks=None,
    read_at=NOW,
    new_start=None,
)
SENT = structs.replace(ROW, state="sent")
PARKING = structs.replace(ROW, parks=3)
TRIED = structs.replace(ROW, rank=LAST)
LATE = structs.replace(SENT, new_start=int(NOW))
FORCE, SKIP = JobOptions(on_conflict="force"), JobOptions(on_conflict="skip")
TAKEN = SlotUnavailableError("The slot is taken.", status=400, trace_id="t1", outcome="not_applied")
STALE = StaleReadingError("too old")
UNKNOWN = OutcomeUnknownError("lost", outcome="unknown")
APPLIED = VerificationError("it shows something else", outcome="applied")
REFUSED = BadRequestError("no such user", status=400, outcome="not_applied")
NO_TOKEN = AuthenticationError("bad token", status=401, outcome="not_applied")
DOWN = ServerError("bad gateway", status=502, outcome="not_applied")


def make(row: OpenRow = ROW, step: Step = "send", *, repeated: bool = False, **fields: object) -> Execution:
    guard = UpdateGuard(lambda: [BEFORE], NOW, cast("ReadingClock", None))
    options = cast("JobOptions", fields.pop("options", JobOptions()))
    one = Execution(row, RowMetrics(repeated=repeated), options, "v3", guard, step)
    for name, value in fields.items():
        setattr(one, name, value)
    return one


def show(found: Appointment) -> Reading:
    return Reading(found, NOW + 1, NOW)


def describe(step: Step | Ending) -> str:
    """A result as its state and the beginning of its reason."""
    if isinstance(step, Result):
        return f"{step.outcome.state}: {step.outcome.reason}"
    if isinstance(step, Postponed):
        return f"postponed: {step.reason}"
    return step if isinstance(step, str) else f"stopped: {step.kind}"


Case = tuple[Execution, Reading | Appointment | LeadConnectorError | None, str]
TRANSITIONS: dict[str, Case] = {
    "read back, applied": (make(SENT, "read_back"), show(AFTER), "applied: "),
    "read back, parked already": (make(PARKING, "read_back"), show(AFTER), "applied: "),
    "read back, not applied": (make(SENT, "read_back"), show(BEFORE), "save_intent"),
    "read back, and too late": (make(LATE, "read_back"), show(BEFORE), "failed: the new time passed"),
    "read back, changed by others": (make(SENT, "read_back"), show(ELSE), "skipped: changed by somebody else"),
    "read back, hidden": (make(SENT, "read_back"), show(HIDDEN), "unknown: it was in flight when the job ended"),
    "read back fails": (make(SENT, "read_back"), REFUSED, "unknown: it was in flight when the job was interrupted"),
    "read back, token refused": (make(SENT, "read_back"), NO_TOKEN, "stopped: authentication"),
    "read back, unreachable": (make(SENT, "read_back"), DOWN, "stopped: unreachable"),
    "intent on disk": (make(step="save_intent"), None, "send"),
    "sent": (make(), AFTER, "applied: "),
    "stale": (make(), STALE, "read_again"),
    "stale for the last time": (make(readings=MOST_READINGS), STALE, "failed: too old"),
    "outcome unknown": (make(), UNKNOWN, "unknown: lost"),
    "applied with an error": (make(), APPLIED, "applied: it shows something else"),
    "refused": (make(), REFUSED, "failed: no such user"),
    "changed meanwhile": (make(), PreconditionFailedError("Changed by Ann"), "skipped: changed by Ann"),
    "token refused": (make(), NO_TOKEN, "stopped: authentication"),
    "unreachable": (make(), DOWN, "stopped: unreachable"),
    "taken, to be tried last": (make(), TAKEN, "postponed: The slot is taken."),
    "taken, tried last already": (make(TRIED), TAKEN, "failed: The slot is taken."),
    "taken, to be skipped": (make(options=SKIP), TAKEN, "failed: The slot is taken."),
    "taken, to be forced": (make(options=FORCE), TAKEN, "force"),
    "taken, and sent before": (make(repeated=True), TAKEN, "look_back"),
    "forced": (make(step="force", options=FORCE), AFTER, "applied: sent without the slot check"),
    "forced, stale": (make(step="force", options=FORCE), STALE, "read_again"),
    "forced, taken all the same": (make(step="force", options=FORCE), TAKEN, "failed: The slot is taken."),
    "forced, unknown": (make(step="force", options=FORCE), UNKNOWN, "unknown: lost"),
    "looked back, its own": (make(step="look_back", repeated=True, conflict=TAKEN), show(AFTER), "applied: "),
    "looked back, others'": (
        make(step="look_back", repeated=True, conflict=TAKEN),
        show(BEFORE),
        "postponed: The slot is taken.",
    ),
    "looked back, forced": (
        make(step="look_back", repeated=True, conflict=TAKEN, options=FORCE),
        show(BEFORE),
        "force",
    ),
    "read again, as before": (make(step="read_again", readings=1), show(BEFORE), "send"),
    "read again, after a conflict": (make(step="read_again", readings=1, conflict=TAKEN), show(BEFORE), "send"),
    "read again, done already": (make(step="read_again", readings=1), show(AFTER), "unchanged: "),
    "read again, changed": (make(step="read_again", readings=1), show(ELSE), "skipped: changed by somebody else"),
    "read again, hidden": (make(step="read_again", readings=1), show(HIDDEN), "skipped: changed by somebody else"),
    "read again, deleted": (
        make(step="read_again", readings=1),
        InvalidEventError("gone", status=400),
        "skipped: changed by somebody else: the event is deleted",
    ),
    "read again, not found": (make(step="read_again"), NotFoundError("gone", status=404), "skipped: changed by"),
    "read again, refused": (make(step="read_again", readings=1), REFUSED, "failed: no such user"),
    "read again, token refused": (make(step="read_again", readings=1), NO_TOKEN, "stopped: authentication"),
}


@pytest.mark.parametrize("case", TRANSITIONS)
def test_what_follows_from_a_request(case: str) -> None:
    """Each row of the table in `execute`, and its exceptions."""
    one, event, expected = TRANSITIONS[case]
    before = structs.replace(one, metrics=structs.replace(one.metrics), guard=structs.replace(one.guard))
    assert describe(next_step(before, event)).startswith(expected)


@pytest.mark.parametrize(
    ("row", "options", "expected"),
    [
        (ROW, JobOptions(), "save_intent"),
        (SENT, JobOptions(), "read_back"),
        (PARKING, JobOptions(), "read_back"),
        (LATE, JobOptions(), "read_back"),
        (structs.replace(ROW, new_start=int(NOW)), JobOptions(), "failed: the new time passed"),
        (structs.replace(ROW, new_start=int(NOW) + 1), JobOptions(), "save_intent"),
        (structs.replace(ROW, new_start=int(NOW)), JobOptions(allow_past=True), "save_intent"),
    ],
)
def test_what_comes_first(row: OpenRow, options: JobOptions, expected: str) -> None:
    """What may have been sent is read before anything else, even if it is late."""
    assert describe(choose_first(make(row, options=options), NOW)).startswith(expected)


def test_a_row_is_read_again_five_times_at_most() -> None:
    """Each time, its turn to write may come too late."""
    one, steps = make(), list[str]()
    step: Step | Ending = "send"
    while isinstance(step, str):
        one.step = step
        steps.append(step)
        step = next_step(one, STALE if step == "send" else show(BEFORE))
    assert describe(step) == "failed: too old"
    assert steps == ["send", *["read_again", "send"] * MOST_READINGS]


@pytest.mark.parametrize(("age", "max_age"), [(0.0, math.inf), (60.0, 60.0)])
def test_with_a_reading_of_its_own_the_last_one_counts_as_fresh(age: float, max_age: float) -> None:
    """It was read right before: as close as the limit allows."""
    one = make(step="read_again", readings=MOST_READINGS, options=JobOptions(max_reading_age=age))
    one.guard.max_age = 60.0
    assert next_step(one, show(BEFORE)) == "send"
    assert one.guard.max_age == max_age


def test_a_reading_that_shows_no_change_is_the_new_one() -> None:
    """The write relies on it from then on."""
    one = make(step="read_again", readings=1)
    next_step(one, show(BEFORE))
    assert one.guard.read_at == NOW + 1


def test_a_row_that_is_read_back_is_repeated() -> None:
    """Unless it is only a parking that was never sent."""
    for row, repeated in ((SENT, True), (PARKING, False)):
        one = make(row, "read_back")
        assert next_step(one, show(BEFORE)) == "save_intent"
        assert one.metrics.repeated == repeated


def test_a_failure_keeps_its_trace_id_and_notes() -> None:
    """Support asks for the one; the others say what happened besides."""
    error = SlotUnavailableError("The slot is taken.", status=400, trace_id="t1", outcome="not_applied")
    error.add_note("It was put back to u1.")
    ending = next_step(make(options=SKIP), error)
    assert isinstance(ending, Result)
    assert ending.outcome.trace_id == "t1"
    assert ending.outcome.reason == "The slot is taken. It was put back to u1."


def test_a_stop_names_the_location() -> None:
    """The row is not to blame, and stays pending."""
    assert next_step(make(), NO_TOKEN) == Stopped("authentication", "bad token", "loc1")
