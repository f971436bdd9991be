"""`RetryPolicy` made into tenacity: what is repeated, after how long, and when to stop.

Rule: tenacity decides, from the first failure on, and never sees a cancellation: it is used as a machine that
is told an outcome and answers "sleep", "try" or "this is final", while the pipeline does the awaiting.

Pure. Time comes in as a function. Must not import the pipeline.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar, cast

from msgspec import Struct

from ._operations import Operation
from ._statuses import find_traits
from ._wire import Request
from .exceptions import ApiError, DailyLimitError, DecodeError, LeadConnectorError
from .policy import RetryPolicy

if TYPE_CHECKING:
    from tenacity import RetryCallState, Retrying, wait_random_exponential

T = TypeVar("T")

Phase: TypeAlias = Literal["never_sent", "certificate", "no_answer", "foreign", "status", "final"]
"""How far a request got that failed: it never left; the certificate was refused; it left and no whole answer
came; what came with a success status is no success of the API's: somebody else's page, or an error in JSON; the
server answered with an error; or nothing can follow whatever the policy says."""

_TOO_MANY: Final = 429
_ELSEWHERE: Final = frozenset({307, 308})
_NUMBER: Final = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)
_LONGEST_SECONDS: Final = 86_400.0
"""No header makes a location or a call wait for longer, before it is asked again."""
_DATE: Final = re.compile(r"[A-Za-z]{3,9},? [0-9A-Za-z: +-]{15,40}", re.ASCII)
"""A day of the week, and a date and a time after it, in any of the three forms that HTTP knows."""
_UNREADABLE: Final = (ValueError, OverflowError, TypeError, IndexError, KeyError, AttributeError)
"""What `email.utils` raises over one date or another that is none."""
_STRAY_SECONDS: Final = (1.0, 1.5)
"""After how long a stray refusal is repeated: about a second, and not all who met it at once in step."""


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
    if failure.phase == "no_answer" or is_page(failure):
        return True
    return failure.phase in ("status", "foreign") and find_traits(failure.error.status).may_still_run


def is_charged(failure: Failure) -> bool:
    """Tell whether a repetition after it costs budget: a refusal for the rate does not."""
    return find_traits(failure.error.status).costs_budget


def is_passing(failure: Failure) -> bool:
    """Tell whether it may be better in a moment."""
    error = failure.error
    if failure.phase in ("certificate", "final") or isinstance(error, DailyLimitError):
        return False
    if failure.phase in ("never_sent", "no_answer") or is_page(failure) or find_traits(error.status).is_transient:
        return True
    return isinstance(error, ApiError) and error.transient


def is_pause(failure: Failure) -> bool:
    """Tell whether it belongs to a pause of the location: waiting that out is no attempt."""
    refused_for_rate = failure.phase == "status" and failure.error.status == _TOO_MANY
    return (refused_for_rate or failure.pause_seconds > 0) and is_passing(failure)


def is_page(failure: Failure) -> bool:
    """Tell whether somebody else than the API answered, with a success."""
    return failure.phase == "foreign" and isinstance(failure.error, DecodeError)


def is_refused_in_disguise(failure: Failure) -> bool:
    """Tell whether its error came as no error should: with a success, as a redirect or a switch of protocols."""
    if failure.phase == "status":
        return (failure.error.status or 0) < 400
    return failure.phase == "foreign" and not is_page(failure)


def is_sent_elsewhere(failure: Failure) -> bool:
    """Tell whether the server wants the same request at another address: nothing there is worth reading back."""
    return failure.phase == "status" and failure.error.status in _ELSEWHERE


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
    return failure.phase != "status" or find_traits(failure.error.status).is_inconclusive


def _may_have_run(failure: Failure) -> bool:
    if failure.phase == "status":
        return find_traits(failure.error.status).is_ambiguous
    return failure.phase in ("no_answer", "foreign")


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
        if is_pause(failure):
            return None if _passes(self._deadline, self._clock, failure.pause_seconds) else 0.0
        state = self._state = self._state or self._build_state()
        retrying = cast("Retrying", state.retry_object)
        state.set_result(failure)
        decision = retrying.iter(state)
        state.prepare_for_next_attempt()
        retrying.iter_state.reset()
        return float(decision) if isinstance(decision, float) else None

    def decide_stray(self) -> float | None:
        """Seconds to wait before a refusal is repeated that may be stray; `None` if nothing shall follow."""
        seconds = random.uniform(*_STRAY_SECONDS)  # noqa: S311 - spreads load, guards nothing
        return None if _passes(self._deadline, self._clock, seconds) else seconds

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
    """Read how long the server asks to wait, in seconds.

    `retry-after-ms` holds milliseconds; `Retry-After` seconds or an HTTP date (RFC 9110, section 10.2.3), whatever
    the size of the number. A date is held against the answer's own `Date`, so that no common clock is needed. No
    hint is longer than a day; what is neither is no hint.
    """
    seconds = _read_hint(headers, now)
    return None if seconds is None else min(seconds, _LONGEST_SECONDS)


def _read_hint(headers: Mapping[str, str], now: datetime | None) -> float | None:
    milliseconds = headers.get("retry-after-ms", "").strip()
    if _NUMBER.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    text = headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    until = _parse_date(text)
    if until is None:
        return None
    reference = _parse_date(headers.get("date", "")) or now or datetime.now(UTC)
    return max(0.0, (until - reference).total_seconds())


def _parse_date(text: str) -> datetime | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        moment = parsedate_to_datetime(text)
    except _UNREADABLE:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _compute_wait(backoff: wait_random_exponential, state: RetryCallState) -> float:
    return max(_read_failure(state).hint_seconds or 0.0, backoff(state))


def _decide_stop(
    max_attempts: int, deadline: float | None, clock: Callable[[], float], state: RetryCallState
) -> bool:
    return state.attempt_number >= max_attempts or _passes(deadline, clock, state.upcoming_sleep)


def _passes(deadline: float | None, clock: Callable[[], float], seconds: float) -> bool:
    return deadline is not None and clock() + seconds >= deadline


def _read_failure(state: RetryCallState) -> Failure:
    outcome = state.outcome
    if outcome is None:
        raise AssertionError("tenacity is asked only after an attempt")
    return cast("Failure", outcome.result())
