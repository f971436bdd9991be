"""The settings of a client: frozen, checked when they are made, in seconds throughout."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from ._validation.settings import check_choice, check_count, check_seconds
from .exceptions import ConfigurationError

OnAmbiguous: TypeAlias = Literal["reconcile", "retry", "raise"]
"""What to do when nobody knows whether a write was applied."""

Priority: TypeAlias = Literal["interactive", "bulk"]
"""Whose turn it is: somebody waits for an interactive call, nobody for a bulk one."""


class Timeouts(Struct, frozen=True, kw_only=True):
    """Bounds of each attempt, in seconds."""

    connect: float = 10.0
    """To get a connection: waiting for a free one, name lookup and TLS included."""
    total: float = 30.0
    """Bounds each attempt as a whole, from having its token and slot to the last byte of the response, getting a
    connection included. Also bounds each call of the token provider."""

    def __post_init__(self) -> None:
        check_seconds("Timeouts.connect", self.connect)
        check_seconds("Timeouts.total", self.total)


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """When a call is tried again, and for how long."""

    max_attempts: int = 5
    """How often a call's request is sent at most, the first time included. Not counted: reading back, requests
    after a pause of the location (429), and after a 401 one with a new token and one retry of a stray refusal."""
    deadline: float | None = None
    """Bound of the whole call in seconds, waiting for its turn included. `None`: a call waits its turn as long
    as its turn takes; attempts and timeouts bound the rest."""
    backoff_base: float = 0.5
    """The first back-off is drawn from 0 to this; each further one from 0 to double the span before."""
    backoff_cap: float = 30.0
    """The longest back-off. A longer hint from the server is still obeyed."""
    on_ambiguous: OnAmbiguous = "reconcile"
    """For writes whose answer was lost and after a 5xx. `"reconcile"` reads the event back and compares every
    field that was sent and can be shown: equal, it is done; different, it is sent again; `OutcomeUnknownError` if
    that cannot be told. `"retry"` sends again without reading: harmless to the calendar, but automations may run
    twice. `"raise"`: `OutcomeUnknownError` at once. What creates something is never sent twice."""

    def __post_init__(self) -> None:
        check_count("RetryPolicy.max_attempts", self.max_attempts, 1)
        if self.deadline is not None:
            check_seconds("RetryPolicy.deadline", self.deadline)
        check_seconds("RetryPolicy.backoff_base", self.backoff_base)
        check_seconds("RetryPolicy.backoff_cap", self.backoff_cap)
        check_choice("RetryPolicy.on_ambiguous", self.on_ambiguous, get_args(OnAmbiguous))


class RateLimit(Struct, frozen=True, kw_only=True):
    """The rate limit that a location's limiter starts with. The headers of every response correct it.

    The defaults are the documented limits; the real ones are often lower [field].
    """

    max_requests: int = 100
    """Requests in any window of `interval` seconds."""
    interval: float = 10.0
    """Length of the window, in seconds."""

    daily: int = 200_000
    """Requests in a day."""
    daily_reserve: int = 0
    """Of these, what bulk calls leave to interactive ones."""

    def __post_init__(self) -> None:
        check_count("RateLimit.max_requests", self.max_requests, 1)
        check_seconds("RateLimit.interval", self.interval)
        check_count("RateLimit.daily", self.daily, 1)
        check_count("RateLimit.daily_reserve", self.daily_reserve, 0)
        if self.daily_reserve >= self.daily:
            raise ConfigurationError(
                f"RateLimit.daily_reserve is {self.daily_reserve}; it must be less than daily, {self.daily}"
            )


def check_priority(value: object) -> None:
    """Raise `ConfigurationError` if it is not a priority."""
    check_choice("priority", value, get_args(Priority))
