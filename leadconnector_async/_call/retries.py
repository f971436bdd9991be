"""What follows a failed attempt, carried out: waits, token refreshes, reading back, more attempts.

`steps` decides what follows, and tenacity how long to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Generic, TypeVar

from msgspec import structs

from .._api.errors import TokenRefusal, classify_token_refusal
from .._api.request import Request, Search
from .._retry.backoff import Backoff
from .._retry.decide import Failure
from ..events import Reconciled, Retrying
from ..exceptions import LeadConnectorError, TransportError
from ..policy import RetryPolicy
from ..response import Response
from .attempt import Attempts
from .creations import Creations
from .emit import EventEmitter
from .search import search_calendar
from .state import BUDGET_SPENT, LATE, CallState, Recovery
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
    fail_reading,
    next_step,
)

R = TypeVar("R")
T = TypeVar("T")


class Retries(Generic[T]):
    """Carries out what follows the first failed attempt of one call."""

    __slots__ = ("_attempts", "_back_off", "_call", "_creations", "_emitter", "_loop", "_policy")

    def __init__(
        self,
        call: CallState[T],
        loop: asyncio.AbstractEventLoop,
        *,
        attempts: Attempts,
        creations: Creations,
        policy: RetryPolicy,
        emitter: EventEmitter,
    ) -> None:
        self._attempts = attempts
        self._creations = creations
        self._emitter = emitter
        self._policy = policy
        self._call = call
        self._loop = loop
        self._back_off = Backoff(call.request, policy, call.deadline, loop.time)

    async def carry_out(self, failure: Failure) -> Response[T] | Failure:
        """Whatever follows the failure of the first attempt, until there is a response or nothing more follows."""
        call = self._call
        outcome = await self._recover(call, failure)
        if isinstance(outcome, Response):
            return outcome
        state = RetryState(call, self._policy, outcome)
        action = next_step(state, Failed(outcome))
        while not isinstance(action, Fail):
            event = await self._perform(action)
            if isinstance(event, Response):
                return event
            action = next_step(state, event)
        return action.failure

    async def _perform(self, action: Wait | ReadBack | Charge | Send) -> Event | Response[T]:
        """Carry out an action; returns what came of it, or the response that ends the call."""
        if isinstance(action, Wait):
            return Waited(await self._wait(action.failure))
        if isinstance(action, ReadBack):
            return await self._reconcile()
        if isinstance(action, Charge):
            return Charged(self._spend())
        outcome = await self._attempt(self._call)
        return outcome if isinstance(outcome, Response) else Failed(outcome)

    def _spend(self) -> bool:
        """Pay for a retry out of the location's retry budget."""
        return self._attempts.find_lane(self._loop).retry_budget.spend(self._loop.time())

    async def _wait(self, failure: Failure) -> bool:
        """Wait out the back-off; `False` if nothing shall follow."""
        seconds = self._back_off.decide(failure)
        if seconds is None:
            return False
        await self._sleep(self._call, seconds, failure)
        return True

    async def _sleep(self, call: CallState[R], seconds: float, failure: Failure) -> None:
        reason = str(failure.error.args[0])
        self._emitter.emit(Retrying(*self._emitter.mark(call), seconds, reason))
        await asyncio.sleep(seconds)

    async def _attempt(self, call: CallState[R]) -> Response[R] | Failure:
        return await self._recover(call, await _guard(call, self._attempts.make(call, self._loop)))

    async def _recover(self, call: CallState[R], outcome: Response[R] | Failure) -> Response[R] | Failure:
        """After a refusal of the token: what `choose_recovery` says, until it is believed."""
        outcome = await self._send_late(call, outcome)
        while isinstance(outcome, Failure) and (refusal := _classify(outcome)) is not None:
            recovery = call.recovery = call.recovery or Recovery()
            step = choose_recovery(recovery, refusal)
            if step == "refresh":
                if not await self._refresh(call, recovery):
                    continue
            elif step == "believe" or not await self._wait_for_stray(call, recovery, outcome):
                return outcome if recovery.failure is None else Failure(recovery.failure, "final")
            outcome = await _guard(call, self._attempts.make(call, self._loop, refreshed=step == "refresh"))
            outcome = await self._send_late(call, outcome)
        return outcome

    async def _send_late(self, call: CallState[R], outcome: Response[R] | Failure) -> Response[R] | Failure:
        """Make the attempt again for as long as its lease expires before it is sent."""
        while outcome is LATE:
            outcome = await _guard(call, self._attempts.make(call, self._loop, refreshed=True))
        return outcome

    async def _refresh(self, call: CallState[R], recovery: Recovery) -> bool:
        """Ask for another token; `False` if there is none, and `recovery` knows why."""
        recovery.requested = True
        refreshed = await _guard(call, self._attempts.refresh_token(call, self._loop))
        if isinstance(refreshed, Failure):
            recovery.failure = refreshed.error
            return False
        recovery.refreshed = refreshed
        return refreshed

    async def _wait_for_stray(self, call: CallState[R], recovery: Recovery, failure: Failure) -> bool:
        """Wait before the request is retried; `False` if the deadline comes first."""
        seconds = self._back_off.decide_stray()
        if seconds is None:
            return False
        recovery.retried = True
        await self._sleep(call, seconds, failure)
        return True

    async def _reconcile(self) -> Response[T] | Unread | NotApplied:
        """Read what a write may have done: its response if it was applied."""
        call = self._call
        if not self._spend():
            return fail_reading(call, BUDGET_SPENT)
        if call.request.search is not None:
            return await self._search(call.request.search)
        build_proof = call.request.build_proof
        if build_proof is None:
            raise AssertionError("only what can be read back is read back")
        proof, precondition = build_proof(), call.request.precondition
        read_at = 0.0 if precondition is None else precondition.now()
        found = await self._read_back(proof.request)
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

    async def _search(self, search: Search[T]) -> Response[T] | Unread | NotApplied:
        """As `_reconcile`, for what a creation has made."""
        call, turn = self._call, self._creations.find(search.key)
        found = await search_calendar(call, search, self._read_back, turn, self._policy.apply_timeout)
        if not isinstance(found, Unread):
            made = isinstance(found, Response)
            self._emitter.emit(Reconciled(*self._emitter.mark(call), made))
        return found

    async def _read_back(self, request: Request[R]) -> Response[R] | Failure:
        call = self._call
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
            return await self._attempt(reading)
        finally:
            call.attempts, call.recovery = reading.attempts, reading.recovery
            call.token, call.spent = reading.token, reading.spent


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
