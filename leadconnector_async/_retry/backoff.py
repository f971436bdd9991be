"""The wait before the next attempt, by tenacity.

Tenacity is used from the first failure on and never sees a cancellation: it is given an outcome and returns how
long to wait, or that attempts or time are used up, while the pipeline does the awaiting.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar, cast

import tenacity
from tenacity import RetryCallState, Retrying, wait_random_exponential

from .._api.request import Request
from ..policy import RetryPolicy
from .decide import Failure, decide

_STRAY_SECONDS: Final = (1.0, 1.5)
"""Seconds before a refusal that may be stray is retried, at random, so that calls do not retry in lockstep."""

T = TypeVar("T")


class Backoff:
    """Whether and when one call is tried again."""

    __slots__ = ("_clock", "_deadline", "_policy", "_request", "_state")

    def __init__(
        self, request: Request[T], policy: RetryPolicy, deadline: float | None, clock: Callable[[], float]
    ) -> None:
        self._request = cast("Request[object]", request)
        self._policy = policy
        self._deadline = deadline
        """A time of `clock`."""
        self._clock = clock
        self._state: RetryCallState | None = None

    def decide(self, failure: Failure) -> float | None:
        """Seconds to wait after this failure; `None` if nothing shall follow."""
        verdict = decide(self._request, self._policy, failure)
        if verdict == "fail":
            return None
        if verdict == "pause":
            return None if _passes(self._deadline, self._clock, failure.pause_seconds) else 0.0
        state = self._state = self._state or self._build_state()
        retrying = cast("Retrying", state.retry_object)
        state.set_result(failure)
        decision = retrying.iter(state)
        state.prepare_for_next_attempt()
        retrying.iter_state.reset()
        return float(decision) if isinstance(decision, float) else None

    def decide_stray(self) -> float | None:
        """Seconds to wait before a refusal that may be stray is retried; `None` if nothing shall follow."""
        seconds = random.uniform(*_STRAY_SECONDS)  # noqa: S311 - spreads load, guards nothing
        return None if _passes(self._deadline, self._clock, seconds) else seconds

    def _build_state(self) -> RetryCallState:
        policy = self._policy
        retrying = tenacity.Retrying(
            retry=tenacity.retry_always,
            wait=partial(_compute_wait, tenacity.wait_random_exponential(policy.backoff_base, policy.backoff_cap)),
            stop=partial(_decide_stop, policy.max_attempts, self._deadline, self._clock),
            retry_error_callback=_read_failure,
        )
        retrying.begin()
        return tenacity.RetryCallState(retrying, None, (), {})


def _compute_wait(backoff: wait_random_exponential, state: RetryCallState) -> float:
    return max(_read_failure(state).retry_after or 0.0, backoff(state))


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
