"""One call: its turn, its token, its request, its answer, and what follows when one of them fails.

Rule: each attempt takes a slot of its own and gives it back before any back-off; the headers of every answer
reach the limiter, errors included. A call that succeeds at once never touches the retry machinery. Failures
are values here, not exceptions, so that none of them carries the context of an attempt along.

Knows all floors below. Must not know any single operation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from msgspec import Struct
from multidict import CIMultiDict
from tenacity import DoSleep, RetryCallState

from ._announce import Announcer
from ._call import Call, conclude, fail_deadline, read_broken_success, read_unanswered
from ._errors import read_error
from ._quota import read_quota
from ._retry import Failure, build_retrying, is_ambiguous, read_hint
from ._throttle import Lane, Throttle
from ._transport import Reply, Transport, Unanswered, build_timeout, describe_cut
from ._watch import Watch
from ._wire import Request, read_success
from .answer import Answer
from .auth import TokenSource
from .events import Answered, Broken, Paused, Resumed, Retrying, Sent, Waited
from .exceptions import DailyLimitError, DecodeError, LeadConnectorError, TokenExpiredError, TransportError
from .policy import RetryPolicy, Timeouts

T = TypeVar("T")


class Shared(Struct, frozen=True):
    """What a client shares with all its copies."""

    transport: Transport
    throttle: Throttle
    tokens: TokenSource


class Pipeline:
    """The way of every call of one client."""

    __slots__ = (
        "_announcer",
        "_headers",
        "_location_id",
        "_policy",
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
        headers: dict[str, str],
        timeouts: Timeouts,
        policy: RetryPolicy,
        announcer: Announcer,
    ) -> None:
        self._shared = shared
        self._location_id = location_id
        self._static_headers = headers
        self._timeout = build_timeout(timeouts)
        self._watch = Watch(timeouts.connect + timeouts.read)
        self._policy = policy
        self._announcer = announcer
        self._token = ""
        self._headers: CIMultiDict[str] = CIMultiDict()

    async def call(self, request: Request[T]) -> Answer[T]:
        """Send a request until it is answered, or raise what it came to."""
        loop = asyncio.get_running_loop()
        seconds = self._policy.deadline
        call = Call(request=request, deadline=None if seconds is None else loop.time() + seconds)
        if seconds is not None:
            return conclude(call, self._policy, await self._deliver_within(call, loop))
        outcome = await self._attempt(call, loop)
        if isinstance(outcome, Failure):
            outcome = await self._repeat(call, loop, outcome)
        return conclude(call, self._policy, outcome)

    async def _deliver_within(self, call: Call[T], loop: asyncio.AbstractEventLoop) -> Answer[T] | Failure:
        scope = asyncio.timeout_at(call.deadline)
        try:
            async with scope:
                outcome = await self._attempt(call, loop)
                return await self._repeat(call, loop, outcome) if isinstance(outcome, Failure) else outcome
        except TimeoutError:
            if not scope.expired():
                raise
        return fail_deadline(call, self._policy.deadline)

    async def _attempt(self, call: Call[T], loop: asyncio.AbstractEventLoop) -> Answer[T] | Failure:
        session = self._shared.transport.open(loop)
        lane = self._shared.throttle.find_lane(self._location_id, loop)
        if not lane.try_take():
            await self._wait_for_slot(call, lane, loop)
        try:
            headers = await self._build_headers()
        except BaseException:
            lane.free(left=False)
            raise
        call.begin(self._token)
        bound = self._watch.begin(loop)
        sent_at = loop.time()
        if listening := self._announcer.listening:
            self._announcer.tell(Sent(self._location_id, call.name, call.attempts))
        try:
            reply = await self._shared.transport.send(session, call.request, headers, self._timeout, call)
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError) or not bound.claim():
                lane.free(left=call.left)
                raise
            reply = describe_cut(call, f"no whole answer within {self._watch.seconds:g} s")
        finally:
            self._watch.end(bound)
        call.under_way = False
        if listening:
            self._announce_reply(call, reply, loop.time() - sent_at)
        if isinstance(reply, Unanswered):
            lane.free(left=call.left)
            return read_unanswered(call, reply)
        lane.finish(reply.answered_at, reply.headers, success=reply.status < 300)
        return self._read_reply(call, lane, reply, sent_at)

    def _read_reply(self, call: Call[T], lane: Lane, reply: Reply, sent_at: float) -> Answer[T] | Failure:
        if not 200 <= reply.status < 300:
            return self._read_refusal(call, lane, reply, sent_at)
        if reply.fault:
            return read_broken_success(call, reply)
        read = read_success(call.request, reply.status, reply.body)
        if isinstance(read, DecodeError):
            read.args = (call.hide(str(read.args[0])),)
            return Failure(read, "final")
        return Answer(read.value, reply.status, reply.headers, call.attempts, reply.body, read.unread)

    def _read_refusal(self, call: Call[T], lane: Lane, reply: Reply, sent_at: float) -> Failure:
        quota = read_quota(reply.headers)
        daily_spent = quota.daily_remaining == 0
        hint = quota.daily_reset if reply.status == 429 and daily_spent else read_hint(reply.headers)
        error = read_error(reply.status, reply.body, daily_spent=daily_spent, secret=call.token, hint_seconds=hint)
        if reply.status != 429 or isinstance(error, DailyLimitError):
            return Failure(error, "status", hint)
        seconds = hint if hint is not None else lane.slots.interval
        if lane.pause(seconds, sent_at):
            self._announcer.tell(Paused(self._location_id, call.name, call.attempts, seconds))
        return Failure(error, "status", hint, pause_seconds=lane.measure_pause())

    async def _repeat(
        self, call: Call[T], loop: asyncio.AbstractEventLoop, outcome: Answer[T] | Failure
    ) -> Answer[T] | Failure:
        """From the first failure on, tenacity decides."""
        operation = call.request.operation
        retrying = build_retrying(operation, self._policy, call.deadline, loop.time)
        retrying.begin()
        state = RetryCallState(retrying, None, (), {})
        while True:
            if isinstance(outcome, Failure) and isinstance(outcome.error, TokenExpiredError):
                outcome = await _guard(call, self._attempt_with_new_token(call, loop, outcome))
            if not isinstance(outcome, Failure):
                return outcome
            call.doubt = call.doubt or is_ambiguous(outcome, operation)
            state.set_result(outcome)
            decision = retrying.iter(state)
            if not isinstance(decision, DoSleep):
                return outcome
            self._announcer.tell(
                Retrying(self._location_id, call.name, call.attempts, float(decision), str(outcome.error.args[0]))
            )
            state.prepare_for_next_attempt()
            await asyncio.sleep(decision)
            outcome = await _guard(call, self._attempt(call, loop))

    async def _attempt_with_new_token(
        self, call: Call[T], loop: asyncio.AbstractEventLoop, failure: Failure
    ) -> Answer[T] | Failure:
        """`Invalid JWT`: once per call, and only if there is another token to be had."""
        if call.refreshed or self._shared.tokens.fixed is not None:
            return failure
        call.refreshed = True
        if await self._shared.tokens.fetch() == call.token:
            return failure
        return await self._attempt(call, loop)

    async def _wait_for_slot(self, call: Call[T], lane: Lane, loop: asyncio.AbstractEventLoop) -> None:
        began = loop.time()
        await lane.take()
        if (seconds := lane.claim_resumption()) is not None:
            self._announcer.tell(Resumed(self._location_id, call.name, call.attempts, seconds))
        self._announcer.tell(Waited(self._location_id, call.name, call.attempts, loop.time() - began))

    async def _build_headers(self) -> CIMultiDict[str]:
        tokens = self._shared.tokens
        token = tokens.fixed if tokens.fixed is not None else await tokens.fetch()
        if token != self._token:
            self._headers = CIMultiDict({"Authorization": f"Bearer {token}", **self._static_headers})
            self._token = token
        return self._headers

    def _announce_reply(self, call: Call[T], reply: Reply | Unanswered, seconds: float) -> None:
        if isinstance(reply, Reply):
            self._announcer.tell(Answered(self._location_id, call.name, call.attempts, reply.status, seconds))
        fault = reply.reason if isinstance(reply, Unanswered) else reply.fault
        if fault:
            self._announcer.tell(Broken(self._location_id, call.name, call.attempts, call.hide(fault), call.left))


async def _guard(call: Call[T], attempt: Awaitable[Answer[T] | Failure]) -> Answer[T] | Failure:
    """Await an attempt after a failed one: what goes wrong now must not hide that a write may be applied."""
    try:
        return await attempt
    except LeadConnectorError as error:
        return Failure(error, "final")
    except Exception as error:
        if not call.doubt:
            raise
        reason = f"The next attempt could not be made ({type(error).__name__})."
        return Failure(TransportError(reason), "final")
