"""Deciding what happens to the rows of one location; `location` acts on it.

`choose_start` decides about the next row, `next_step` about a row in flight:

| phase | event | action |
| --- | --- | --- |
| `new` | `Started` | save its intent; run it at once if it waits for others or has to be read back |
| `new` | `Started`, and its new time has passed | save it as failed |
| `saving_intent` | `None`: it is on disk | queue it for a slot |
| `saving_intent` | the same, while the location is closing | withdraw it |
| `queued` | a slot is free (`grant_slots`) | send it |
| `running`, `restoring` | `slot_wanted` | queue it; its task resumes when a slot is free |
| `running` | a `Result` | save it; if an appointment was parked for a row that fails, restore that first |
| `running` | `Blocked` by a row that is still open | requeue it behind that row |
| `running` | `Blocked` by a row that will not move | save it as skipped |
| `running` | `Stopped`, unreachable | requeue it after a gap; close the location if five rows in a row had this |
| `running` | `Stopped`, the daily limit is soon reset | requeue it then |
| `running` | `Stopped`, otherwise | close the location |
| `running` | `Postponed` | requeue it, as if it had not been sent |
| `requeueing` | `requeued` | remove it: the journal has its new rank |
| `restoring` | a `Result` | save it |
| any | `cancelled` | withdraw it |
| any | an error | fail: the location closes, and `run` raises the error |
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from typing import Final, Literal, TypeAlias

from msgspec import Struct, field

from ..journal.rows import LAST, OpenRow, Position, Standing
from ..states import NOT_APPLIED, NOT_CHANGED, OPEN, JobOptions, OnConflict, RowState, Stopped, find_wait
from .execute import Ending, Postponed, Result, build_result, find_late
from .in_flight import InFlightRow
from .read_ahead import ReadAhead
from .start_ahead import StartAhead

MOST_TRIES: Final = 5
"""How often a row is tried in one run while the server cannot be reached."""
MOST_UNREACHABLE: Final = 5
"""Consecutive rows that could not reach the server, after which the location stops."""
GAP: Final = 0.5
"""Seconds before a row that could not reach the server is requeued."""


class LocationState(Struct, kw_only=True):
    """What the decisions about one location rest on."""

    location: str
    options: JobOptions
    most: int
    """Rows in flight at the same time, for now."""
    ahead: ReadAhead
    lead: StartAhead | None = None
    """Decides about `most` whenever a row gives back its slot; `None`: it stays as it is."""
    now: float = 0.0
    """The time of the current step, on the loop's clock."""
    phase: Literal["starting", "finishing", "closing"] = "starting"
    """`finishing`: the run's limit is reached, no row starts any more. `closing`: unsent rows are withdrawn."""
    stopped: Stopped | None = None
    cursor: Position = (-2, 0)
    """The last row that was taken up."""
    free: int = 0
    """Slots: so many more rows may send requests at the same time."""
    queue: deque[InFlightRow] = field(default_factory=deque[InFlightRow])
    """Rows that wait for a slot."""
    unreachable: int = 0
    """Consecutive rows that could not reach the server."""
    tries: dict[int, int] = field(default_factory=dict[int, int])
    """By row: how often it could not."""
    last_start: float = 0.0
    """When the last row started, on the loop's clock; with a `rate`, when it was to start."""


class Blocked(Struct, frozen=True):
    """A row must not be sent before another one."""

    by: Standing
    in_flight: bool
    """The other one is."""


class Save(Struct, frozen=True):
    """Save the outcome of a row, and report it."""

    result: Result


class Restore(Struct, frozen=True):
    """Move an appointment back that was parked for a row, then save the row's outcome."""

    result: Result


class Requeue(Struct, frozen=True):
    """Give a row a rank after all that have started, so that it comes again in this run."""

    reason: str = ""
    behind: int = 0
    """The rank of the row that blocks it."""
    delay: float = 0.0
    """Seconds."""
    refused: bool = False
    """The server refused it: whatever was sent before, it is pending again."""


class Close(Struct, frozen=True):
    """Stop the location; the row stays pending."""

    cause: Stopped


class Fail(Struct, frozen=True):
    """Stop the location, and raise the error."""

    cause: BaseException


class Started(Struct, frozen=True):
    """A row has been taken up."""

    now: float
    """Seconds since the epoch."""


Event: TypeAlias = (
    Started | Ending | Blocked | BaseException | Literal["slot_wanted", "requeued", "cancelled"] | None
)
"""`None`: the intent is on disk."""
Action: TypeAlias = (
    Literal["save_intent", "queue", "run", "withdraw", "remove"] | Save | Restore | Requeue | Close | Fail
)
_FIXED: Final[dict[str, Action]] = {
    "slot_wanted": "queue",
    "requeued": "remove",
    "cancelled": "withdraw",
}


def choose_start(
    location: LocationState, row: OpenRow, in_flight: Collection[int]
) -> Literal["drain", "read_again", "wait_for_row", "wait_for_any", "start"]:
    """Decide about the next row; the cursor moves to it when its turn has come."""
    position = (row.rank, row.number)
    if position != location.cursor:
        if row.rank >= LAST and row.rank > location.cursor[0] and in_flight:
            return "drain"  # some of these may be requeued with a rank below this one's
        if location.ahead.is_due(row):
            return "read_again"
        if row.number in in_flight:
            return "wait_for_row"  # it was requeued a moment ago
        location.cursor = position
    return "wait_for_any" if len(in_flight) >= location.most else "start"


