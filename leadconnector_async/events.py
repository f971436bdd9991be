"""What happens to a call on its way, told to `on_event` while it happens.

Each event is a small frozen Struct with the location, the vendor's name of the operation and the number of the
attempt (0 before the first was sent). Seconds are durations. A handler runs inside the call, so it must be
quick; a handler that fails is logged and never breaks a call. No event holds a token or a payload.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct


class Event(Struct, frozen=True):
    """What all events carry."""

    location_id: str | None
    operation: str
    attempt: int


class SlotAcquired(Event, frozen=True):
    """The call had to wait `seconds` for its turn."""

    seconds: float


class RequestSent(Event, frozen=True):
    """A request is on its way."""


class ResponseReceived(Event, frozen=True):
    """An answer came, `seconds` after the request was sent."""

    status: int
    seconds: float


class RequestFailed(Event, frozen=True):
    """No whole answer came. `reason` says why, `sent` whether the request may have reached the server."""

    reason: str
    sent: bool


class Retrying(Event, frozen=True):
    """The call is tried again after a back-off of `seconds`; a pause of the location comes on top."""

    seconds: float
    reason: str


class Paused(Event, frozen=True):
    """The whole location waits for `seconds`, because the server said that its limit is reached."""

    seconds: float


class Resumed(Event, frozen=True):
    """The location goes on after a pause of `seconds`."""

    seconds: float


class Reconciled(Event, frozen=True):
    """The event was read back after a write whose outcome was unknown. `applied`: it shows what was sent."""

    applied: bool


class UnexpectedId(Event, frozen=True):
    """The response has another id than the one requested. It is returned unchanged, and logged as a warning.

    Instances and aliases may have ids of their own; otherwise it may be the response to another request.
    """

    asked: str
    answered: str


class TokenRefreshed(Event, frozen=True):
    """The server called the token expired, and there is a new one."""


EventHandler: TypeAlias = Callable[[Event], None]
"""What `on_event` takes."""
