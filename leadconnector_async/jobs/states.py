"""Row states, options and summaries of a job, and which errors stop a whole location."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from .._api.precondition import MAX_READING_AGE
from .._api.statuses import find_traits
from .._model import Model
from .._validation.settings import check_choice, check_flag, check_line, is_count, is_finite
from .._validation.text import show
from ..exceptions import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    DailyLimitError,
    DecodeError,
    LeadConnectorError,
    PermissionDeniedError,
    RateLimitedError,
    RowFault,
    ServerError,
    TokenStoreError,
    TransportError,
)
from .hours import Hours, read_hours

RowState: TypeAlias = Literal[
    "applied", "unchanged", "failed", "skipped", "refused", "unknown", "pending", "sent", "loaded"
]
"""The state of a row; `ROW_STATES` says what each means."""

RowResult: TypeAlias = Literal["as planned", "not changed", "unknown", "remaining"]
"""What a state means for the appointment; `remaining`: the row is not finished."""


class StateKind(Struct, frozen=True, kw_only=True):
    """What follows from a state."""

    meaning: str
    words: str
    """For summaries and reports."""
    result: RowResult
    to_read: bool = False
    """The appointment is read before anything is sent."""
    to_send: bool = False
    """The row waits to be sent, or to be read back."""
    sent: bool = False
    """The change was sent, or may have been, and was not rejected."""
    to_retry: bool = False
    """`retry_failed` re-queues the row."""


ROW_STATES: Final[Mapping[RowState, StateKind]] = {
    "applied": StateKind(meaning="the change was applied", words="applied", result="as planned", sent=True),
    "unchanged": StateKind(
        meaning="the appointment was already as the row wants it; nothing was sent",
        words="already as planned",
        result="as planned",
    ),
    "failed": StateKind(
        meaning="rejected by the server, or given up; nothing was changed",
        words="failed",
        result="not changed",
        to_retry=True,
    ),
    "skipped": StateKind(
        meaning=(
            "left out: a conflict, somebody else has changed the appointment, it was not approved, or the job was"
            " cancelled"
        ),
        words="skipped",
        result="not changed",
        to_retry=True,
    ),
    "refused": StateKind(
        meaning="cannot be carried out, or somebody changed the appointment before the job's first write",
        words="refused",
        result="not changed",
    ),
    "unknown": StateKind(
        meaning="the change may or may not have been applied", words="outcome unknown", result="unknown", sent=True
    ),
    "pending": StateKind(
        meaning="checked against the calendar; not sent yet",
        words="to change",
        result="remaining",
        to_read=True,
        to_send=True,
    ),
    "sent": StateKind(
        meaning="the request may have been sent; the appointment is read back before it is sent again",
        words="sent, not checked yet",
        result="remaining",
        to_send=True,
        sent=True,
    ),
    "loaded": StateKind(
        meaning="the row is valid; its appointment was not read yet",
        words="not read yet",
        result="remaining",
        to_read=True,
    ),
}
"""All states, in the order of summaries."""


def list_states(result: RowResult) -> tuple[RowState, ...]:
    """The states with a result."""
    return tuple(state for state, kind in ROW_STATES.items() if kind.result == result)


OPEN: Final = list_states("remaining")
"""The rows that a resumed job continues with."""
NOT_CHANGED: Final = list_states("not changed")
NOT_APPLIED: Final = (*NOT_CHANGED, *list_states("unknown"))
TO_RETRY: Final[tuple[RowState, ...]] = tuple(state for state, kind in ROW_STATES.items() if kind.to_retry)
"""The rows that `retry_failed` re-queues."""


def count_rows(counts: Mapping[RowState, int], states: Iterable[RowState]) -> int:
    """How many rows are in some states."""
    return sum(counts.get(state, 0) for state in states)


MOST_AT_ONCE: Final = 10_000
"""The highest concurrency of a location: each row in flight takes a task and a connection."""

OnConflict: TypeAlias = Literal["park", "skip", "force"]
"""What to do if rows want each other's times, or if the server says that a slot is taken.

