"""Processes in one event loop: each can be frozen, and goes on later, or be killed, which it does not survive."""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import TypeVar

from leadconnector_async import JournalError

from ..virtual import VirtualLoop

T = TypeVar("T")
Call = Callable[..., object]


class _Step:
    """A callback of a process."""

    __slots__ = ("args", "call", "handle")

    def __init__(self, call: Call, args: tuple[object, ...]) -> None:
        self.call, self.args = call, args
        self.handle: asyncio.Handle | None = None


class Process:
    """A process. What is at the server, or at the database, goes on while it is frozen, and after its death."""

    def __init__(self, name: str, rate: float = 1.0) -> None:
        self.name = name
        self.rate = rate
        """How fast its clock runs."""
        self.is_frozen = self.is_dead = False
        self._held: deque[tuple[_Step, Context]] = deque()

    def __repr__(self) -> str:
        return self.name

    def start(self, main: Coroutine[object, object, T], loop: asyncio.AbstractEventLoop) -> "asyncio.Task[T]":
        """Run its main coroutine."""
        return loop.create_task(main, context=self.context())

    def context(self) -> Context:
        """A context of this process."""
        context = copy_context()
        context.run(PROCESS.set, self)
        return context

    def clock(self) -> float:
        """Its own monotonic clock."""
        return asyncio.get_running_loop().time() * self.rate

    def freeze(self) -> None:
        self.is_frozen = True

    def thaw(self) -> None:
        """Whatever has become due meanwhile runs now: what came in first, then timers, as in a real loop."""
        if self.is_dead:
            return
        self.is_frozen = False
        loop = asyncio.get_running_loop()
        held, self._held = self._held, deque()
        for timers in (False, True):
            for step, context in held:
                if isinstance(step.handle, asyncio.TimerHandle) is timers:
                    loop.call_soon(self._replay, step, context=context)

    def kill(self) -> None:
        self.is_dead = True

    def bury(self) -> None:
        """After the schedule: let its tasks be cancelled, those included that it was not allowed to wake."""
        self.is_dead = False
        self.thaw()

    def step(self, step: _Step) -> None:
        if self.is_dead or self.is_frozen:
            self._held.append((step, copy_context()))
        else:
            step.call(*step.args)

    def _replay(self, step: _Step) -> None:
        if step.handle is None or not step.handle.cancelled():
            step.call(*step.args)


PROCESS: ContextVar[Process | None] = ContextVar("simulated process", default=None)


class ProcessLoop(VirtualLoop):
    """Every callback belongs to the process in whose context it runs; those of no process always run."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: dict[asyncio.Task[object], None] = {}
        """Else those of a dead process would be collected, and run their `finally` blocks."""

    def create_task(self, coro, *, name=None, context=None):  # type: ignore[no-untyped-def]
        task = super().create_task(coro, name=name, context=context)
        self.tasks[task] = None
        task.add_done_callback(self.tasks.pop)
        return task

    def call_soon(self, callback: Call, *args: object, context: Context | None = None) -> asyncio.Handle:  # type: ignore[override]
        process = PROCESS.get() if context is None else context.get(PROCESS)
        if process is None:
            return super().call_soon(callback, *args, context=context)
        step = _Step(callback, args)
        step.handle = super().call_soon(process.step, step, context=context)
        return step.handle

    def call_soon_threadsafe(self, callback: Call, *args: object, context: Context | None = None) -> asyncio.Handle:  # type: ignore[override]
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Call, *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:  # type: ignore[override]
        process = PROCESS.get() if context is None else context.get(PROCESS)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        step = _Step(callback, args)
        handle = super().call_at(when, process.step, step, context=context)
        step.handle = handle
        return handle


def outside() -> Context:
    """A context of no process: for what goes on without it."""
    context = copy_context()
    context.run(PROCESS.set, None)
    return context


class Ended(BaseException):
    """The schedule is over."""


class SimulatedThread(Executor):
    """One thread that works only while the loop waits for it, so that a seed decides in which order all happens.

    What it calls may `pause`: the loop goes on, until it calls `resume`.
    """

    def __init__(self) -> None:
        self._jobs: deque[Callable[[], Callable[[], None]]] = deque()
        self._is_busy = self._is_paused = self._has_ended = False
        self._thread: threading.Thread | None = None
        self._turns = queue.SimpleQueue[Callable[[], Callable[[], None]] | BaseException | None]()
        self._stops = queue.SimpleQueue[Callable[[], None] | None]()
        """`None`: it pauses; else it has ended what it was given, and this tells whoever waits for that."""

    def submit(self, fn: Callable[..., T], /, *args: object, **kwargs: object) -> "Future[T]":
        future: Future[T] = Future()
        if self._has_ended:
            future.set_exception(JournalError("the schedule is over"))
            return future

        def work() -> Callable[[], None]:
            if not future.set_running_or_notify_cancel():
                return lambda: None
            try:
                value = fn(*args, **kwargs)
            except Exception as error:
                return partial(future.set_exception, error)
            return partial(future.set_result, value)

        self._jobs.append(work)
        self._begin_next()
        return future

    def pause(self) -> None:
        """In the thread: let the loop go on until it resumes this. Raises what it is resumed with."""
        if self._has_ended:
            raise Ended
        self._is_paused = True
        self._stops.put(None)
        turn = self._turns.get()
        if isinstance(turn, BaseException):
            raise turn

    def resume(self, failure: BaseException | None = None) -> None:
        """In the loop: let the thread go on, with this error if there is one."""
        if self._has_ended:
            return
        assert self._is_paused, "nobody waits for this"
        self._is_paused = False
        self._turns.put(failure)
        self._wait()

    def end(self) -> None:
        """After the schedule: whatever it was doing is not finished."""
        self._jobs.clear()
        self._has_ended = True
        if self._thread is not None:
            self._turns.put(Ended())
            self._thread.join()

    def _begin_next(self) -> None:
        while self._jobs and not self._is_busy:
            self._is_busy = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, daemon=True)
                self._thread.start()
            self._turns.put(self._jobs.popleft())
            self._wait()

    def _wait(self) -> None:
        """Until the thread pauses, or has ended its work."""
        tell = self._stops.get()
        if tell is not None:
            self._is_busy = False
            tell()
            self._begin_next()

    def _serve(self) -> None:
        with suppress(Ended):
            while callable(work := self._turns.get()):
                self._stops.put(work())
