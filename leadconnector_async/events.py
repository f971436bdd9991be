"""Events: what happens during a call, passed to `on_event` as it happens.

An event is a small frozen Struct with the location, the name of the operation, the number of the attempt (0 before
the first request), the id of the call and the time. The handler runs inside the call, so it must return quickly; an
exception in it is logged and never fails the call. No event contains a token or a payload.

Events survive JSON: `msgspec.json.decode(msgspec.json.encode(event), type=AnyEvent)` is an equal event.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import time
from collections.abc import Callable
from typing import Literal, TypeAlias

from msgspec import Struct, field


def _name_kind(class_name: str) -> str:
    """`RequestSent` is `request_sent`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", class_name).lower()


class Stamped(Struct, frozen=True, kw_only=True, tag=_name_kind, tag_field="kind"):
    """The base class of all events, those of workers included."""

    at: float = field(default_factory=time.time)
    """When it happened, in seconds since the epoch."""

    @property
    def kind(self) -> str:
        """The name of its class in snake_case, such as `request_sent`; also the key `kind` of its JSON."""
        return str(self.__struct_config__.tag)

    def __str__(self) -> str:
        """One line for a log: the kind and the known values, without the time, which a log adds itself."""
        known = {name: getattr(self, name) for name in self.__struct_fields__ if name != "at"}
        return " ".join([self.kind, *(f"{name}={value!r}" for name, value in known.items() if value is not None)])


class Event(Stamped, frozen=True):
    """The base class of all events of a call."""

    location_id: str | None
    """The location that is called; `None` for a client without one."""
    operation: str
    """The name of the operation, such as `update_appointment`."""
    attempt: int
    """The number of the attempt; 0 before the first request."""
    call_id: str
    """The same for all events of one call, reading back included; random, and of no meaning to the server."""


class CallStarted(Event, frozen=True):
    """A call begins: the first event of every call."""


class CallSucceeded(Event, frozen=True):
    """The call returns a response: its last event."""

    reconciled: bool = False
    """The write was found to be applied by reading it back; no response to it came."""


class CallFailed(Event, frozen=True):
    """The call raises an exception, or was cancelled: its last event."""

    error: str
    """The name of the exception's class, such as `NotFoundError` or `CancelledError`."""
    status: int | None
    """HTTP status code of the last response, if the exception has one."""
    outcome: Literal["applied", "not_applied", "unknown"]
    """What became of a write."""


class OutcomeUnknown(CallFailed, frozen=True):
    """The call fails, and it is unknown whether its write was applied: its last event. Logged as a warning."""


class WaitingForSlot(Event, frozen=True):
    """No rate-limit slot is free, so the call waits for one."""

    pause_seconds: float
    """What remains of a pause of the location; 0 if there is none."""


class SlotAcquired(Event, frozen=True):
    """The call waited `seconds` for a rate-limit slot. Not emitted if a slot was free."""

    seconds: float
    """How long the call waited."""


class RequestSent(Event, frozen=True):
    """A request is about to be sent."""

    method: str
    """The HTTP method, such as `PUT`."""
    url: str
    """Without the values of its query, which may be personal data."""
    template: str | None
    """The path with `{}` for each id; `None` for a path that was passed to `request`."""


class WriteRepeated(Event, frozen=True):
    """A write is about to be sent again that an earlier attempt may have applied. Logged as a warning.

    The calendar ends up the same, but contacts may be notified twice.
    """


class ResponseReceived(Event, frozen=True):
    """A response arrived, `seconds` after the request was sent."""

    status: int
    """HTTP status code."""
    seconds: float
    """The time since the request was sent."""


class RequestFailed(Event, frozen=True):
    """No complete response arrived."""

    reason: str
    """What happened, for people; `error` is for programs."""
    sent: bool
    """Whether the request may have reached the server."""
    error: Literal["timeout", "certificate", "incomplete", "no_response", "not_sent"]
    """`incomplete`: the response ended early; `certificate`: that of the server was rejected."""


class Retrying(Event, frozen=True):
    """The request is retried after a back-off."""

    seconds: float
    """The back-off; a pause of the location comes on top."""
    reason: str
    """Why: the error of the last attempt."""


class Paused(Event, frozen=True):
    """A 429 pauses the whole location for `seconds`. Logged as a warning."""

    seconds: float
    """How long the location pauses."""


class Resumed(Event, frozen=True):
    """The location resumes after a pause of `seconds`."""

    seconds: float
    """How long the location was paused."""


class Reconciled(Event, frozen=True):
    """The event was read back, or what was created searched for, after a write whose outcome was unknown."""

    applied: bool
    """Whether it shows every field that was sent. If it does not, the server can no longer apply a creation."""


class UnexpectedId(Event, frozen=True):
    """The response has another id than the request. It is returned unchanged, and logged as a warning.

    Instances and aliases may have ids of their own; otherwise it may be the response to another request.
    """

    requested: str
    """The id in the request."""
    received: str
    """The id in the response."""


class TokenRefreshed(Event, frozen=True):
    """The server rejected the token, and the provider returned a new one."""


AnyEvent: TypeAlias = (
    CallStarted
    | CallSucceeded
    | CallFailed
    | OutcomeUnknown
    | WaitingForSlot
    | SlotAcquired
    | RequestSent
    | WriteRepeated
    | ResponseReceived
    | RequestFailed
    | Retrying
    | Paused
    | Resumed
    | Reconciled
    | UnexpectedId
    | TokenRefreshed
)
"""Any event of a call: the type to decode its JSON with."""

EventHandler: TypeAlias = Callable[[Event], None]
"""The type of `on_event`."""


def combine_handlers(*handlers: EventHandler) -> EventHandler:
    """Return a handler that passes every event to all of these, in this order, even if one of them fails.

    `handlers` are functions as `on_event` takes them.
    """

    def handle(event: Event) -> None:
        errors: list[Exception] = []
        for handler in handlers:
            try:
                _call(handler, event)
            except Exception as error:
                errors.append(error)
            except asyncio.CancelledError:  # of something that it looked at
                errors.append(RuntimeError("it raised CancelledError"))
        if errors:
            raise ExceptionGroup("handlers of events failed", errors)

    return handle


def _call(handler: Callable[[Event], object], event: Event) -> None:
    result = handler(event)
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError("it returned a coroutine, which is never awaited: pass a function that is not async")
