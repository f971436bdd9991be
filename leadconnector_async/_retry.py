"""`RetryPolicy` made into tenacity: what is repeated, after how long, and when to stop.

Rule: tenacity decides, from the first failure on, and never sees a cancellation: it is used as a machine that
is told an outcome and answers "sleep", "try" or "this is final", while the pipeline does the awaiting.

Pure. Time comes in as a function. Must not import the pipeline.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar, cast

from msgspec import Struct

from ._operations import Operation
from ._wire import Request
from .exceptions import DailyLimitError, LeadConnectorError
from .policy import RetryPolicy

if TYPE_CHECKING:
    from tenacity import RetryCallState, Retrying, wait_random_exponential

T = TypeVar("T")

Phase: TypeAlias = Literal["never_sent", "certificate", "no_answer", "status", "final"]
"""How far a request got that failed: it never left; the certificate was refused; it left and no whole answer
came; the server answered with an error; or nothing can follow whatever the policy says."""

_EDGE: Final = range(520, 531)
_TOO_MANY: Final = 429
_HARMLESS: Final = frozenset({408, 425, _TOO_MANY})
_SAYS_NOTHING: Final = _HARMLESS | {401, 403}
_PASSED_ON: Final = frozenset({502, 504, *_EDGE})
_AMBIGUOUS: Final = frozenset({500, 502, 503, 504, *_EDGE})
_NUMBER: Final = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
_LARGEST_IN_SECONDS: Final = 1000
_LONGEST_SECONDS: Final = 86_400.0


class Failure(Struct, frozen=True):
    """An attempt that failed."""

    error: LeadConnectorError
    phase: Phase
    hint_seconds: float | None = None
    """How long the server asked to wait."""
    pause_seconds: float = 0.0
    """How long the location pauses anyway before the next attempt."""


def is_ambiguous(failure: Failure, operation: Operation) -> bool:
    """Tell whether a write may have been applied although this attempt failed."""
    return operation.writes and _may_have_run(failure)


def may_run_late(failure: Failure) -> bool:
    """Tell whether the server may still be at work on it: nobody waits there for what it was passed on to."""
    if failure.phase == "no_answer":
        return True
    return failure.phase == "status" and failure.error.status in _PASSED_ON


def is_charged(failure: Failure) -> bool:
    """Tell whether a repetition after it costs budget: a refusal for the rate does not."""
    return failure.error.status != _TOO_MANY


def is_passing(failure: Failure) -> bool:
    """Tell whether it may be better in a moment."""
    if failure.phase in ("certificate", "final") or isinstance(failure.error, DailyLimitError):
        return False
    return failure.phase != "status" or failure.error.status in _HARMLESS | _AMBIGUOUS


def decide_repeat(request: Request[T], policy: RetryPolicy, failure: object) -> bool:
    """Decide whether this outcome of an attempt is worth another one.

    A write that may have been applied is sent again only as the policy says, and never if it creates something.
    """
    if not isinstance(failure, Failure) or not is_passing(failure):
        return False
    if _may_have_run(failure) and not request.operation.repeatable:
        return False
    if not is_ambiguous(failure, request.operation):
        return True
    if policy.on_ambiguous == "raise":
        return False
    return policy.on_ambiguous == "retry" or request.operation.harmless or request.build_proof is not None


def says_nothing(failure: Failure) -> bool:
    """Tell whether it leaves open what became of earlier attempts: it is about the token, the rate or the way."""
    return failure.phase != "status" or failure.error.status in _SAYS_NOTHING


def _may_have_run(failure: Failure) -> bool:
    return failure.phase == "no_answer" or (failure.phase == "status" and (failure.error.status or 0) >= 500)


class BackOff:
    """Whether and when one call is tried again. tenacity is called in by the first failure that may pass."""

    __slots__ = ("_clock", "_deadline", "_policy", "_request", "_state")

    def __init__(
        self, request: Request[T], policy: RetryPolicy, deadline: float | None, clock: Callable[[], float]
    ) -> None:
        self._request = cast("Request[object]", request)
        self._policy = policy
        self._deadline = deadline
        """A moment of `clock`."""
        self._clock = clock
        self._state: RetryCallState | None = None

    def decide(self, failure: Failure) -> float | None:
        """Seconds to wait after this failure; `None` if nothing shall follow."""
        if not decide_repeat(self._request, self._policy, failure):
            return None
        state = self._state = self._state or self._build_state()
        retrying = cast("Retrying", state.retry_object)
        state.set_result(failure)
        decision = retrying.iter(state)
        state.prepare_for_next_attempt()
        retrying.iter_state.reset()
        return float(decision) if isinstance(decision, float) else None

    def _build_state(self) -> RetryCallState:
        import tenacity  # noqa: PLC0415 - only failures need it

        policy = self._policy
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_result(partial(decide_repeat, self._request, policy)),
            wait=partial(_compute_wait, tenacity.wait_random_exponential(policy.backoff_base, policy.backoff_cap)),
            stop=partial(_decide_stop, policy.max_attempts, self._deadline, self._clock),
            retry_error_callback=_read_failure,
        )
        retrying.begin()
        return tenacity.RetryCallState(retrying, None, (), {})


def read_hint(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Read how long the server asks to wait, in seconds: given as seconds, milliseconds or an HTTP date.

    Numbers of 1000 and more are milliseconds: nobody has shown which unit a 429 uses [guess], and waiting a
    thousand times too long is worse than asking once too often. A date is held against the answer's own
    `Date`, so that no common clock is needed. No hint is longer than a day.
    """
    seconds = _read_hint(headers, now)
    return None if seconds is None else min(seconds, _LONGEST_SECONDS)


def _read_hint(headers: Mapping[str, str], now: datetime | None) -> float | None:
    milliseconds = headers.get("retry-after-ms", "")
    if _NUMBER.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    text = headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(text):
        value = float(text)
        return value if value < _LARGEST_IN_SECONDS else value / 1000
    until = _parse_date(text)
    if until is None:
        return None
    reference = _parse_date(headers.get("date", "")) or now or datetime.now(UTC)
    return max(0.0, (until - reference).total_seconds())


def _parse_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _compute_wait(backoff: wait_random_exponential, state: RetryCallState) -> float:
    failure = _read_failure(state)
    if failure.pause_seconds:
        return 0.0
    return max(failure.hint_seconds or 0.0, backoff(state))


def _decide_stop(
    max_attempts: int, deadline: float | None, clock: Callable[[], float], state: RetryCallState
) -> bool:
    if state.attempt_number >= max_attempts:
        return True
    wait_seconds = max(state.upcoming_sleep, _read_failure(state).pause_seconds)
    return deadline is not None and clock() + wait_seconds >= deadline


def _read_failure(state: RetryCallState) -> Failure:
    outcome = state.outcome
    if outcome is None:
        raise AssertionError("tenacity is asked only after an attempt")
    return cast("Failure", outcome.result())
