"""The test kit: what the fixtures of the pytest plugin `pytest_leadconnector` return and how they are made."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Executor
from difflib import get_close_matches
from typing import Final, Protocol, TypeVar, TypeVarTuple, cast

from ._validation.settings import is_finite
from ._validation.text import show
from .client import LeadConnector
from .exceptions import InvalidRequestError
from .sandbox import Sandbox

__all__ = ["Clock"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_QUIET: Final = 0.01
"""Real seconds without any event after which nothing is taken to be in flight on the loopback network."""
_SELECTOR: Final = "_selector"
"""Where asyncio's own loops keep what they wait with."""


class Clock:
    """Lets waits pass at once, in the current event loop: those of the client, of the sandbox, and the test's own.

        await clock.run(send_reminders(client))  # pauses on the way take no time
        await clock.advance(3600)  # an hour later, also for the sandbox

    Time moves by itself as well. It jumps only inside of `run` and `advance`, to the next timer of the loop,
    whenever nothing else happens and no thread of the loop's executors is working. What waits for another process
    meanwhile, such as a database, may run into its timeouts: run that outside of both.

    Raises `RuntimeError` on a loop that is not asyncio's own, such as uvloop's.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._jumps = _install(loop)
        self._loop = loop
        self._began = loop.time()
        self._skipped = self._jumps.ahead

    @property
    def elapsed(self) -> float:
        """Seconds since it was made, skipped ones included."""
        return self._loop.time() - self._began

    @property
    def skipped(self) -> float:
        """Of these, the seconds that nobody waited for."""
        return self._jumps.ahead - self._skipped

    async def run(self, awaitable: Awaitable[T]) -> T:
        """Await something, and skip every wait until it ends. Returns its result.

        `awaitable` is a coroutine, a task or a future.
        """
        self._jumps.wanted += 1
        try:
            return await awaitable
        finally:
            self._jumps.wanted -= 1

    async def advance(self, seconds: float) -> None:
        """Let so many `seconds` pass. Timers fire in order and at their time, and what they start gets its turn.

        Raises `InvalidRequestError`, a `ValueError`, for a time that is not a number or lies in the past.
        """
        if not is_finite(seconds) or seconds < 0:
            hint = "it must be a number of seconds, 0 or greater"
            raise InvalidRequestError(
                f"seconds is {show(seconds)}; {hint}", field="seconds", value=seconds, hint=hint
            )
        await self.run(asyncio.sleep(seconds))


class _Selector(Protocol):
    def select(self, timeout: float | None = None) -> list[object]: ...


class _Jumps:
    """Waits of one loop that end early. `ahead` is by how much its time is ahead of the real one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, selector: _Selector) -> None:
        self.wanted = 0
        """How many want them."""
        self.ahead = 0.0
        self._working = 0
        self._time, self._select, self._submit = loop.time, selector.select, loop.run_in_executor

    def time(self) -> float:
        return self._time() + self.ahead

    def select(self, timeout: float | None = None) -> list[object]:
        """Called by the loop when nothing is ready, with the time until its next timer."""
        if not self.wanted or self._working or timeout is None or timeout <= _QUIET:
            return self._select(timeout)
        events = self._select(_QUIET)
        if not events:
            self.ahead += timeout - _QUIET
        return events

    def run_in_executor(
        self, executor: Executor | None, function: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future = self._submit(executor, function, *args)
        self._working += 1
        future.add_done_callback(self._finish)
        return future

    def _finish(self, _: object) -> None:
        self._working -= 1


def _install(loop: asyncio.AbstractEventLoop) -> _Jumps:
    """Once for each loop, until it is closed: a time that fell back would delay its timers."""
    known: object = getattr(loop.time, "__self__", None)
    if isinstance(known, _Jumps):
        return known
    selector = getattr(loop, _SELECTOR, None)
    if not hasattr(selector, "select"):
        kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
        raise RuntimeError(
            f"the clock needs asyncio's own event loop, and this is {kind}: run the test on asyncio's"
        )
    jumps = _Jumps(loop, cast("_Selector", selector))
    for owner, name, method in (
        (loop, "time", jumps.time),
        (loop, "run_in_executor", jumps.run_in_executor),
        (selector, "select", jumps.select),
    ):
        setattr(owner, name, method)
    return jumps


def build_sandbox(options: Mapping[str, object]) -> Sandbox:
    """A sandbox with the options of a mark. Raises `InvalidRequestError`, a `ValueError`."""
    known = _list_parameters(Sandbox)
    _check_names("option", options, [*known, "client"])
    return Sandbox(**{name: value for name, value in options.items() if name != "client"})  # type: ignore[arg-type]


def build_client(sandbox: Sandbox, options: Mapping[str, object]) -> LeadConnector:
    """A client for a sandbox, with the options of a mark. Raises `InvalidRequestError`, a `ValueError`."""
    given = options.get("client", {})
    if not isinstance(given, Mapping):
        hint = "it must be a mapping of the options of LeadConnector"
        raise InvalidRequestError(f"client is {show(given)}; {hint}", field="client", value=given, hint=hint)
    own = cast("Mapping[str, object]", given)
    _check_names("option of client", own, _list_parameters(LeadConnector))
    settings = {"token": sandbox.token, "base_url": sandbox.url, "location_id": sandbox.location_id, **own}
    return LeadConnector(**settings)  # type: ignore[arg-type]


def bind_to_loop(client: LeadConnector) -> None:
    """Make its use in another loop an error at once: there it would wait for a sandbox whose loop does not run."""
    client._shared.transport.open(asyncio.get_running_loop())  # pyright: ignore[reportPrivateUsage]


def _list_parameters(kind: type[object]) -> list[str]:
    return list(inspect.signature(kind).parameters)


def _check_names(what: str, given: Iterable[str], known: list[str]) -> None:
    for name in given:
        if name not in known:
            near = get_close_matches(str(name), known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"use {', '.join(known)}"
            raise InvalidRequestError(
                f"{show(name)} is not an {what}; {hint}", field=str(name), value=given, hint=hint
            )
