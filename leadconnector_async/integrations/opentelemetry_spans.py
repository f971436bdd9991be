"""Spans: one for each call, and inside it one for each attempt, back-off and wait for a slot.

A call is the child of the span that is current where it is made, in a task of its own too. Every span ends with the
call at the latest, also if that is cancelled. Attributes follow the semantic conventions for HTTP clients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context

from .._api.statuses import is_error
from ..events import (
    CallFailed,
    CallStarted,
    CallSucceeded,
    Event,
    Paused,
    Reconciled,
    RequestFailed,
    RequestSent,
    ResponseReceived,
    Resumed,
    Retrying,
    SlotAcquired,
    UnexpectedId,
    WaitingForSlot,
)

Attributes: TypeAlias = dict[str, str | bool | int | float]

OTHER: Final = "_OTHER"
"""What the conventions call a value that is not one of a few known ones."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_PORTS: Final = {"http": 80, "https": 443}


class Attempt(Struct):
    """An attempt that has not been recorded yet."""

    span: Span
    sent_at: float
    attributes: Attributes
    """Those of the metric."""
    ended_at: float | None = None
    """When its response arrived; what is wrong with it may follow."""


class Call(Struct):
    """A call in progress."""

    span: Span
    context: Context
    started_at: float
    sent: dict[str, int]
    """How often each request was sent."""
    attempt: Attempt | None = None
    wait: Span | None = None


Record: TypeAlias = Callable[[float, Attributes], None]
"""Records a duration in seconds."""


class CallTracer:
    """An event handler that makes the spans, and measures calls and attempts."""

    def __init__(self, tracer: Tracer, *, record_call: Record, record_attempt: Record) -> None:
        self._tracer = tracer
        self._record_call = record_call
        self._record_attempt = record_attempt
        self._calls: dict[str, Call] = {}

    def __call__(self, event: Event) -> None:
        """Take the next event of a call."""
        if isinstance(event, CallStarted):
            self._begin(event)
        elif isinstance(event, CallSucceeded | CallFailed):
            self._end(event)
        elif (call := self._calls.get(event.call_id)) is not None:
            self._follow(call, event)

    def _begin(self, event: CallStarted) -> None:
        attributes: Attributes = {
            "leadconnector.call.id": event.call_id,
            "leadconnector.operation": name_operation(event.operation),
        }
        if event.location_id is not None:
            attributes["leadconnector.location.id"] = event.location_id
        span = self._tracer.start_span(
            name_operation(event.operation), attributes=attributes, start_time=_to_nanoseconds(event.at)
        )
        self._calls[event.call_id] = Call(span, set_span_in_context(span), event.at, {})

    def _end(self, event: CallSucceeded | CallFailed) -> None:
        call = self._calls.pop(event.call_id, None)
        if call is None:
            return
        attributes: Attributes = {"leadconnector.operation": name_operation(event.operation)}
        try:
            self._close(call, event)
            call.span.set_attribute("leadconnector.attempts", event.attempt)
            if isinstance(event, CallFailed):
                attributes["error.type"] = event.error
                call.span.set_attributes({"error.type": event.error, "leadconnector.outcome": event.outcome})
                call.span.set_status(StatusCode.ERROR)
            elif event.reconciled:
                call.span.set_attribute("leadconnector.reconciled", value=True)
        finally:  # also if a span processor raises
            self._record_call(max(0.0, event.at - call.started_at), attributes)
            call.span.end(_to_nanoseconds(event.at))

    def _follow(self, call: Call, event: Event) -> None:
        if isinstance(event, ResponseReceived):
            self._take_response(call, event)
        elif isinstance(event, RequestFailed):
            self._take_failure(call, event)
        elif isinstance(event, Resumed):
            _add_event(call, event)
        else:
            self._close(call, event)
            self._open(call, event)

    def _open(self, call: Call, event: Event) -> None:
        if isinstance(event, RequestSent):
            self._send(call, event)
        elif isinstance(event, WaitingForSlot):
            self._wait(call, event, "wait for slot", {"leadconnector.pause.seconds": event.pause_seconds})
        elif isinstance(event, Retrying):
            self._wait(call, event, "back off", {"leadconnector.backoff.seconds": event.seconds})
        elif not isinstance(event, SlotAcquired):
            _add_event(call, event)

    def _wait(self, call: Call, event: Event, name: str, attributes: Attributes) -> None:
        call.wait = self._tracer.start_span(
            name, call.context, attributes=attributes, start_time=_to_nanoseconds(event.at)
        )

    def _send(self, call: Call, event: RequestSent) -> None:
        server = urlsplit(event.url)
        shared: Attributes = {
            "http.request.method": event.method if event.method in _METHODS else OTHER,
            "server.address": server.hostname or "",
            "server.port": server.port or _PORTS[server.scheme],
        }
        name = event.method if event.method in _METHODS else "HTTP"
        if event.template is not None:
            shared["url.template"] = event.template.replace("{}", "{id}")
            name = f"{name} {shared['url.template']}"
        attributes: Attributes = {**shared, "url.full": event.url}
        if event.method not in _METHODS:
            attributes["http.request.method_original"] = event.method
        request = f"{event.method} {event.url}"
        if resent := call.sent.get(request, 0):
            attributes["http.request.resend_count"] = resent
        call.sent[request] = resent + 1
        span = self._tracer.start_span(
            name, call.context, SpanKind.CLIENT, attributes, start_time=_to_nanoseconds(event.at)
        )
        call.attempt = Attempt(span, event.at, shared)

    def _take_response(self, call: Call, event: ResponseReceived) -> None:
        attempt = call.attempt
        if attempt is None:
            return
        attempt.ended_at = event.at
        attempt.attributes["http.response.status_code"] = event.status
        attempt.span.set_attribute("http.response.status_code", event.status)
        if is_error(event.status):
            _fail(attempt, str(event.status))

    def _take_failure(self, call: Call, event: RequestFailed) -> None:
        if call.attempt is not None:
            _fail(call.attempt, event.error)
            self._close(call, event)

    def _close(self, call: Call, event: Event) -> None:
        """End the attempt or the wait that was in progress."""
        wait, attempt = call.wait, call.attempt
        call.wait = call.attempt = None
        if wait is not None:
            wait.end(_to_nanoseconds(event.at))
        if attempt is not None:
            if attempt.ended_at is None and isinstance(event, CallFailed):
                _fail(attempt, event.error)
            ended_at = event.at if attempt.ended_at is None else attempt.ended_at
            self._record_attempt(max(0.0, ended_at - attempt.sent_at), attempt.attributes)
            attempt.span.end(_to_nanoseconds(ended_at))


def name_operation(operation: str) -> str:
    """The operation; `request` for a path that was passed to `request`, as there are many."""
    return "request" if " " in operation else operation


def _fail(attempt: Attempt, error: str) -> None:
    attempt.attributes["error.type"] = error
    attempt.span.set_attribute("error.type", error)
    attempt.span.set_status(StatusCode.ERROR)


def _add_event(call: Call, event: Event) -> None:
    attributes: Attributes = {}
    if isinstance(event, Paused | Resumed):
        attributes["leadconnector.pause.seconds"] = event.seconds
    elif isinstance(event, Reconciled):
        attributes["leadconnector.applied"] = event.applied
    elif isinstance(event, UnexpectedId):
        attributes["leadconnector.id.requested"] = event.requested
        attributes["leadconnector.id.received"] = event.received
    call.span.add_event(f"leadconnector.{event.kind}", attributes, _to_nanoseconds(event.at))


def _to_nanoseconds(at: float) -> int:
    return round(at * 1e9)
