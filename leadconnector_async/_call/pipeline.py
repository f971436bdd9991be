"""One call: its first attempt, and what it comes to.

A call that succeeds at once never touches the retry machinery: see `retries`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container
from copy import copy
from datetime import UTC, datetime
from typing import Self, TypeVar, cast

from .._api.created import Ambiguous, NotFound
from .._api.request import Request
from .._retry.decide import Failure
from ..events import CallSucceeded
from ..exceptions import DeadlineExceededError
from ..policy import RetryPolicy
from ..response import Response, collected
from .attempt import Attempts, with_version
from .creations import Creations, Turn
from .emit import EventEmitter, is_logged
from .retries import Retries
from .search import find_created
from .state import CallState, conclude, describe_end, fail_deadline

T = TypeVar("T")


class Pipeline:
    """Makes the calls of one client."""

    __slots__ = ("_attempts", "_creations", "_emitter", "_versions", "policy")

    def __init__(
        self,
        attempts: Attempts,
        creations: Creations,
        *,
        policy: RetryPolicy,
        emitter: EventEmitter,
    ) -> None:
        self._attempts = attempts
        self._creations = creations
        self.policy = policy
        self._emitter = emitter
        self._versions: dict[str, Self] = {}
        """Those that send another `Version` header."""

    def in_version(self, version: str | None) -> Self:
        """The one that sends another `Version` header, made at its first use; this one for `None`."""
        if version is None:
            return self
        if (other := self._versions.get(version)) is None:
            other = self._versions[version] = copy(self)
            other._attempts = with_version(self._attempts, version)
            other._versions = {}
        return other

    async def call(self, request: Request[T], deadline: float | None = None) -> Response[T]:
        """Send a request until it succeeds, or raise the error that says most.

        `deadline` is a moment of the loop's clock, for a call that has waited already.
        """
        loop = asyncio.get_running_loop()
        seconds = self.policy.deadline if deadline is None else None
        ends = deadline if seconds is None else loop.time() + seconds
        call = CallState(request=request, name=request.operation.name, deadline=ends)
        if self._emitter.hears_calls or is_logged():
            self._emitter.begin(call)
        try:
            if call.deadline is not None:
                outcome = await self._deliver_within(call, loop)
            else:
                outcome = await self._attempts.make(call, loop)
                if isinstance(outcome, Failure):
                    outcome = await self._repeat(call, loop, outcome)
            if isinstance(outcome, Failure):
                conclude(call, self.policy, outcome)
        except BaseException as error:
            outcome = None  # or the error and its traceback would hold each other
            self._emitter.emit(describe_end(call, self._emitter.mark(call), error))
            raise
        if call.call_id and (self._emitter.hears_calls or is_logged()):
            self._emitter.emit(CallSucceeded(*self._emitter.mark(call), outcome.reconciled))
        if (responses := collected.get()) is not None:
            responses.append(cast("Response[object]", outcome))
        return outcome

    async def create(self, request: Request[T], deadline: float | None = None) -> Response[T]:
        """As `call`, for what creates something: after those that could be taken for it, and never beside one."""
        search, deadline = request.search, deadline or find_deadline(self.policy)
        if search is None:
            return await Pipeline.call(self, request, deadline)
        clock = asyncio.get_running_loop().time
        turn = self._creations.enter(search.key)
        try:
            await _take_turn(turn, deadline, request)
            turn.begin(clock())
            try:
                created = await Pipeline.call(self, request, deadline)  # a gate is behind it already
            except BaseException as error:
                if getattr(error, "outcome", "unknown") != "not_applied":
                    turn.record(None, clock() + self.policy.apply_timeout)
                raise
            else:
                turn.record(getattr(created.value, "id", None), clock() + self.policy.apply_timeout)
                return created
            finally:
                turn.lock.release()
        finally:
            self._creations.leave(search.key, turn, clock())

    async def find_created(
        self, request: Request[T], began: datetime, known: Container[str] = ()
    ) -> Response[T] | NotFound | Ambiguous:
        """Look once for what a creation has made that was first sent at this time, maybe by another process.

        `began` is aware, and of this machine's clock; `known` are ids of what it cannot have made. `NotFound` says
        nothing about what the server may still apply: see `RetryPolicy.apply_timeout`. Raises what `call` raises.
        """
        if request.search is None:
            raise AssertionError("only what can be listed can be found")
        ago = (datetime.now(UTC) - began).total_seconds()
        began_at = asyncio.get_running_loop().time() - ago
        found = await find_created(request.search, self.call, began_at, known)
        if not isinstance(found, Failure):
            return found
        raise AssertionError("a call raises its failure")

    async def _deliver_within(self, call: CallState[T], loop: asyncio.AbstractEventLoop) -> Response[T] | Failure:
        scope = asyncio.timeout_at(call.deadline)
        try:
            async with scope:
                outcome = await self._attempts.make(call, loop)
                return await self._repeat(call, loop, outcome) if isinstance(outcome, Failure) else outcome
        except TimeoutError:
            if not scope.expired():
                raise
        return fail_deadline(call, self.policy.deadline)

    async def _repeat(
        self, call: CallState[T], loop: asyncio.AbstractEventLoop, failure: Failure
    ) -> Response[T] | Failure:
        retries = Retries(
            call,
            loop,
            attempts=self._attempts,
            creations=self._creations,
            policy=self.policy,
            emitter=self._emitter,
        )
        return await retries.carry_out(failure)


def find_deadline(policy: RetryPolicy) -> float | None:
    """When a call that begins now must have ended, in the event loop's time."""
    return None if policy.deadline is None else asyncio.get_running_loop().time() + policy.deadline


async def _take_turn(turn: Turn, deadline: float | None, request: Request[T]) -> None:
    try:
        async with asyncio.timeout_at(deadline):
            await turn.lock.acquire()
    except TimeoutError:
        raise DeadlineExceededError(
            "The deadline has passed while a creation that looks the same was in progress; this one was not sent.",
            operation=request.operation.name,
            outcome="not_applied",
        ) from None