`park`: one appointment of a cycle moves to a free slot, without notifications, until the others have moved; a row
whose slot is taken is retried after all others. `skip`: such rows are left out and listed. `force`: they are sent
without the slot check.
"""


class JobOptions(Struct, frozen=True):
    """How a job runs. Stored with the job, so a resumed job runs with the same options."""

    on_conflict: OnConflict = "park"
    """What to do if a time is taken."""
    concurrency: int = 16
    """Rows of a location that are sent at the same time. From 32 on, the journal prepares others meanwhile: as many
    as are sent in a quarter of a second, at most 1,000."""
    rate: float | None = None
    """At most so many rows per second and location; `None`: as fast as the location's rate limit allows."""
    max_errors: int | None = None
    """Stop once this number of rows has failed."""
    max_error_percent: float | None = None
    """Stop once more than this percentage of the rows that were tried (at least 20) has failed."""
    verify: bool = False
    """Read every appointment after its change, and compare."""
    allow_past: bool = False
    """Accept rows that move an appointment to a time in the past."""
    skip_refused: bool = False
    """Run the other rows if some are refused. Otherwise nothing is sent."""
    max_reading_age: float = MAX_READING_AGE
    """How many seconds ago an appointment may have been read when its change is sent; older readings are refreshed.

    With 0, every change is sent right after a GET of its own. Somebody else's edit between the last reading and the
    change cannot be detected, because the API has no conditional writes.
    """
    only: str | None = None
    """Times of day such as `22:00-06:00`: rows are sent only then, in local time of `only_timezone`.

    Otherwise, the job is paused. Rows in flight when the hours end finish.
    """
    only_timezone: str | None = None
    """IANA name of the time zone of `only`."""

    @property
    def hours(self) -> Hours | None:
        """The hours to which the job keeps; `None`: it is sent at any time."""
        return read_hours(self.only, self.only_timezone)

    def __post_init__(self) -> None:
        percent, rate, most_errors = self.max_error_percent, self.rate, self.max_errors
        _check("concurrency", self.concurrency, is_count(self.concurrency, 1, MOST_AT_ONCE), "at least 1")
        _check("rate", rate, rate is None or (is_finite(rate) and rate > 0), "greater than 0")
        age = self.max_reading_age
        _check("max_reading_age", age, is_finite(age) and age >= 0, "0 or more seconds")
        _check("max_errors", most_errors, most_errors is None or is_count(most_errors, 1), "at least 1")
        is_part = percent is None or (is_finite(percent) and 0 <= percent <= 100)
        _check("max_error_percent", percent, is_part, "from 0 to 100")
        check_choice("on_conflict", self.on_conflict, get_args(OnConflict))
        for name in ("verify", "allow_past", "skip_refused"):
            check_flag(name, getattr(self, name))
        for name in ("only", "only_timezone"):
            if (text := getattr(self, name)) is not None:
                check_line(name, text)
        read_hours(self.only, self.only_timezone)


class RowOutcome(Model, frozen=True, kw_only=True):
    """The outcome of one row."""

    line: int
    """The line of its plan, as in `PlanRow`."""
    event_id: str
    """The appointment."""
    location_id: str | None = None
    """Its location; `None`: that of the client."""
    state: RowState
    """What became of the row."""
    reason: str = ""
    """Why the row was not applied."""
    attempts: int = 0
    """Requests sent for the row, including those that read back."""
    repeated: bool = False
    """The change was sent again after a lost response, so automations may have run twice."""
    trace_id: str | None = None
    """The server's `traceId` from the last response, which HighLevel's support asks for."""
    new_event_id: str | None = None
    """The new id of the event, if it has changed."""


OnOutcome: TypeAlias = Callable[[RowOutcome], None]
"""Called with the outcome of each row."""

StopKind: TypeAlias = Literal["errors", "authentication", "daily", "unreachable", "interrupted", "internal"]
"""Too many rows failed (`errors`), the token was refused, the daily limit is used up, the server is unreachable,
somebody stopped it (`interrupted`), or it cannot go on for another reason (`internal`)."""


class Stopped(Model, frozen=True):
    """Why a location, or the whole job, stopped early."""

    kind: StopKind
    """The reason in one word."""
    reason: str
    """The reason in words."""
    location_id: str | None = None
    """The location; `None` if the whole job stopped."""
    resume_seconds: float | None = None
    """For `daily`: seconds until the daily budget is restored."""


