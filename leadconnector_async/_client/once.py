"""`once=`: creations under a key of the caller's, which are made at most once.

The key is leased before the request leaves, and what was created is written down when the response came. In one
process, calls with the same key take turns; with a shared store, the lease keeps the other processes waiting. A key
that its holder left unresolved is taken over: the calendar shows whether that holder created anything.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Final, Generic, TypeVar, cast
from weakref import WeakValueDictionary

from msgspec import Struct, structs

from .._api.created import Ambiguous, NotFound, choose_wait
from .._api.lists import is_repeated
from .._api.request import Request, Search
from .._call.pipeline import Pipeline, find_deadline
from .._sharing.keys import KeyStore, MemoryKeys
from .._sharing.once import RENEW_SECONDS, Busy, Clock, HeldKey, KeyLedger, KeyNames, Known, Reused
from .._sharing.store import PRIVATE_APP
from .._validation.arguments import check_once
from .._validation.text import show
from ..exceptions import (
    DeadlineExceededError,
    InvalidEventError,
    KeyReusedError,
    LeadConnectorError,
    OutcomeUnknownError,
    StoreUnavailableError,
)
from ..response import Response, collected

T = TypeVar("T")

_FIRST_DELAY: Final = 0.01
_LONGEST_DELAY: Final = 0.2
_LOGGER: Final = logging.getLogger("leadconnector_async")


class KeyLostError(LeadConnectorError):
    """The lease of the key ran out before the request was sent. Never raised to users."""


class KeyGuard(Struct):
    """A `Guard`: the request of a key is sent only while its lease lasts."""

    held: HeldKey
    was_asked: bool = False
    """The request may have been sent."""

    @property
    def send_by(self) -> float:
        """The moment from which nothing may be sent, by the clock of `fence`."""
        return self.held.send_by

    def now(self) -> float:
        """Nothing depends on when something was read."""
        return 0.0

    def check_age(self) -> LeadConnectorError | None:
        """The error if the lease has run out."""
        if not self.held.is_held:
            return KeyLostError("The lease of the key ran out.")
        self.was_asked = True
        return None

    def check_shown(self, shown: object, read_at: float) -> LeadConnectorError | None:
        """Nothing was read before."""
        return None


def open_keyed_calls(keys: KeyStore | None, clock: Clock, app: str | None) -> KeyedCalls:
    """Keys in this store; without one, in the memory of this process. Without an `app`, that of private tokens."""
    ledger = KeyLedger(MemoryKeys(), clock, math.inf) if keys is None else KeyLedger(keys, clock)
    return KeyedCalls(ledger, app or PRIVATE_APP)


class KeyedCalls:
    """Makes creations under keys, for all copies of a client. `app` distinguishes the keys of several apps."""

    __slots__ = ("_app", "_ledger", "_tasks", "_turns")

    def __init__(self, ledger: KeyLedger, app: str) -> None:
        self._ledger = ledger
        self._app = app
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks = Tasks()

    async def call(
        self,
        pipeline: Pipeline,
        request: Request[T],
        once: str,
        location_id: str,
        recall: Callable[[str], Request[T]] | None,
    ) -> Response[T]:
        """Create it, or return what was created under this key in the last day.

        `recall` builds the request that reads it by its id; without one, it is looked for where it was created.
        """
        key, search = check_once(once), request.search
        if search is None:
            raise AssertionError("only what can be found again is created under a key")
        scope = (self._app, location_id, request.operation.name)
        content = b"\n".join((request.path.encode(), request.body or b""))
        names = KeyNames.build(scope, key, search.key, content)
        call = _KeyedCall(self._ledger, pipeline, request, names, key, self._tasks)
        async with call.bounded():
            turn = await self._take_turn(names.key)
        try:
            return await call.run(partial(call.look_up, search) if recall is None else partial(call.read, recall))
        finally:
            turn.release()

    async def _take_turn(self, name: str) -> asyncio.Lock:
        """Calls of one process take turns, so that one of them at a time asks the store."""
        turn = self._turns.get(name)
        if turn is None:
            turn = self._turns[name] = asyncio.Lock()
        await turn.acquire()
        return turn


class Tasks:
    """Changes of the store that no call waits for."""

    __slots__ = ("_running",)

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[object, object, None]) -> None:
        """Let it run by itself."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


