"""Row states, options and figures of a job, and which errors stop a whole location."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from .._api.precondition import MAX_READING_AGE
from .._api.statuses import find_traits
from .._validation.settings import check_choice, check_flag, is_count, is_finite
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
    ServerError,
    TokenStoreError,
    TransportError,
)

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
        meaning="left out because of a conflict, or because somebody else has changed the appointment",
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
"""Rows of a location under way at once, at most: each takes a task and a connection."""

OnConflict: TypeAlias = Literal["park", "skip", "force"]
"""What to do where rows want each other's time, and where the server says that a slot is taken.

`park`: one appointment of a cycle waits in a free slot, silently, until the others have moved; a row whose slot is
taken is tried again after all others. `skip`: such rows are left out and listed. `force`: they are sent without the
slot check.
"""


class JobOptions(Struct, frozen=True):
    """How a job runs. Kept with the job, so that a resumed one runs alike."""

    on_conflict: OnConflict = "park"
    concurrency: int = 16
    """Rows of a location under way at once."""
    rate: float | None = None
    """Rows a second and location, at most; `None`: as fast as the location's limit allows."""
    max_errors: int | None = None
    """Stop when so many rows have failed."""
    max_error_percent: float | None = None
    """Stop when so large a part of the rows that were tried has failed (of at least 20)."""
    verify: bool = False
    """Read every appointment again after its change, and compare."""
    allow_past: bool = False
    """Take rows that move an appointment to a time that has passed."""
    skip_refused: bool = False
    """Go on with the good rows if some cannot be carried out. Else nothing is sent."""
    max_reading_age: float = MAX_READING_AGE
    """How old, in seconds, the reading of an appointment may be when its change is sent; older ones are read again.

    0: every change is sent right after a GET of its own. Somebody else's edit between the last reading and the
    change cannot be detected: the API has no conditional writes.
    """

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


class RowOutcome(Struct, frozen=True, kw_only=True):
    """What has become of one row."""

    line: int
    event_id: str
    location_id: str | None = None
    state: RowState
    reason: str = ""
    """Why, where it was not applied."""
    attempts: int = 0
    """Requests sent for it, those that read back included."""
    repeated: bool = False
    """The change was sent again after an answer was lost: automations may have run twice."""
    trace_id: str | None = None
    """The server's, of the last answer: support asks for it."""
    new_event_id: str | None = None
    """Its id afterwards, if that is another one."""


class Stopped(Struct, frozen=True):
    """Why a location, or the whole job, stopped early."""

    kind: Literal["errors", "authentication", "daily", "unreachable", "interrupted"]
    reason: str
    location_id: str | None = None
    resume_seconds: float | None = None
    """For `daily`: seconds until the budget is back."""


class JobSummary(Struct, frozen=True, kw_only=True):
    """Where a job stands, or how it ended."""

    counts: Mapping[RowState, int]
    """Rows in each state; states without rows are missing."""
    repeated: int = 0
    """Rows whose automations may have run twice."""
    stopped: tuple[Stopped, ...] = ()
    seconds: float = 0.0
    """That it ran, this time."""

    @property
    def total(self) -> int:
        """All rows."""
        return sum(self.counts.values())

    @property
    def remaining(self) -> int:
        """Rows that a resumed job would go on with."""
        return count_rows(self.counts, OPEN)


class JobProgress(Struct, frozen=True, kw_only=True):
    """Where a running job stands."""

    done: int
    """Rows that are finished, whatever came of them."""
    total: int
    applied: int
    failed: int
    unknown: int
    rate: float
    """Rows a second, of late."""
    remaining_seconds: float | None = None
    """Until the end, computed from the budgets; `None` while nothing is known."""
    pauses: Mapping[str, str] = {}
    """Locations that pause at the moment, and why."""
    note: str = ""
    """What is going on beside the rows, such as reading the calendar."""


def _check(name: str, value: object, good: bool, hint: str) -> None:
    if not good:
        raise ConfigurationError(f"{name} is {show(value)}; it must be {hint}")


_NO_ACCESS: Final = (AuthenticationError, PermissionDeniedError, ConfigurationError, TokenStoreError)


_SOON: Final = 300.0
"""Seconds for which a job waits for the day's budget, in place of stopping until somebody resumes it."""


def is_transient(error: LeadConnectorError) -> bool:
    """Tell whether the same may pass later, although nothing about the rows or the token has changed."""
    if isinstance(error, TransportError) or (isinstance(error, DecodeError) and error.transient):
        return True
    return isinstance(error, ApiError) and (error.transient or find_traits(error.status).is_from_network)


def describe_stop(error: LeadConnectorError, location: str) -> Stopped | None:
    """Why the location cannot go on; `None` if the error is the row's own.

    A page in place of an answer, of the edge or of a network, says nothing of the token, whatever its status is.
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
    """Seconds until a location may go on, if that is soon; `None` if the job is to stop instead.

    One odd header of one response says that the daily limit is used up: the next request, a minute later, shows it.
    """
    seconds = stopped.resume_seconds
    return seconds if stopped.kind == "daily" and seconds is not None and seconds <= _SOON else None


async def wait_out(stopped: Stopped) -> bool:
    """Wait until the location may go on, if that is soon; `False` if it is not."""
    if (seconds := find_wait(stopped)) is None:
        return False
    await asyncio.sleep(seconds)
    return True