def next_step(location: LocationState, one: InFlightRow, event: Event) -> Action:
    """Decide what follows for a row in flight; updates the counts and the queue of `location`."""
    action = _decide(location, one, event)
    if action == "queue":
        location.queue.append(one)
    elif one.holds_slot and not _keeps_slot(action):
        one.holds_slot = False
        location.free += 1
        if location.lead is not None:
            location.most = location.lead.record(location.now - one.granted_at, location.now)
    return action


def _keeps_slot(action: Action) -> bool:
    """The way back needs one; and a row that waits for the server holds others back, as they would fail too.

    With a concurrency of 1 and an outage of two seconds, rows thus fail half a second apart, and the location does
    not stop; without that, five rows would fail at once.
    """
    return isinstance(action, Restore) or (isinstance(action, Requeue) and action.delay > 0)


def _decide(location: LocationState, one: InFlightRow, event: Event) -> Action:
    if event is None:
        return "withdraw" if location.phase == "closing" else "queue"
    if isinstance(event, Started):
        return _begin(location, one, event.now)
    if isinstance(event, Result):
        location.unreachable = 0
        return _finish(one, event)
    if isinstance(event, str):
        return _FIXED[event]
    if isinstance(event, BaseException):
        return Fail(event)
    return _choose_after_task(location, one, event)


def _choose_after_task(location: LocationState, one: InFlightRow, event: Stopped | Postponed | Blocked) -> Action:
    if isinstance(event, Stopped):
        return _choose_after_stop(location, one, event)
    location.unreachable = 0
    if isinstance(event, Postponed):
        return Requeue(event.reason, refused=True)
    return _choose_after_block(location, one, event)


def _begin(location: LocationState, one: InFlightRow, now: float) -> Action:
    row = one.row
    if row.state == "sent" or row.parks is not None or row.waits_for:
        return "run"
    late = find_late(row, one.metrics, location.options, now)
    return "save_intent" if late is None else Save(late)


def _finish(one: InFlightRow, result: Result) -> Action:
    fails = result.outcome.state in NOT_CHANGED
    return Restore(result) if fails and one.row.waits_for and one.phase == "running" else Save(result)


def _choose_after_stop(location: LocationState, one: InFlightRow, stopped: Stopped) -> Action:
    """The row stays pending; with a server that cannot be reached, it fails or the location stops in the end."""
    row = one.row
    if stopped.kind != "unreachable":
        wait = find_wait(stopped)
        starting = location.phase == "starting"
        return Requeue(stopped.reason, delay=wait) if starting and wait is not None else Close(stopped)
    location.unreachable += 1
    tries = location.tries[row.number] = location.tries.get(row.number, 0) + 1
    if location.unreachable >= MOST_UNREACHABLE:
        return Close(stopped)
    if tries < MOST_TRIES:
        return Requeue(stopped.reason, delay=0.0 if location.phase == "closing" else GAP)
    if row.state == "sent":
        return "remove"  # it may have been applied: the next run reads it back
    return _finish(one, build_result(row, one.metrics, "failed", stopped.reason))


def _choose_after_block(location: LocationState, one: InFlightRow, blocked: Blocked) -> Action:
    """If the other row does not come again in this run, this one stays pending for the next."""
    by = blocked.by
    if by.state not in OPEN:
        reason = f"line {by.line}, whose time it needs, has not moved ({by.state})"
        return _finish(one, build_result(one.row, one.metrics, "skipped", reason))
    comes = blocked.in_flight or (by.rank, by.number) >= location.cursor
    return Requeue(behind=by.rank) if comes and location.phase == "starting" else "remove"


def find_blocker(row: OpenRow, standings: Iterable[Standing], on_conflict: OnConflict) -> Standing | None:
    """Which of the rows that a row waits for blocks it; `None` if it may be sent."""
    for standing in standings:
        if standing.state in OPEN or (
            standing.state in NOT_APPLIED and not _may_try(row, standing.state, on_conflict)
        ):
            return standing
    return None


def _may_try(row: OpenRow, state: RowState, on_conflict: OnConflict) -> bool:
    if on_conflict == "force":
        return True
    return state == "unknown" and row.updates[-1].ignore_free_slot_validation is not True


def choose_rank(location: LocationState, row: OpenRow, behind: int) -> int:
    """After every row that has started, so that it comes again in this run."""
    return max(LAST, row.rank + 1, behind + 1, location.cursor[0] + 1)


def grant_slots(location: LocationState) -> list[InFlightRow]:
    """Take the rows out of the queue that get a slot now."""
    granted: list[InFlightRow] = []
    while location.free and location.queue:
        one = location.queue.popleft()
        if one.slot is None or not one.slot.done():  # else its task was cancelled
            location.free -= 1
            one.holds_slot, one.granted_at = True, location.now
            granted.append(one)
    return granted
