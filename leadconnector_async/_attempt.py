"""One attempt: its turn, its token, its request, its answer.

Rule: each attempt takes a slot of its own and gives it back whatever happens; the headers of every answer
reach the limiter, errors included. Failures are values here, not exceptions, so that none of them carries the
context of an attempt along.

Knows the throttle, the transport and the tokens. Must not know any single operation, nor what follows a failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TypeVar

from msgspec import Struct
from multidict import CIMultiDict

from ._announce import Announcer
from ._call import Call, read_broken_success, read_unanswered, refuse_wait
from ._errors import read_error
from ._quota import read_quota
from ._retry import Failure, read_hint
from ._slots import Ticket
from ._throttle import Lane, Throttle
from ._transport import Reply, Transport, Unanswered, build_timeout, describe_cut
from ._watch import Watch
from ._wire import read_success
from .answer import Answer
from .auth import TokenSource
from .events import Answered, Broken, Paused, Resumed, Sent, TokenRefreshed, Waited
from .exceptions import DecodeError
from .policy import Timeouts

T = TypeVar("T")


class Shared(Struct, frozen=True):
    """What a client shares with all its copies."""

    transport: Transport
    throttle: Throttle
    tokens: TokenSource


class Attempts:
    """Makes the attempts of all calls of one client."""

    __slots__ = (
        "_announcer",
        "_bulk",
        "_headers",
        "_location_id",
        "_shared",
        "_static_headers",
        "_timeout",
        "_token",
        "_watch",
    )

    def __init__(
        self,
        shared: Shared,
        *,
        location_id: str | None,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        announcer: Announcer,
        bulk: bool,
    ) -> None:
        self._shared = shared
        self._location_id = location_id
        self._static_headers = headers
        self._timeout = build_timeout(timeouts)
        self._watch = Watch(timeouts.read)
        self._announcer = announcer
        self._bulk = bulk
        self._token = ""
        self._headers: CIMultiDict[str] = CIMultiDict()

    def find_lane(self, loop: asyncio.AbstractEventLoop) -> Lane:
        """The lane that all attempts wait in."""
        return self._shared.throttle.find_lane(self._location_id, loop)

    async def make(self, call: Call[T], loop: asyncio.AbstractEventLoop) -> Answer[T] | Failure:
        """Wait for a slot, send the request once, and read what comes back."""
        self._shared.transport.open(loop)
        lane = self.find_lane(loop)
        ticket = lane.try_take(bulk=self._bulk) or await self._wait_for_slot(call, lane, loop)
        if isinstance(ticket, Failure):
            return ticket
        call.left = False  # what the last attempt left there would keep this slot taken
        try:
            session = self._shared.transport.open(loop)
            headers = await self._build_headers()
            precondition = call.request.precondition
            if precondition is not None and (stale := precondition.check_age()) is not None:
                lane.free(ticket, left=False)
                return Failure(stale, "final")
            call.begin(self._token)
            sent_at = loop.time()
            bound = self._watch.begin(loop)
            try:
                self._announce_request(call)
                reply = await self._shared.transport.send(session, call.request, headers, self._timeout, call)
            except asyncio.CancelledError:
                if not bound.claim():
                    raise
                reply = describe_cut(call, f"no whole answer within {self._watch.seconds:g} s")
            finally:
                self._watch.end(bound)
            call.under_way = False
            self._announce_reply(call, reply, loop.time() - sent_at)
        except BaseException:
            lane.free(ticket, left=call.left)
            raise
        if isinstance(reply, Unanswered):
            lane.free(ticket, left=call.left)
            return read_unanswered(call, reply)
        return self._read_reply(call, lane, reply, ticket)

    async def make_with_new_token(
        self, call: Call[T], loop: asyncio.AbstractEventLoop, failure: Failure
    ) -> Answer[T] | Failure:
        """`Invalid JWT`: once per call, and only if there is another token to be had."""
        if call.refreshed or self._shared.tokens.fixed is not None:
            return failure
        call.refreshed = True
        if await self._shared.tokens.replace(call.token) == call.token:
            return failure
        self._announcer.tell(TokenRefreshed(self._location_id, call.name, call.attempts))
        return await self.make(call, loop)

    def _read_reply(self, call: Call[T], lane: Lane, reply: Reply, ticket: Ticket) -> Answer[T] | Failure:
        if not 200 <= reply.status < 300:
            return self._read_refusal(call, lane, reply, ticket)
        lane.finish(ticket, reply.answered_at, reply.headers)
        if reply.fault:
            return read_broken_success(call, reply)
        read = read_success(call.request, reply.status, reply.body)
        if isinstance(read, DecodeError):
            read.args = (call.hide(str(read.args[0])),)
            return Failure(read, "final")
        return Answer(read.value, reply.status, reply.headers, call.attempts, reply.body, read.unread)

    def _read_refusal(self, call: Call[T], lane: Lane, reply: Reply, ticket: Ticket) -> Failure:
        quota = read_quota(reply.headers)
        daily_spent = quota.daily_remaining == 0
        hint = quota.daily_reset if reply.status == 429 and daily_spent else read_hint(reply.headers)
        pause_seconds = 0.0
        if reply.status == 429 and not daily_spent:
            pause_seconds = self._pause(call, lane, reply, ticket, hint)
        else:
            lane.finish(ticket, reply.answered_at, reply.headers, success=False)
        error = read_error(reply.status, reply.body, daily_spent=daily_spent, secret=call.token, hint_seconds=hint)
        return Failure(error, "status", hint, pause_seconds)

    def _pause(self, call: Call[T], lane: Lane, reply: Reply, ticket: Ticket, hint: float | None) -> float:
        """Pause the location; returns how long that still takes."""
        seconds = lane.refuse(ticket, reply.answered_at, reply.headers, hint)
        if seconds is not None:
            self._announcer.tell(Paused(self._location_id, call.name, call.attempts, seconds))
        return lane.measure_pause()

    async def _wait_for_slot(self, call: Call[T], lane: Lane, loop: asyncio.AbstractEventLoop) -> Ticket | Failure:
        began = loop.time()
        ticket = await lane.take(bulk=self._bulk, deadline=call.deadline)
        if not isinstance(ticket, Ticket):
            return refuse_wait(ticket.reason, ticket.seconds)
        try:
            if (seconds := lane.claim_resumption()) is not None:
                self._announcer.tell(Resumed(self._location_id, call.name, call.attempts, seconds))
            self._announcer.tell(Waited(self._location_id, call.name, call.attempts, loop.time() - began))
        except BaseException:
            lane.free(ticket, left=False)
            raise
        return ticket

    async def _build_headers(self) -> CIMultiDict[str]:
        tokens = self._shared.tokens
        token = tokens.fixed if tokens.fixed is not None else await tokens.fetch()
        if token != self._token:
            self._headers = CIMultiDict({"Authorization": f"Bearer {token}", **self._static_headers})
            self._token = token
        return self._headers

    def _announce_request(self, call: Call[T]) -> None:
        if self._announcer.listening:
            self._announcer.tell(Sent(self._location_id, call.name, call.attempts))

    def _announce_reply(self, call: Call[T], reply: Reply | Unanswered, seconds: float) -> None:
        if not self._announcer.listening:
            return
        if isinstance(reply, Reply):
            self._announcer.tell(Answered(self._location_id, call.name, call.attempts, reply.status, seconds))
        fault = reply.reason if isinstance(reply, Unanswered) else reply.fault
        if fault:
            self._announcer.tell(Broken(self._location_id, call.name, call.attempts, call.hide(fault), call.left))
