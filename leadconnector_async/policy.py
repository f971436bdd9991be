"""The settings of a client: immutable, validated on creation, in seconds throughout."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from ._validation.settings import check_choice, check_count, check_seconds
from .exceptions import ConfigurationError

OnAmbiguous: TypeAlias = Literal["reconcile", "retry", "raise"]
"""What to do when it is unknown whether a write was applied."""

Priority: TypeAlias = Literal["interactive", "bulk"]
"""Interactive calls, which somebody waits for, go before bulk calls."""


class Timeouts(Struct, frozen=True, kw_only=True):
    """Timeouts of each attempt, in seconds."""

    connect: float = 10.0
    """For a connection: waiting for a free one, name resolution and TLS included."""
    total: float = 30.0
    """Bounds each attempt as a whole, from having its token and slot to the last byte of the response, getting a
    connection included. Also bounds each call of the token provider."""

    def __post_init__(self) -> None:
        check_seconds("Timeouts.connect", self.connect)
        check_seconds("Timeouts.total", self.total)


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """When a call is tried again, and for how long."""

    max_attempts: int = 5
    """Most times that a call's request is sent, the first one included. Not counted: reading back, retries after a
    pause of the location (429), and after a 401 one retry with a new token and one of a stray refusal."""
    deadline: float | None = None
    """Seconds for the whole call, waiting for a slot included. `None`: a call waits for its slot as long as it
    takes; `max_attempts` and `Timeouts` bound the rest."""
    backoff_base: float = 0.5
    """The first back-off is drawn at random between 0 and this; the range doubles with each further one."""
    backoff_cap: float = 30.0
    """The longest back-off. A longer `Retry-After` is still obeyed."""
    on_ambiguous: OnAmbiguous = "reconcile"
    """For writes whose response was lost, or was a 5xx. `"reconcile"` reads the event back and compares every
    field that was sent and can be read: if they are equal, the call succeeds; if they differ, it is sent again; if
    that cannot be determined, `OutcomeUnknownError`. What a creation has made is searched for in the calendar.
    `"retry"` sends again without reading: harmless to the calendar, but automations may run twice. A creation is
    searched for nevertheless, because a second one books twice. `"raise"`: `OutcomeUnknownError` at once."""
    apply_timeout: float = 30.0
    """Seconds after a lost response for which the server may still be working on the request [guess]. A creation
    that the calendar does not show is sent again only after that. Until then the calendar is read several times."""

    def __post_init__(self) -> None:
        check_count("RetryPolicy.max_attempts", self.max_attempts, 1)
        if self.deadline is not None:
            check_seconds("RetryPolicy.deadline", self.deadline)
        check_seconds("RetryPolicy.backoff_base", self.backoff_base)
        check_seconds("RetryPolicy.backoff_cap", self.backoff_cap)
        check_seconds("RetryPolicy.apply_timeout", self.apply_timeout)
        check_choice("RetryPolicy.on_ambiguous", self.on_ambiguous, get_args(OnAmbiguous))


class RateLimit(Struct, frozen=True, kw_only=True):
    """The rate limit that a location's limiter starts with. The headers of every response correct it.

    The defaults are the documented limits; the real ones are often lower [field].
    """

    max_requests: int = 100
    """Requests in any window of `interval` seconds."""
    interval: float = 10.0
    """Length of the window, in seconds."""
    interactive_reserve: int | None = None
    """Of the requests of each window, how many bulk calls leave to interactive ones; less than `max_requests`.
    `None`: as many as interactive calls used in the last windows, at least 5 % and one, at most half. 0: none. If
    the server states a lower limit, at most half of that, or the same proportion if that is more."""

    daily: int = 200_000
    """Requests in a day."""
    daily_reserve: int = 0
    """Of these, how many bulk calls leave for interactive ones."""

    def __post_init__(self) -> None:
        check_count("RateLimit.max_requests", self.max_requests, 1)
        check_seconds("RateLimit.interval", self.interval)
        if self.interactive_reserve is not None:
            check_count("RateLimit.interactive_reserve", self.interactive_reserve, 0)
            if self.interactive_reserve >= self.max_requests:
                raise ConfigurationError(
                    f"RateLimit.interactive_reserve is {self.interactive_reserve}; it must be less than "
                    f"max_requests, {self.max_requests}, or bulk calls would never be sent"
                )
        check_count("RateLimit.daily", self.daily, 1)
        check_count("RateLimit.daily_reserve", self.daily_reserve, 0)
        if self.daily_reserve >= self.daily:
            raise ConfigurationError(
                f"RateLimit.daily_reserve is {self.daily_reserve}; it must be less than daily, {self.daily}"
            )


def check_priority(value: object) -> None:
    """Raise `ConfigurationError` unless it is a priority."""
    check_choice("priority", value, get_args(Priority))
