"""`SandboxApp`: takes a request, decides on the response, keeps the state. No sockets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final
from urllib.parse import parse_qsl
from uuid import UUID

from msgspec import Struct

from .faults import Fault, FaultScript, Quirks
from .handlers import HANDLERS, RequestContext
from .oauth import TokenEndpoint, TokenRefusal, TokenRegistry, describe_form, read_form, render_tokens
from .rate_limits import Limits, RateLimiter, Verdict
from .request_log import LoggedRequest, RequestLog
from .responses import encode, render_page, render_refusal, render_token_refusal
from .routes import Route, find_route
from .rules import Refusal
from .seed import Seed, build_id
from .store import SEED_DAY

_TOKEN_ROUTES: Final = {
    "/oauth/token": "oauth_token",
    "/oauth/locationToken": "oauth_location_token",
    "/oauth/location-token": "oauth_location_token",
}
_V3_ROUTE: Final = "/oauth/location-token"
_VERSIONS: Final = frozenset({"2021-04-15", "2021-07-28", "2023-02-21", "v3"})
_REFUSED_AGENT: Final = re.compile(r"Python/\S+ aiohttp/\S+")
_JSON: Final = {"content-type": "application/json; charset=utf-8"}
_OK: Final = Fault("ok")
_UNLIMITED: Final = Verdict(allowed=True, headers={}, wait_seconds=0.0)


class Reply(Struct, frozen=True):
    """What to send back, and what shall go wrong on the way."""

    status: int
    headers: dict[str, str]
    body: bytes
    fault: Fault = _OK


class SandboxApp:
    """The server without its sockets."""

    def __init__(
        self,
        clinic: Seed,
        tokens: TokenRegistry,
        token_endpoint: TokenEndpoint,
        *,
        quirks: Quirks,
        limits: Limits,
        strict: bool,
        log_size: int,
    ) -> None:
        self.clinic = clinic
        self.tokens = tokens
        self.token_endpoint = token_endpoint
        self.quirks = quirks
        self.limits = limits
        self.own_limits: dict[str, Limits] = {}
        self.strict = strict
        self.faults = FaultScript()
        self.requests = RequestLog(log_size)
        self._gates: dict[str, RateLimiter] = {}
        self._traces = self._made = 0
        self._ahead = 0.0
        self._began: float | None = None

    def advance(self, seconds: float) -> None:
        """Set the clock of limits, tokens and dates forward."""
        self._ahead += seconds

    def limit(self, location_id: str, limits: Limits | None) -> None:
        """Give a location limits of its own, or none any more. Raises `KeyError` for an unknown location."""
        if location_id not in self.clinic.locations:
            raise KeyError(location_id)
        if limits is None:
            self.own_limits.pop(location_id, None)
        else:
            self.own_limits[location_id] = limits

    def restart(self, clinic: Seed) -> None:
        """Begin anew with another state, empty counters, log and script."""
        self.clinic = clinic
        self.faults.clear()
        self.requests.clear()
        self._gates.clear()
        self._traces = self._made = 0

    def receive(self, method: str, path: str, headers: Mapping[str, str], body: bytes, now: float) -> Reply:
        """Response one request. `path` is as it came, percent-encoded; `now` is the loop's time."""
        self._began = now if self._began is None else self._began
        now += self._ahead
        self.clinic.store.now = _read_calendar(now - self._began)
        path, _, query = path.partition("?")
        route = find_route(method, path)
        oauth = _TOKEN_ROUTES.get(path) if method == "POST" else None
        operation = oauth or (route.operation if route else None)
        event_id = route.ids.get("event_id") if route is not None else None
        text = describe_form(read_form(body, headers)) if oauth else body.decode("utf-8", "replace")
        entry = LoggedRequest(operation, method, path, event_id, now, text, query)
        self.requests.add(entry)
        self._traces += 1
        try:
            reply = self._serve(entry, route, headers, body, now)
        except Refusal as refusal:
            reply = self._refuse(refusal)
        entry.status = None if reply.fault.kind in ("reset", "lose-response", "half-body") else reply.status
        return reply

    def _serve(
        self,
        entry: LoggedRequest,
        route: Route | None,
        headers: Mapping[str, str],
        body: bytes,
        now: float,
    ) -> Reply:
        if self.strict and _REFUSED_AGENT.match(headers.get("user-agent", "")):
            return Reply(403, {"content-type": "text/plain; charset=UTF-8"}, b"error code: 1010")
        if entry.operation in _TOKEN_ROUTES.values():
            return self._serve_token(entry, headers, read_form(body, headers), now)
        if route is None:
            raise Refusal(404, f"Cannot {entry.method} {entry.path}")
        grant = self.tokens.check(headers.get("authorization"), route.scope, now)
        entry.location_id = grant.location_id
        version = _check_version(headers)
        limits = self.own_limits.get(grant.location_id, self.limits)
        verdict = self._gates.setdefault(grant.location_id, RateLimiter(now)).judge(limits, now)
        if not verdict.allowed:
            return _reject(verdict, limits)
        fault = self.faults.take(route.operation)
        return self._fail(fault, verdict) or self._answer(
            entry, self._welcome(entry, route, version, body), fault, verdict
        )

    def _serve_token(
        self, entry: LoggedRequest, headers: Mapping[str, str], form: Mapping[str, str], now: float
    ) -> Reply:
        """Tokens are given out beside the limits of the locations."""
        fault = self.faults.take(entry.operation or "")
        if failed := self._fail(fault, _UNLIMITED):
            return failed
        if entry.operation == "oauth_token":
            content = self.token_endpoint.exchange(form, now)
        else:
            grant = self.tokens.check_agency(headers.get("authorization"), now)
            if _check_version(headers) != "v3" and entry.path == _V3_ROUTE:
                raise Refusal(401, "version header is invalid")
            content = self.token_endpoint.exchange_for_location(form, grant, now)
        if fault.kind == "after-apply":
            return self._spoil(fault, _UNLIMITED)
        shown = render_tokens(content, headers)
        return Reply(200, _JSON, encode(shown | {"traceId": self._trace_id()}), fault)

    def _fail(self, fault: Fault, verdict: Verdict) -> Reply | None:
        """The answer of a fault that comes instead of any work."""
        if fault.kind == "html":
            return Reply(fault.status, {"content-type": "text/html"}, render_page(fault.status), fault)
        if fault.kind == "reset":
            return Reply(0, {}, b"", fault)
        return self._spoil(fault, verdict) if fault.kind == "status" else None

    def _spoil(self, fault: Fault, verdict: Verdict) -> Reply:
        hint = {"retry-after": fault.retry_after} if fault.retry_after is not None else {}
        body = render_refusal(fault.status, _name_status(fault.status), self._trace_id())
        return Reply(fault.status, _JSON | verdict.headers | hint, body, fault)

    def _welcome(self, entry: LoggedRequest, route: Route, version: str, body: bytes) -> RequestContext:
        return RequestContext(
            store=self.clinic.store,
            quirks=self.quirks,
            strict=self.strict,
            location_id=entry.location_id or "",
            version=version,
            ids=route.ids,
            pairs=parse_qsl(entry.query),
            body=body,
            new_id=self._make_id,
            trace_id=self._trace_id(),
        )

    def _answer(self, entry: LoggedRequest, context: RequestContext, fault: Fault, verdict: Verdict) -> Reply:
        try:
            served = HANDLERS[entry.operation or ""](context)
        except Refusal as refusal:
            refused = self._refuse(refusal)
            return Reply(refused.status, refused.headers | verdict.headers, refused.body, fault)
        entry.applied = served.changed is not None
        entry.event_id = served.changed or entry.event_id
        if fault.kind == "after-apply":
            return self._spoil(fault, verdict)
        return Reply(served.status, _JSON | verdict.headers, served.body, fault)

    def _make_id(self) -> str:
        self._made += 1
        return build_id(0, "made", self._made)

    def _refuse(self, refusal: Refusal) -> Reply:
        if isinstance(refusal, TokenRefusal):
            body = render_token_refusal(refusal.error, refusal.message, self._trace_id())
        else:
            body = render_refusal(refusal.status, refusal.message, self._trace_id())
        return Reply(refusal.status, _JSON, body)

    def _trace_id(self) -> str:
        return str(UUID(int=self._traces))


def _read_calendar(seconds: float) -> datetime:
    """The sandbox's own date, so many seconds after it began; to the millisecond, as the server writes it."""
    return SEED_DAY + timedelta(milliseconds=round(seconds * 1000))


def _reject(verdict: Verdict, limits: Limits) -> Reply:
    headers = _JSON | verdict.headers | _build_retry_after(limits, verdict.wait_seconds)
    return Reply(429, headers, render_refusal(429, "Too Many Requests", ""))


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


def _check_version(headers: Mapping[str, str]) -> str:
    version = headers.get("version")
    if version is None:
        raise Refusal(401, "version header was not found.")
    if version not in _VERSIONS:
        raise Refusal(401, "version header is invalid")
    return version


def _name_status(status: int) -> str:
    names = {429: "Too Many Requests", 500: "Internal server error", 502: "Bad Gateway", 503: "Service Unavailable"}
    return names.get(status, f"HTTP {status}")