class JobSummary(Model, frozen=True, kw_only=True):
    """The state of a job, or how it ended."""

    counts: Mapping[RowState, int]
    """The number of rows in each state; states without rows are missing."""
    repeated: int = 0
    """Rows whose automations may have run twice."""
    stopped: tuple[Stopped, ...] = ()
    """Why the job, or some of its locations, stopped early."""
    seconds: float = 0.0
    """How long this run took."""

    @property
    def total(self) -> int:
        """All rows."""
        return sum(self.counts.values())

    @property
    def remaining(self) -> int:
        """Rows that a resumed job would continue with."""
        return count_rows(self.counts, OPEN)


JobPhase: TypeAlias = Literal["ready", "preparing", "refused", "running", "paused", "stopped", "done"]
"""What a job is doing.

`refused`: some rows cannot be carried out, so nothing was sent. `stopped`: too many rows failed. `paused`: by
somebody, or outside of its hours.
"""


class JobProgress(Model, frozen=True, kw_only=True):
    """The progress of a running job."""

    phase: JobPhase = "running"
    """What the job is doing."""
    done: int
    """Rows that are finished, whatever their outcome."""
    total: int
    """All rows."""
    applied: int
    """Rows that were changed."""
    failed: int
    """Rows that failed, were skipped or refused."""
    unknown: int
    """Rows that may or may not have been changed."""
    rate: float
    """Recent rows per second; 0 after the first reading and, from a `JobService`, after the end."""
    remaining_seconds: float | None = None
    """Predicted seconds until the end; `None` as long as nothing is known."""
    pauses: Mapping[str, str] = {}
    """The locations that are paused, with the reason."""
    resume_at: float | None = None
    """When a job that is `paused` outside of its hours continues by itself, in seconds since the epoch."""
    locations: int = 0
    """Locations of the job; 0 for a run in this process, which does not count them."""
    prepared: int = 0
    """How many locations have been read and ordered."""
    workers: int = 1
    """Live processes: for a job in a database, all workers of that database."""
    stopped: tuple[Stopped, ...] = ()
    """Why the job, or some of its locations, stopped early; from a `JobService` only."""
    faults: tuple[RowFault, ...] = ()
    """Why rows keep a `refused` job from running: the first ten; from a `JobService` only."""


OnProgress: TypeAlias = Callable[[JobProgress], None]
"""Called with the progress of a job, several times a second."""


def _check(name: str, value: object, good: bool, hint: str) -> None:
    if not good:
        raise ConfigurationError(f"{name} is {show(value)}; it must be {hint}")


_NO_ACCESS: Final = (AuthenticationError, PermissionDeniedError, ConfigurationError, TokenStoreError)


_SOON: Final = 300.0
"""The longest wait for the daily budget, in seconds; if it takes longer, the job stops and can be resumed."""


def is_transient(error: LeadConnectorError) -> bool:
    """Whether the same request may succeed later, without any change of the row or the token."""
    if isinstance(error, TransportError) or (isinstance(error, DecodeError) and error.transient):
        return True
    return isinstance(error, ApiError) and (error.transient or find_traits(error.status).is_from_network)


def explain_failure(error: LeadConnectorError) -> str:
    """Why the change of a row has failed: the text of the error alone, with what was noted since."""
    return " ".join([str(error.args[0]), *getattr(error, "__notes__", ())])


def describe_stop(error: LeadConnectorError, location: str) -> Stopped | None:
    """Why the location must stop; `None` if the error concerns only the row.

    A web page of the edge or of a network in place of a response says nothing about the token, whatever its status
    code.
    """
    reason = str(error.args[0])
    if isinstance(error, DailyLimitError):
        return Stopped("daily", reason, location or None, error.retry_after)
    if is_transient(error) or isinstance(error, RateLimitedError | ServerError):
        return Stopped("unreachable", reason, location or None)
    if isinstance(error, _NO_ACCESS):
        return Stopped("authentication", reason, location or None)
    return None


def find_wait(stopped: Stopped) -> float | None:
    """Seconds until a location may continue, if that is soon; `None` if the job must stop instead.

    A single implausible header can report the daily budget as spent: the next request, a minute later, tells.
    """
    seconds = stopped.resume_seconds
    return seconds if stopped.kind == "daily" and seconds is not None and seconds <= _SOON else None


async def wait_out(stopped: Stopped) -> bool:
    """Wait until the location may continue, if that is soon; `False` if it is not."""
    if (seconds := find_wait(stopped)) is None:
        return False
    await asyncio.sleep(seconds)
    return True
