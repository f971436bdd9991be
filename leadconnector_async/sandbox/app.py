"""`SandboxApp`: takes a request, decides on the response, keeps the state. No sockets."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Final
from urllib.parse import parse_qsl
from uuid import UUID

from msgspec import Struct, structs

from . import authorize
from .agency import ArgumentRefusal
from .context import RequestContext
from .faults import Fault, FaultScript, Quirks
from .oauth import OAUTH_WRITE, TokenEndpoint, TokenRefusal, TokenRegistry, describe_form, read_form, rename_for
from .rate_limits import Limits, RateLimits, Verdict
from .request_log import LoggedRequest, RequestLog
from .responses import encode, render_argument_error, render_error, render_page, render_token_error
from .routes import ROUTES, Route, find_route
from .seed import build_id
from .store import SEED_DAY, Store
from .updates import Refusal

_TOKEN_ROUTES: Final = {
    "/oauth/token": "oauth_token",
    "/oauth/locationToken": "oauth_location_token",
    "/oauth/location-token": "oauth_location_token",
}
OPERATIONS: Final = tuple(dict.fromkeys([*(route.operation for route in ROUTES), *_TOKEN_ROUTES.values()]))
"""All that can be asked for, by the vendor's names."""
_V3_ROUTE: Final = "/oauth/location-token"
_VERSIONS: Final = frozenset({"2021-04-15", "2021-07-28", "2023-02-21", "v3"})
_REJECTED_AGENT: Final = re.compile(r"Python/\S+ aiohttp/\S+")
_STATUS_TEXTS: Final = {
    429: "Too Many Requests",
    500: "Internal server error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}
_JSON: Final = {"content-type": "application/json; charset=utf-8"}
_TEXT: Final = {"content-type": "text/plain; charset=utf-8"}
_NO_ROUTE: Final = {"x-sandbox-hint": "this route is not part of the sandbox"}
_OK: Final = Fault("ok")
_WITHOUT_STATUS: Final = frozenset({"reset", "lose-response", "late", "half-body", "cut"})


class Response(Struct, frozen=True):
    """What to send back, and what is to go wrong on the way."""

    status: int
    headers: dict[str, str]
    body: bytes
    fault: Fault = _OK
    apply: Callable[[float], object] | None = None
    """What is to be done after `fault.seconds`, at that time of the loop's clock."""


class Clock:
    """The event loop's time, set forward; and the sandbox's own calendar, which begins with the first request."""

    def __init__(self) -> None:
        self.ahead = 0.0
        """Seconds by which it was set forward."""
        self._start: float | None = None
        self._lead: float | None = None
        """By how much the loop's clock was ahead of the monotonic clock when the time was first asked for."""

    def advance(self, seconds: float) -> None:
        """Set it forward."""
        self.ahead += seconds

    def read(self, loop_time: float) -> tuple[float, datetime]:
        """Seconds, for limits and tokens; and the date, to the millisecond, as the server writes it."""
        self._start = loop_time if self._start is None else self._start
        now = loop_time + self.ahead
        return now, self.date(now)

    @property
    def is_running(self) -> bool:
        """Whether the calendar has begun."""
        return self._start is not None

    def peek(self, loop_time: float) -> tuple[float, datetime]:
        """As `read`, without letting the calendar begin."""
        now = loop_time + self.ahead
        return now, self.date(now if self._start is not None else self.ahead)

    def date(self, seconds: float) -> datetime:
        """The date at a time of this clock."""
        return SEED_DAY + timedelta(milliseconds=round((seconds - (self._start or 0.0)) * 1000))

    def read_time(self, loop_time: float) -> float:
        """Unix time, set forward as this clock was, and as the loop's was: that of a test may be, too."""
        lead = loop_time - time.monotonic()
        self._lead = lead if self._lead is None else self._lead
        return time.time() + self.ahead + lead - self._lead


class SandboxApp:
    """The server without its sockets."""

    def __init__(
        self,
        store: Store,
        tokens: TokenRegistry,
        token_endpoint: TokenEndpoint,
        *,
        quirks: Quirks,
        limits: Limits,
        strict: bool,
        log_size: int,
    ) -> None:
        self.store = store
        self.tokens = tokens
        self.token_endpoint = token_endpoint
        self.quirks = quirks
        self.rate_limits = RateLimits(limits)
        self.faults = FaultScript(OPERATIONS)
        self.requests = RequestLog(log_size, OPERATIONS)
        self.clock = Clock()
        self._strict = strict
        self._counts = _Counts()

    def set_limits(self, location_id: str | None, limits: Limits | None) -> None:
        """Limits of one location, or of all without their own. Raises `KeyError` for an unknown location."""
        if location_id is None:
            self.rate_limits.default = limits or Limits()
        elif location_id not in self.store.locations:
            raise KeyError(location_id)
        elif limits is None:
            self.rate_limits.by_location.pop(location_id, None)
        else:
            self.rate_limits.by_location[location_id] = limits

    def replace_store(self, store: Store) -> None:
        """Continue with another state."""
        store.now, store.on_change = self.store.now, self.store.on_change
        self.store = store

    def reset(self, store: Store) -> None:
        """Start again with another state, empty counters, log and script."""
        self.replace_store(store)
        self.faults.clear()
        self.requests.clear()
        self.rate_limits.clear()
        self._counts = _Counts()

    def move_clock(self, loop_time: float) -> tuple[float, datetime]:
        """Stamp changes with this time from now on. Returns what `Clock.read` does."""
        now, self.store.now = self.clock.read(loop_time)
        return now, self.store.now

    def receive(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, loop_time: float
    ) -> Response:
        """Respond to one request. `path` is as it came, percent-encoded."""
        now, date = self.move_clock(loop_time)
        path, _, query = path.partition("?")
        if method == "GET" and path in authorize.PATHS:
            return self._authorize(query, date)
        route, ids = find_route(method, path) or (None, {})
        oauth = _TOKEN_ROUTES.get(path) if method == "POST" else None
        operation = oauth or (route.operation if route else None)
        text = describe_form(read_form(body, headers)) if oauth else body.decode("utf-8", "replace")
        entry = LoggedRequest(operation, method, path, ids.get("event_id"), now, text, query)
        self.requests.add(entry)
        self._counts.requests += 1
        try:
            response = self._serve(entry, route, ids, headers, body)
        except Refusal as refusal:
            response = self._render_refusal(refusal)
        entry.status = None if response.fault.kind in _WITHOUT_STATUS else response.status
        return structs.replace(response, headers={"date": format_datetime(date, usegmt=True), **response.headers})

    def _serve(
        self,
        entry: LoggedRequest,
        route: Route | None,
        ids: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
    ) -> Response:
        if self._strict and _REJECTED_AGENT.match(headers.get("user-agent", "")):
            return Response(403, {"content-type": "text/plain; charset=UTF-8"}, b"error code: 1010")
        if entry.operation in _TOKEN_ROUTES.values():
            return self._serve_token(entry, headers, read_form(body, headers))
        if route is None:
            message = f"Cannot {entry.method} {entry.path}"
            return Response(404, _JSON | _NO_ROUTE, render_error(404, message, self._counts.trace_id))
        grant = self.tokens.check(headers.get("authorization"), route.scope, entry.at, route.user_types)
        entry.location_id = grant.location_id
        version = _check_version(headers, route.version)
        verdict = self.rate_limits.check(entry.location_id, grant.app, entry.at)
        if not verdict.allowed:
            return _reject(verdict, self.rate_limits.get(entry.location_id))
        context = RequestContext(
            store=self.store,
            installs=self.token_endpoint.installs,
            quirks=self.quirks,
            strict=self._strict,
            location_id=entry.location_id,
            version=version,
            ids=ids,
            pairs=parse_qsl(entry.query),
            body=body,
            new_id=self._make_id,
            trace_id=self._counts.trace_id,
        )
        return self._run_handler(entry, route, context, verdict.headers)

    def _make_id(self) -> str:
        """One that is free: a restored state may have used some already."""
        used = {note.id for notes in self.store.notes.values() for note in notes}
        while (made := self._counts.make_id()) in used or self.store.find(made) is not None:
            pass
        return made

    def _run_handler(
        self, entry: LoggedRequest, route: Route, context: RequestContext, headers: dict[str, str]
    ) -> Response:
        fault = _take_fault(self.faults, entry)
        if failed := self._fail(fault, headers):
            return failed
        if fault.kind == "late":
            return Response(0, {}, b"", fault, partial(self._apply_late, entry, route, context))
        try:
            result = route.handler(context)
        except Refusal as refusal:
            refused = self._render_refusal(refusal)
            return Response(refused.status, refused.headers | headers, refused.body, fault)
        entry.applied = result.changed is not None
        entry.event_id = result.changed or entry.event_id
        if fault.kind == "after-apply":
            return self._render_fault(fault, headers)
        return Response(result.status, _JSON | headers, result.body, fault)

    def _apply_late(self, entry: LoggedRequest, route: Route, context: RequestContext, loop_time: float) -> None:
        """Do what a request asked for to which nobody waits for a response any more."""
        self.move_clock(loop_time)
        with suppress(Refusal):
            entry.event_id = route.handler(context).changed or entry.event_id
            entry.applied = True

    def _serve_token(self, entry: LoggedRequest, headers: Mapping[str, str], form: Mapping[str, str]) -> Response:
        """Token requests do not count towards the limits of a location."""
        fault = _take_fault(self.faults, entry)
        if failed := self._fail(fault, {}):
            return failed
        if entry.operation == "oauth_token":
            content = self.token_endpoint.exchange(form, entry.at)
        else:
            agency = self.tokens.check(headers.get("authorization"), OAUTH_WRITE, entry.at, ("Company",))
            _check_version(headers, "v3" if entry.path == _V3_ROUTE else None)
            content = self.token_endpoint.exchange_for_location(form, agency, entry.at)
        if fault.kind == "after-apply":
            return self._render_fault(fault, {})
        shown = rename_for(headers, content) | {"traceId": self._counts.trace_id}
        return Response(200, _JSON, encode(shown), fault)

    def _authorize(self, query: str, date: datetime) -> Response:
        """The authorize page, which another host serves in reality; neither logged nor counted."""
        kept = {"cache-control": "no-store", "referrer-policy": "no-referrer", "x-content-type-options": "nosniff"}
        try:
            address = authorize.authorize(self.token_endpoint, parse_qsl(query, keep_blank_values=True), date)
        except Refusal as refusal:
            return Response(refusal.status, _TEXT | kept, f"{refusal.message}\n".encode())
        return Response(302, {"location": address, **kept}, b"")

    def _fail(self, fault: Fault, headers: dict[str, str]) -> Response | None:
        """The response of a fault that happens before anything is applied."""
        match fault.kind:
            case "html":
                return Response(fault.status, {"content-type": "text/html"}, render_page(fault.status), fault)
            case "reset":
                return Response(0, {}, b"", fault)
            case "status":
                return self._render_fault(fault, headers)
            case _:
                return None

    def _render_fault(self, fault: Fault, headers: dict[str, str]) -> Response:
        retry_after = {"retry-after": fault.retry_after} if fault.retry_after is not None else {}
        message = _STATUS_TEXTS.get(fault.status, f"HTTP {fault.status}")
        body = render_error(fault.status, message, self._counts.trace_id)
        return Response(fault.status, _JSON | headers | retry_after, body, fault)

    def _render_refusal(self, refusal: Refusal) -> Response:
        trace_id = self._counts.trace_id
        match refusal:
            case TokenRefusal():
                body = render_token_error(refusal.error, refusal.message, trace_id)
            case ArgumentRefusal():
                body = render_argument_error(refusal.code, refusal.message, trace_id)
            case _:
                body = render_error(refusal.status, refusal.message, trace_id)
        return Response(refusal.status, _JSON, body)


def _take_fault(faults: FaultScript, entry: LoggedRequest) -> Fault:
    fault = faults.take(entry.operation or "")
    entry.fault = None if fault.kind == "ok" else str(fault)
    return fault


class _Counts:
    """Requests and created objects since the start: trace ids and new ids are the same in every run."""

    def __init__(self) -> None:
        self.requests = self._created = 0

    @property
    def trace_id(self) -> str:
        return str(UUID(int=self.requests))

    def make_id(self) -> str:
        self._created += 1
        return build_id(0, "made", self._created)


def _reject(verdict: Verdict, limits: Limits) -> Response:
    headers = _JSON | verdict.headers | _build_retry_after(limits, verdict.wait_seconds)
    return Response(429, headers, render_error(429, _STATUS_TEXTS[429], ""))


def _build_retry_after(limits: Limits, seconds: float) -> dict[str, str]:
    match limits.retry_after:
        case None:
            return {}
        case "seconds":
            return {"retry-after": f"{seconds:.3f}"}
        case "milliseconds":
            return {"retry-after-ms": str(round(seconds * 1000))}
        case "date":
            until = datetime.now(UTC) + timedelta(seconds=seconds + 1)
            return {"retry-after": format_datetime(until, usegmt=True)}


def _check_version(headers: Mapping[str, str], only: str | None) -> str:
    version = headers.get("version")
    if version is None:
        raise Refusal(401, "version header was not found.")
    if version not in _VERSIONS or only not in (None, version):
        raise Refusal(401, "version header is invalid")
    return version
