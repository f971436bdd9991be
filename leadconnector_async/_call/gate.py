"""The gate that every write passes: refused for a client that may only read, or approved by somebody first.

Approval comes before the call begins: no slot of the limiter is held, no deadline runs, and retries do not ask
again. Whoever approves has seen the appointment as it was read right before; afterwards it is read once more, so
that an edit made meanwhile is not overwritten.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TypeVar

import msgspec

from .._api.appointments import build_get_appointment
from .._api.precondition import MOST_READINGS, StaleReadingError, UpdateGuard
from .._api.readback import list_changes
from .._api.request import Request
from .._validation.text import show
from ..access import Access, Approve, PendingWrite, check_may_write
from ..exceptions import InvalidEventError, NotApprovedError, NotFoundError, PreconditionFailedError
from ..models import Appointment
from ..policy import RetryPolicy
from ..response import Response
from .attempt import Attempts
from .creations import Creations
from .emit import EventEmitter
from .pipeline import Pipeline
from .timeouts import is_cancelled

T = TypeVar("T")


class GatedPipeline(Pipeline):
    """Makes the calls of a client whose writes are refused, or must be approved."""

    __slots__ = ("_access", "_approve")

    def __init__(
        self,
        attempts: Attempts,
        creations: Creations,
        *,
        policy: RetryPolicy,
        emitter: EventEmitter,
        access: Access,
        approve: Approve | None,
    ) -> None:
        super().__init__(attempts, creations, policy=policy, emitter=emitter)
        self._access: Access = access
        self._approve = approve

    async def call(self, request: Request[T], deadline: float | None = None) -> Response[T]:
        """Send a read; a write only if it is allowed and approved. Raises `ReadOnlyError`, `NotApprovedError`."""
        if request.operation.writes:
            await self._check(request)
        return await super().call(request, deadline)

    async def create(self, request: Request[T], deadline: float | None = None) -> Response[T]:
        """As `call`. Whoever approves keeps no other creation waiting, and takes nothing of the deadline."""
        clock = asyncio.get_running_loop().time
        began = clock()
        await self._check(request)
        return await super().create(request, None if deadline is None else deadline + clock() - began)

    async def _check(self, request: Request[T]) -> None:
        check_may_write(self._access, request.operation.name)
        if self._approve is not None:
            await self._seek_approval(self._approve, request)

    async def _seek_approval(self, approve: Approve, request: Request[T]) -> None:
        guard: object = request.precondition
        if isinstance(guard, UpdateGuard):
            await self._approve_guarded(approve, request, guard)
        elif request.changed_id and (before := await self._find(request.changed_id)) is not None:
            await self._approve_change(approve, request, before)
        else:
            await self._ask(approve, request, None)

    async def _approve_guarded(self, approve: Approve, request: Request[T], guard: UpdateGuard) -> None:
        """Ask, unless this very change was approved before; planned anew if the appointment is another by then."""
        key, expected = (request.path, request.body), guard.list_expected()
        before = expected[0] if len(expected) == 1 else await self._check_shown(request, guard)
        known = guard.granted.get(key)
        if known is None or list_changes(known, before):
            await self._ask(approve, request, before)
            await self._check_shown(request, guard)
            guard.granted[key] = before

    async def _check_shown(self, request: Request[T], guard: UpdateGuard) -> Appointment:
        read_at = guard.now()
        shown = await self._read(request.changed_id)
        if (changed := guard.check_shown(shown, read_at)) is not None:
            raise StaleReadingError(
                f"{changed.args[0]}. The update was not sent.", operation=request.operation.name
            )
        return shown

    async def _approve_change(self, approve: Approve, request: Request[T], before: Appointment) -> None:
        """Ask again for as long as the appointment changes in the meantime."""
        for remaining in reversed(range(MOST_READINGS)):
            await self._ask(approve, request, before)
            now = await self._read(request.changed_id)
            if not (changes := list_changes(before, now)):
                return
            if not remaining:
                text = f"Changed by somebody else each time it was being approved: {', '.join(map(str, changes))}"
                raise PreconditionFailedError(text, operation=request.operation.name)
            before = now

    async def _find(self, event_id: str) -> Appointment | None:
        """`None` if the server shows none, such as of a block slot."""
        try:
            return await self._read(event_id)
        except (InvalidEventError, NotFoundError):
            return None

    async def _read(self, event_id: str) -> Appointment:
        return (await super().call(build_get_appointment(event_id))).value

    async def _ask(self, approve: Approve, request: Request[T], before: Appointment | None) -> None:
        pending = self._describe(request, before)
        try:
            approved = await _call_async(approve, pending)
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise
            raise _refuse(pending, "something that approve awaited was cancelled") from error
        except Exception as error:
            raise _refuse(pending, f"approve raised {type(error).__name__}") from error
        if approved is not True:
            raise _refuse(pending, f"approve returned {show(approved)}")

    def _describe(self, request: Request[T], before: Appointment | None) -> PendingWrite:
        body = request.body
        return PendingWrite(
            operation=request.operation.name,
            method=request.operation.method,
            path=request.path,
            query=request.query,
            location_id=self._emitter.location_id,
            event_id=request.changed_id or None,
            before=before,
            after=msgspec.json.decode(body) if body and body != b"{}" else None,
        )


def _refuse(pending: PendingWrite, reason: str) -> NotApprovedError:
    text = f"{pending.method} {pending.path} was not approved ({reason}), so it was not sent."
    return NotApprovedError(text, operation=pending.operation)


async def _call_async(approve: Approve, pending: PendingWrite) -> object:
    asked: object = approve(pending)
    if not inspect.isawaitable(asked):
        raise TypeError(f"approve is not an async function: it returned {show(asked)}")
    approved: object = await asked
    return approved