class Renewal:
    """Renews the lease of a key until it is lost, or stopped. Use it as a context manager."""

    __slots__ = ("_held", "_is_stopped", "_tasks", "_timer")

    def __init__(self, held: HeldKey, tasks: Tasks) -> None:
        self._held = held
        self._tasks = tasks
        self._is_stopped = False
        self._timer: asyncio.Handle | None = None

    def __enter__(self) -> None:
        if self._held.send_by < math.inf:
            self._schedule()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()

    async def _renew(self) -> None:
        await self._held.renew()
        if not (self._is_stopped or self._held.is_lost):
            self._schedule()

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(RENEW_SECONDS, lambda: self._tasks.begin(self._renew()))


class _KeyedCall(Generic[T]):
    """One call under a key."""

    def __init__(
        self,
        ledger: KeyLedger,
        pipeline: Pipeline,
        request: Request[T],
        names: KeyNames,
        key: str,
        tasks: Tasks,
    ) -> None:
        self._ledger = ledger
        self._pipeline = pipeline
        self._request = request
        self._names = names
        self._shown = f"once={show(key)}"
        self._tasks = tasks
        self._deadline = find_deadline(pipeline.policy)

    @asynccontextmanager
    async def bounded(self, what: str = "another call with {} was in progress") -> AsyncGenerator[None]:
        """Raise `DeadlineExceededError` when the deadline of the call passes. Nothing is sent meanwhile."""
        scope = asyncio.timeout_at(self._deadline)
        try:
            async with scope:
                yield
        except TimeoutError:
            if not scope.expired():
                raise
            text = f"The deadline has passed while {what.format(self._shown)}. Nothing was sent."
            name = self._request.operation.name
            raise DeadlineExceededError(text, operation=name, outcome="not_applied") from None

    async def run(self, recall: Callable[[str], Awaitable[Response[T]]]) -> Response[T]:
        """Until it was created, is known to have been created, or fails."""
        was_sent = False
        while True:
            claimed = await self._claim_or_recall(recall, was_sent=was_sent)
            if isinstance(claimed, Response):
                return claimed
            guard = KeyGuard(claimed)
            try:
                with Renewal(claimed, self._tasks):
                    response = await self._find(claimed) or await self._send(guard)
            except KeyLostError as lost:
                was_sent = was_sent or lost.outcome != "not_applied"
                await _try(claimed.release())
            except LeadConnectorError as error:
                await _try(claimed.give_back() if error.outcome == "not_applied" else claimed.release())
                raise
            except BaseException:  # nobody waits for the store once the call is cancelled
                is_unsent = not (claimed.is_taken_over or guard.was_asked)
                self._tasks.begin(_try(claimed.give_back() if is_unsent else claimed.release()))
                raise
            else:
                await self._record(claimed, response)
                return response

    async def _claim_or_recall(
        self, recall: Callable[[str], Awaitable[Response[T]]], *, was_sent: bool
    ) -> HeldKey | Response[T]:
        """The key, or what was created under it. `was_sent`: by this call, which has lost the key."""
        try:
            async with self.bounded():
                claimed = await self._claim()
            return await recall(claimed.result) if isinstance(claimed, Known) else claimed
        except LeadConnectorError as error:
            if was_sent:
                raise self._doubt_own(error) from error
            raise

    async def read(self, build: Callable[[str], Request[T]], created: str) -> Response[T]:
        """What was created, as it is now."""
        return await self._pipeline.call(build(created), self._deadline)

    async def look_up(self, search: Search[T], created: str) -> Response[T]:
        """The same for what can only be listed."""
        seen, offset = set[str](), cast("int | None", 0)
        while offset is not None:
            page = await self._pipeline.call(search.build_page(offset), self._deadline)
            for one in page.value.candidates:
                if one.id == created:
                    found = Response(one.value, page.status, page.headers, page.attempts, page.body)
                    return self._show(found)
            offset = None if is_repeated([one.id for one in page.value.candidates], seen) else page.value.following
        text = f"{self._shown} created {created}, which is no longer listed: it was deleted or moved."
        raise InvalidEventError(text, operation=self._request.operation.name, outcome="applied")

    async def _claim(self) -> HeldKey | Known:
        """Wait until the key is free, or its result is known."""
        name, delay = self._request.operation.name, _FIRST_DELAY
        while True:
            try:
                claimed = await self._ledger.claim(self._names)
            except StoreUnavailableError as error:
                raise StoreUnavailableError(
                    f"{error.args[0]}. Nothing was sent, because only the store knows whether {self._shown} was "
                    "used; try again later with the same key.",
                    operation=name,
                ) from None
            if isinstance(claimed, Reused):
                text = f"{self._shown} was used for another request within the last day; use another key."
                raise KeyReusedError(f"{text} Nothing was sent.", field="once")
            if not isinstance(claimed, Busy):
                return claimed
            await asyncio.sleep(delay * random.uniform(0.7, 1.0))  # noqa: S311 - it only spreads the processes
            delay = min(delay * 1.5, _LONGEST_DELAY)

    async def _send(self, guard: KeyGuard) -> Response[T]:
        """Send the request. A key whose lease ran out before that is kept if nobody else has taken it."""
        request = structs.replace(self._request, precondition=guard)
        while True:
            try:
                response = await self._pipeline.create(request, self._deadline)
            except KeyLostError as lost:
                if lost.outcome != "not_applied" or not await guard.held.renew():
                    raise
            else:
                if response.reconciled and await self._may_be_of_another(response):
                    raise KeyLostError("What was found may have been created under another key.", outcome="unknown")
                return response

    async def _may_be_of_another(self, response: Response[T]) -> bool:
        try:
            rivals = await self._ledger.list_rivals(self._names)
        except LeadConnectorError as error:
            error.outcome = "unknown"  # it was sent, so the key must not be given back
            raise
        return rivals.is_open or get_id(response) in rivals.results

    async def _find(self, held: HeldKey) -> Response[T] | None:
        """Look for what the holder before has created; `None` if that was nothing, and cannot be any more.

        Raises `KeyLostError` if somebody else has taken the key, or its first holder has recorded the result.
        """
        if not held.is_taken_over:
            return None
        try:
            async with self.bounded("it was unknown what an earlier call with {} had created"):
                return await self._search(held)
        except LeadConnectorError as error:
            error.outcome = "unknown"  # what was sent before may have been applied
            raise

    async def _search(self, held: HeldKey) -> Response[T] | None:
        known: set[str] = set()
        while held.is_held or await held.renew():
            began = datetime.now(UTC) - timedelta(seconds=held.measure_age())
            verdict = await self._pipeline.find_created(self._request, began, known)
            if isinstance(verdict, NotFound):
                wait = choose_wait(held.measure_idle(), self._pipeline.policy.apply_timeout)
                if wait is None:
                    return None
                await asyncio.sleep(min(wait, _LONGEST_DELAY))
                continue
            rivals = await self._ledger.list_rivals(self._names)
            if isinstance(verdict, Response) and not rivals.is_open and get_id(verdict) not in rivals.results:
                return self._show(verdict)
            if rivals.results <= known and not rivals.is_busy:
                raise self._doubt(verdict)
            if rivals.results <= known:
                await asyncio.sleep(_LONGEST_DELAY)
            known |= rivals.results
        raise KeyLostError("Another call has taken the key.")

    def _show(self, found: Response[T]) -> Response[T]:
        """Let `with_response` find it."""
        if (responses := collected.get()) is not None:
            responses.append(cast("Response[object]", found))
        return found

    def _doubt_own(self, cause: LeadConnectorError) -> OutcomeUnknownError:
        """Of a call that has sent its request and lost its key, before it could take it again."""
        request = self._request
        error = OutcomeUnknownError(
            f"It is unknown what this call with {self._shown} created: the request was sent, and "
            f"{type(cause).__name__} came before its key could be taken again; call again with the same key.",
            operation=request.operation.name,
        )
        error.sent, error.sent_body = f"{request.operation.method} {request.path}", request.body
        return error

    def _doubt(self, verdict: Response[T] | Ambiguous) -> OutcomeUnknownError:
        request = self._request
        error = OutcomeUnknownError(
            f"It is unknown what an earlier call with {self._shown} created: it ended without a result, and the "
            "calendar shows what it or somebody else may have created. Read the candidates before you book again.",
            operation=request.operation.name,
        )
        error.candidates = verdict.ids if isinstance(verdict, Ambiguous) else (get_id(verdict),)
        error.sent, error.sent_body = f"{request.operation.method} {request.path}", request.body
        return error

    async def _record(self, held: HeldKey, response: Response[T]) -> None:
        """Write down what was created. If that fails, the calendar will show it."""
        created = get_id(response)
        try:
            if not created:
                await held.release()
            elif not await held.record(created):
                _LOGGER.warning("%s created %s, although it had created another one before", self._shown, created)
        except Exception as error:  # whatever it is, the caller must learn what was created
            _LOGGER.warning("%s created %s, which could not be recorded: %s", self._shown, created, error)


def get_id(response: Response[T]) -> str:
    """The id of what was created; empty if the response does not show it."""
    return getattr(response.value, "id", None) or ""


async def _try(work: Awaitable[object]) -> None:
    """Change the store if it can be reached: without that, the lease expires."""
    try:
        await work
    except LeadConnectorError as error:
        _LOGGER.debug("a key was not released: %s", error)
