"""One attempt: its token, its slot, its request, its response.

Each attempt takes a slot and returns it whatever happens, and holds it only while it waits for its response. The
headers of every response reach the limiter, errors included. Failures are values here, not exceptions, so that
none carries the context of an attempt along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from copy import copy
from functools import partial
from typing import Final, TypeVar

from msgspec import Struct
from multidict import CIMultiDict

from .._api.body import is_empty_reading, is_foreign, read_success
from .._api.decode import Read
from .._api.errors import read_error
from .._api.request import Guard
from .._api.statuses import find_traits
from .._limiter.headers import DAILY_REMAINING, parse_count, read_daily_limit
from .._limiter.lane import Lane
from .._limiter.limiter import Limiter
from .._limiter.slots import Ticket
from .._retry.decide import Failure
from .._retry.retry_after import read_retry_after
from .._secret import Secret
from .._system.threads import NoThreadError, run_in_thread
from ..auth import TokenSource
from ..events import (
    Paused,
    RequestFailed,
    RequestSent,
    ResponseReceived,
    Resumed,
    SlotAcquired,
    TokenRefreshed,
    UnexpectedId,
    WaitingForSlot,
    WriteRepeated,
)
from ..exceptions import ApiError, DecodeError, LeadConnectorError, RateLimitedError
from ..policy import Timeouts
from ..response import Response
from .creations import Creations
from .emit import EventEmitter
from .reply import NoResponse, RawResponse, describe_cut, name_fault
from .state import (
    CallState,
    fail_broken_token,
    fail_token,
    fail_without_memory,
    read_broken_success,
    read_foreign_success,
    read_no_response,
    read_unlike_success,
    refuse_wait,
)
from .timeouts import AttemptTimer, TimeLimit, is_cancelled
from .transport import Transport, build_timeout

T = TypeVar("T")

_LONGEST_ID: Final = 200
_LARGE: Final = 256 * 1024
"""Size in bytes from which on a response is decoded in a worker thread, so that the loop is not blocked."""


class Shared(Struct, frozen=True):
    """What a client shares with all its copies."""

    transport: Transport
    limiter: Limiter
    tokens: TokenSource
    timer: AttemptTimer
    creations: Creations


class Attempts:
    """Makes the attempts of all calls of one client."""

    __slots__ = (
        "_bulk",
        "_emitter",
        "_headers",
        "_location_id",
        "_seconds",
        "_shared",
        "_static_headers",
        "_timeout",
        "_token",
    )

    def __init__(
        self,
        shared: Shared,
        *,
        location_id: str | None,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        emitter: EventEmitter,
        bulk: bool,
    ) -> None:
        self._shared = shared
        self._location_id = location_id
        self._static_headers = headers
        self._timeout = build_timeout(timeouts)
        self._seconds = timeouts.total
        self._emitter = emitter
        self._bulk = bulk
        self._token = ""
        self._headers: CIMultiDict[str] = CIMultiDict()

    def find_lane(self, loop: asyncio.AbstractEventLoop) -> Lane:
        """The lane that all attempts wait in."""
        return self._shared.limiter.find_lane(self._location_id, loop)

    async def make(
        self, call: CallState[T], loop: asyncio.AbstractEventLoop, *, refreshed: bool = False
    ) -> Response[T] | Failure:
        """Get a token, wait for a slot, send the request once, and read its response.

        `refreshed`: the call has its token already.
        """
        shared, transport = self._shared, self._shared.transport
        session = (transport.session if transport.open_in is loop else None) or transport.open(loop)
        lane = shared.limiter.lanes.get(self._location_id) or self.find_lane(loop)
        free = None if shared.tokens.fixed is None else lane.try_take(bulk=self._bulk)
        ticket = free or await self._take_slot(call, lane, loop, refreshed=refreshed)
        if isinstance(ticket, Failure):
            return ticket
        call.send_by, call.sent = ticket.send_by, False  # or that of the last attempt would keep this slot taken
        try:
            token = call.token = shared.tokens.fixed or call.token
            headers = self._headers if token == self._token else self._build_headers(token)
            if (guard := call.request.precondition) is not None and (stale := _check(guard, call)) is not None:
                lane.free(ticket, sent=False)
                return Failure(stale, "final")
            now = loop.time() if free is None else free.sent_at
            call.attempts, call.under_way, call.sent_at = call.attempts + 1, True, now
            sent_at = self._emit_sent(call, loop) if call.call_id or self._emitter.meter is not None else None
            bound, call.alone = shared.timer.begin(loop, now + self._seconds), len(shared.timer.bounds) == 1
            try:
                reply = await transport.send(session, call.request, headers, self._timeout, call)
            except asyncio.CancelledError:
                if (reason := _explain_end(bound, self._seconds)) is None:
                    raise
                reply = describe_cut(call, reason)
            finally:
                if bound.expired:
                    bound.claim()
                bound.task = None  # as `end` does
            if sent_at is not None:
                self._emit_response(call, reply, loop.time() - sent_at, timed_out=bound.expired)
        except BaseException:
            lane.free(ticket, sent=call.sent)
            raise
        read = _read_or_fail(self, call, lane, reply, ticket)
        return await self._read_large(call, read) if isinstance(read, RawResponse) else read

    async def refresh_token(self, call: CallState[T], loop: asyncio.AbstractEventLoop) -> bool | Failure:
        """Request another token than the refused one; returns whether there is one."""
        if self._shared.tokens.fixed is not None:
            return False
        rejected = call.token
        unfetched = await self._fetch(call, loop, self._shared.tokens.replace(rejected))
        if unfetched is not None:
            return unfetched
        if call.token == rejected:
            return False
        self._emitter.emit(TokenRefreshed(*self._emitter.mark(call)))
        return True

    def _read_reply(
        self, call: CallState[T], lane: Lane, reply: RawResponse | NoResponse, ticket: Ticket
    ) -> Response[T] | Failure | RawResponse:
        """Return the slot and read the response, unless it must be decoded in a thread."""
        call.under_way = False
        if isinstance(reply, NoResponse):
            lane.free(ticket, sent=call.sent)
            return read_no_response(call, reply)
        body = reply.body
        if not 200 <= reply.status < 300:
            return self._read_refusal(call, lane, reply, ticket)
        foreign = body[:1] != b"{" and (is_foreign(body) or is_empty_reading(call.request, body))
        lane.finish(ticket, reply.answered_at, reply.headers, success=not foreign)
        if reply.fault or foreign:
            return read_broken_success(call, reply) if reply.fault else read_foreign_success(call, reply)
        if not call.request.operation.writes and len(body) > _LARGE:
            return reply
        read = read_success(call.request, reply.status, body)
        if isinstance(read, Read) and getattr(read.value, "id", None) == call.request.asked_id:
            return Response(read.value, reply.status, reply.headers, call.attempts, body, read.unread)
        return self._build_response(call, reply, read)

    async def _read_large(self, call: CallState[T], reply: RawResponse) -> Response[T] | Failure:
        """In a worker thread. Never of a write: a cancellation would lose what became of it."""
        work = partial(read_success, call.request, reply.status, reply.body)
        try:
            reading = run_in_thread(work)
        except NoThreadError:  # the event loop waits for it then
            return self._build_response(call, reply, work())
        read = await reading
        return self._build_response(call, reply, read)

    def _build_response(
        self, call: CallState[T], reply: RawResponse, read: Read[T] | DecodeError | ApiError
    ) -> Response[T] | Failure:
        if not isinstance(read, Read):
            return read_unlike_success(call, read)
        if (asked := call.request.asked_id) and (found := getattr(read.value, "id", asked)) != asked and found:
            shown = call.hide(found)[:_LONGEST_ID]
            self._emitter.emit(UnexpectedId(*self._emitter.mark(call), asked, shown))
        return Response(read.value, reply.status, reply.headers, call.attempts, reply.body, read.unread)

    def _read_refusal(self, call: CallState[T], lane: Lane, reply: RawResponse, ticket: Ticket) -> Failure:
        is_rate_limited = find_traits(reply.status).error_type is RateLimitedError
        daily_spent = is_rate_limited and parse_count(reply.headers.get(DAILY_REMAINING)) == 0
        hint, pause_seconds = read_retry_after(reply.headers), 0.0
        if is_rate_limited and not daily_spent:
            pause_seconds = self._pause(call, lane, reply, ticket, hint)
        else:
            lane.finish(ticket, reply.answered_at, reply.headers, success=False)
        if daily_spent:
            spent = lane.budget.check_day(asyncio.get_running_loop().time(), bulk=False)
            hint = spent.seconds if spent is not None else read_daily_limit(reply.headers)[1]
        error = read_error(
            reply.status, reply.body, daily_spent=daily_spent, secrets=call.secrets, retry_after=hint
        )
        return Failure(error, "status", hint, pause_seconds)

    def _pause(
        self, call: CallState[T], lane: Lane, reply: RawResponse, ticket: Ticket, hint: float | None
    ) -> float:
        """Pause the location; returns for how many seconds from now."""
        seconds = lane.refuse(ticket, reply.answered_at, reply.headers, hint)
        if seconds is not None:
            self._emitter.emit(Paused(*self._emitter.mark(call), seconds))
        return lane.budget.pause.measure(asyncio.get_running_loop().time())

    async def _take_slot(
        self, call: CallState[T], lane: Lane, loop: asyncio.AbstractEventLoop, *, refreshed: bool
    ) -> Ticket | Failure:
        """A token, then a slot: none is held while a token is fetched, which may take forever."""
        tokens, returned = self._shared.tokens, call.returned
        if tokens.fixed is not None:
            return await self._wait_for_slot(call, lane, loop, returned=returned)
        failure = None if refreshed else await self._fetch(call, loop, tokens.fetch())
        while failure is None:
            self._shared.transport.open(loop)  # raises if it was closed in the meantime
            free = lane.try_take(bulk=self._bulk)
            if free is not None:
                return free
            ticket = await self._wait_for_slot(call, lane, loop, returned=returned)
            if isinstance(ticket, Failure):
                return ticket
            if (newest := tokens.find_newest(loop.time())) is not None:
                call.take_token(newest)
                return ticket
            check = tokens.check(loop)
            if await _is_done_at_once(check, lane, ticket):
                call.take_token(check.result())
                return ticket
            returned = True
            failure = await self._fetch(call, loop, tokens.join(check, call.token))
        return failure

    async def _fetch(
        self, call: CallState[T], loop: asyncio.AbstractEventLoop, fetching: Awaitable[str]
    ) -> Failure | None:
        """Wait for a token, for as long as for a response."""
        bound = self._shared.timer.begin(loop, loop.time() + self._seconds)
        try:
            call.take_token(await fetching)
        except asyncio.CancelledError:
            if bound.claim():
                return fail_token(self._seconds)
            if is_cancelled():
                raise
            return fail_broken_token()
        except LeadConnectorError as error:
            error.outcome = "not_applied"  # that of this attempt; the call knows about earlier ones
            raise
        finally:
            bound.end()
        return None

    async def _wait_for_slot(
        self, call: CallState[T], lane: Lane, loop: asyncio.AbstractEventLoop, *, returned: bool = False
    ) -> Ticket | Failure:
        if (guard := call.request.precondition) is not None and (stale := guard.check_age()) is not None:
            return Failure(stale, "final")  # it has to be read again, so the wait would be in vain
        began = loop.time()
        if call.call_id:
            pause = lane.budget.pause.measure(began)
            self._emitter.emit(WaitingForSlot(*self._emitter.mark(call), pause))
        ticket = await lane.take(bulk=self._bulk, deadline=call.deadline, returned=returned)
        if not isinstance(ticket, Ticket):
            return refuse_wait(ticket.reason, ticket.seconds)
        try:
            if (seconds := lane.budget.pause.claim_end(loop.time())) is not None:
                self._emitter.emit(Resumed(*self._emitter.mark(call), seconds))
            self._emitter.emit(SlotAcquired(*self._emitter.mark(call), loop.time() - began))
            self._shared.transport.open(loop)
        except BaseException:
            lane.free(ticket, sent=False)
            raise
        return ticket

    def _build_headers(self, token: str) -> CIMultiDict[str]:
        """Cached for as long as the token is the same."""
        self._headers = CIMultiDict({"Authorization": Secret(f"Bearer {token}"), **self._static_headers})
        self._token = token
        return self._headers

    def _emit_sent(self, call: CallState[T], loop: asyncio.AbstractEventLoop) -> float:
        """Returns when that was."""
        if self._emitter.meter is not None:
            self._emitter.meter.count_sent(call.name)
        if call.call_id:
            mark, request = self._emitter.mark(call), call.request
            if call.risked:
                self._emitter.emit(WriteRepeated(*mark))
            url = self._shared.transport.describe_url(request)
            template = request.operation.path if request.known else None
            self._emitter.emit(RequestSent(*mark, request.operation.method, url, template))
        return loop.time()

    def _emit_response(
        self, call: CallState[T], reply: RawResponse | NoResponse, seconds: float, *, timed_out: bool
    ) -> None:
        fault = reply.reason if isinstance(reply, NoResponse) else reply.fault
        if (meter := self._emitter.meter) is not None:
            if isinstance(reply, RawResponse):
                meter.count_response(call.name, reply.status, seconds)
            if fault:
                meter.count_failure(call.name, sent=call.sent)
        if not call.call_id:
            return
        mark = self._emitter.mark(call)
        if isinstance(reply, RawResponse):
            self._emitter.emit(ResponseReceived(*mark, reply.status, seconds))
        if fault:
            error = "timeout" if timed_out else name_fault(call, reply)
            self._emitter.emit(RequestFailed(*mark, call.hide(fault), call.sent, error))


def _read_or_fail(
    attempts: Attempts, call: CallState[T], lane: Lane, reply: RawResponse | NoResponse, ticket: Ticket
) -> Response[T] | Failure | RawResponse:
    """Of a write, a response for which no memory is left is like one that was lost."""
    try:
        return attempts._read_reply(call, lane, reply, ticket)  # pyright: ignore[reportPrivateUsage] - as below
    except MemoryError:
        if call.sent and call.request.operation.writes:
            return fail_without_memory()
        raise


def with_version(attempts: Attempts, version: str) -> Attempts:
    """A copy that sends another `Version` header."""
    other = copy(attempts)
    headers: Mapping[str, str] = other._static_headers  # pyright: ignore[reportPrivateUsage] - of this module
    other._static_headers = {**headers, "Version": version}  # pyright: ignore[reportPrivateUsage]
    other._token = ""  # pyright: ignore[reportPrivateUsage] - the cached headers are those of the other version
    return other


def _check(guard: Guard[T], call: CallState[T]) -> LeadConnectorError | None:
    """Check what the write relies on; what may expire before the socket write is checked there again."""
    call.send_by = min(call.send_by, guard.send_by)
    return guard.check_age()


def _explain_end(bound: TimeLimit, seconds: float) -> str | None:
    """Why an exchange was cancelled; `None` if the whole call was."""
    if bound.claim():
        return f"no complete response within {seconds:g} s"
    return None if is_cancelled() else "something that it awaited was cancelled"


async def _is_done_at_once(check: asyncio.Task[str], lane: Lane, ticket: Ticket) -> bool:
    """Whether the provider has a cached token; if not, the slot is returned."""
    try:
        await asyncio.sleep(0)
    except BaseException:
        lane.free(ticket, sent=False)
        raise
    if check.done() and not check.cancelled() and check.exception() is None:
        return True
    lane.free(ticket, sent=False)
    return False
