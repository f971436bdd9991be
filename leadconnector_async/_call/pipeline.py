"""One call: its attempts, and what follows when one of them fails.

A call that succeeds at once never touches the retry machinery. From the first failure on, `steps` decides what
follows and tenacity how long to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Container
from copy import copy
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar, cast

from msgspec import structs

from .._api.created import Ambiguous, NotFound
from .._api.errors import TokenRefusal, classify_token_refusal
from .._api.request import Request
from .._retry.backoff import Backoff
from .._retry.decide import Failure
from ..events import CallSucceeded, Reconciled, Retrying
from ..exceptions import DeadlineExceededError, LeadConnectorError, TransportError
from ..policy import RetryPolicy
from ..response import Response, collected
from .attempt import Attempts, with_version
from .creations import Creations, Turn
from .emit import EventEmitter, is_logged
from .search import fail_reading, find_created, search_calendar
from .state import BUDGET_SPENT, LATE, CallState, Recovery, conclude, describe_end, fail_deadline
from .steps import (
    Charge,
    Charged,
    Event,
    Fail,
    Failed,
    NotApplied,
    ReadBack,
    RetryState,
    Send,
    Unread,
    Wait,
    Waited,
    choose_recovery,
    next_step,
)

R = TypeVar("R")
T = TypeVar("T")


class Pipeline:
    """Makes the calls of one client."""

    __slots__ = ("_attempts", "_creations", "_emitter", "policy", "versions")

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
        self.versions: dict[str, Pipeline] = {}
        """Those that send another `Version` header, made by `find_pipeline`."""

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
        self, call: CallState[T], loop: asyncio.AbstractEventLoop, outcome: Response[T] | Failure
    ) -> Response[T] | Failure:
        """Carry out what follows a failed attempt, until there is a response or nothing more follows."""
        back_off = Backoff(call.request, self.policy, call.deadline, loop.time)
        outcome = await self._recover(call, loop, back_off, outcome)
        if isinstance(outcome, Response):
            return outcome
        state = RetryState(call, self.policy, outcome)
        action = next_step(state, Failed(outcome))
        while not isinstance(action, Fail):
            event = await self._perform(call, loop, back_off, action)
            if isinstance(event, Response):
                return event
            action = next_step(state, event)
        return action.failure

    async def _perform(
        self,
        call: CallState[T],
        loop: asyncio.AbstractEventLoop,
        back_off: Backoff,
        action: Wait | ReadBack | Charge | Send,
    ) -> Event | Response[T]:
        """Carry out an action; returns what came of it, or the response that ends the call."""
        if isinstance(action, Wait):
            return Waited(await self._wait(call, back_off, action.failure))
        if isinstance(action, ReadBack):
            return await self._reconcile(call, loop, back_off)
        if isinstance(action, Charge):
            return Charged(self._attempts.find_lane(loop).retry_budget.spend(loop.time()))
        outcome = await _guard(call, self._attempts.make(call, loop))
        outcome = await self._recover(call, loop, back_off, outcome)
        return outcome if isinstance(outcome, Response) else Failed(outcome)

    async def _wait(self, call: CallState[T], back_off: Backoff, failure: Failure) -> bool:
        """Wait out the back-off; `False` if nothing shall follow."""
        seconds = back_off.decide(failure)
        if seconds is None:
            return False
        await self._sleep(call, seconds, failure)
        return True

    async def _sleep(self, call: CallState[T], seconds: float, failure: Failure) -> None:
        reason = str(failure.error.args[0])
        self._emitter.emit(Retrying(*self._emitter.mark(call), seconds, reason))
        await asyncio.sleep(seconds)

    async def _recover(
        self, call: CallState[T], loop: asyncio.AbstractEventLoop, back_off: Backoff, outcome: Response[T] | Failure
    ) -> Response[T] | Failure:
        """After a refusal of the token: what `choose_recovery` says, until it is believed."""
        outcome = await self._send_late(call, loop, outcome)
        while isinstance(outcome, Failure) and (refusal := _classify(outcome)) is not None:
            recovery = call.recovery = call.recovery or Recovery()
            step = choose_recovery(recovery, refusal)
            if step == "refresh":
                if not await self._refresh(call, loop, recovery):
                    continue
            elif step == "believe" or not await self._wait_for_stray(call, recovery, back_off, outcome):
                return outcome if recovery.failure is None else Failure(recovery.failure, "final")
            outcome = await _guard(call, self._attempts.make(call, loop, refreshed=step == "refresh"))
            outcome = await self._send_late(call, loop, outcome)
        return outcome

    async def _send_late(
        self, call: CallState[T], loop: asyncio.AbstractEventLoop, outcome: Response[T] | Failure
    ) -> Response[T] | Failure:
        """Make the attempt again for as long as its lease expires before it is sent."""
        while outcome is LATE:
            outcome = await _guard(call, self._attempts.make(call, loop, refreshed=True))
        return outcome

    async def _refresh(self, call: CallState[T], loop: asyncio.AbstractEventLoop, recovery: Recovery) -> bool:
        """Ask for another token; `False` if there is none, and `recovery` knows why."""
        recovery.requested = True
        refreshed = await _guard(call, self._attempts.refresh_token(call, loop))
        if isinstance(refreshed, Failure):
            recovery.failure = refreshed.error
            return False
        recovery.refreshed = refreshed
        return refreshed

    async def _wait_for_stray(
        self, call: CallState[T], recovery: Recovery, back_off: Backoff, failure: Failure
    ) -> bool:
        """Wait before the request is retried; `False` if the deadline comes first."""
        seconds = back_off.decide_stray()
        if seconds is None:
            return False
        recovery.retried = True
        await self._sleep(call, seconds, failure)
        return True

    async def _reconcile(
        self, call: CallState[T], loop: asyncio.AbstractEventLoop, back_off: Backoff
    ) -> Response[T] | Unread | NotApplied:
        """Read what a write may have done: its response if it was applied."""
        if not self._attempts.find_lane(loop).retry_budget.spend(loop.time()):
            return fail_reading(call, BUDGET_SPENT)
        if (search := call.request.search) is not None:
            read, turn = partial(self._read_back, call, loop, back_off), self._creations.find(search.key)
            searched = await search_calendar(call, search, read, turn, self.policy.apply_timeout)
            if not isinstance(searched, Unread):
                made = isinstance(searched, Response)
                self._emitter.emit(Reconciled(*self._emitter.mark(call), made))
            return searched
        build_proof = call.request.build_proof
        if build_proof is None:
            raise AssertionError("only what can be read back is read back")
        proof, precondition = build_proof(), call.request.precondition
        read_at = 0.0 if precondition is None else precondition.now()
        found = await self._read_back(call, loop, back_off, proof.request)
        if isinstance(found, Failure):
            call.unread = f"Reading it back failed: {found.error.args[0]}"
            return Unread(found)
        applied = proof.compare(found.value, found.unread)
        if applied is None:
            return fail_reading(call, "It was read back, but that does not show whether it was applied.")
        self._emitter.emit(Reconciled(*self._emitter.mark(call), applied))
        call.resolve(applied=applied)
        if applied:
            return structs.replace(found, attempts=call.attempts, reconciled=True)
        changed = None if precondition is None else precondition.check_shown(found.value, read_at)
        return NotApplied(None if changed is None else Failure(changed, "final"))

    async def _read_back(
        self, call: CallState[T], loop: asyncio.AbstractEventLoop, back_off: Backoff, request: Request[R]
    ) -> Response[R] | Failure:
        reading = CallState(
            request=request,
            name=request.operation.name,
            deadline=call.deadline,
            attempts=call.attempts,
            call_id=call.call_id,
            doubt=True,
            recovery=call.recovery,
            token=call.token,
            spent=call.spent,
        )
        try:
            found = await _guard(reading, self._attempts.make(reading, loop))
            return await self._recover(reading, loop, back_off, found)
        finally:
            call.attempts, call.recovery = reading.attempts, reading.recovery
            call.token, call.spent = reading.token, reading.spent


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


def find_pipeline(pipeline: Pipeline, version: str | None) -> Pipeline:
    """The pipeline that sends another `Version` header, made at its first use; the given one for `None`."""
    if version is None:
        return pipeline
    if (other := pipeline.versions.get(version)) is None:
        other = pipeline.versions[version] = copy(pipeline)
        attempts = pipeline._attempts  # pyright: ignore[reportPrivateUsage] - of this module
        other._attempts = with_version(attempts, version)  # pyright: ignore[reportPrivateUsage]
        other.versions = {}
    return other


def _classify(failure: Failure) -> TokenRefusal | None:
    """What a refusal of the token means; failing to obtain a token is not one, whatever the status code."""
    return classify_token_refusal(failure.error) if failure.phase == "status" else None


async def _guard(call: CallState[T], attempt: Awaitable[R | Failure]) -> R | Failure:
    """Await an attempt after a failed one: an error now must not hide that a write may have been applied."""
    try:
        return await attempt
    except LeadConnectorError as error:
        return Failure(error, "final")
    except Exception as error:
        if not call.doubt:
            raise
        reason = f"The next attempt could not be made ({type(error).__name__})."
        return Failure(TransportError(reason), "final")
