"""Events: what happens during a call, passed to `on_event` as it happens.

An event is a small frozen Struct with the location, the name of the operation and the number of the attempt (0
before the first request). Seconds are durations. The handler runs inside the call, so it must return quickly; an
exception in it is logged and never fails the call. No event contains a token or a payload.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct


class Event(Struct, frozen=True):
    """The base class of all events."""

    location_id: str | None
    operation: str
    attempt: int


class SlotAcquired(Event, frozen=True):
    """The call waited `seconds` for a rate-limit slot. Not emitted if a slot was free."""

    seconds: float


class RequestSent(Event, frozen=True):
    """A request is about to be sent."""


class ResponseReceived(Event, frozen=True):
    """A response arrived, `seconds` after the request was sent."""

    status: int
    """HTTP status code."""
    seconds: float


class RequestFailed(Event, frozen=True):
    """No complete response arrived."""

    reason: str
    sent: bool
    """Whether the request may have reached the server."""


class Retrying(Event, frozen=True):
    """The request is retried after a back-off."""

    seconds: float
    """The back-off; a pause of the location comes on top."""
    reason: str


class Paused(Event, frozen=True):
    """A 429 pauses the whole location for `seconds`."""

    seconds: float


class Resumed(Event, frozen=True):
    """The location resumes after a pause of `seconds`."""

    seconds: float


class Reconciled(Event, frozen=True):
    """The event was read back, or what was created searched for, after a write whose outcome was unknown."""

    applied: bool
    """Whether it shows every field that was sent. If it does not, the server can no longer apply a creation."""


class UnexpectedId(Event, frozen=True):
    """The response has another id than the request. It is returned unchanged, and logged as a warning.

    Instances and aliases may have ids of their own; otherwise it may be the response to another request.
    """

    requested: str
    received: str


class TokenRefreshed(Event, frozen=True):
    """The server rejected the token, and the provider returned a new one."""


EventHandler: TypeAlias = Callable[[Event], None]
"""The type of `on_event`."""
