"""An event loop in virtual time: when nothing is left to do now, the clock jumps to what is next."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


_TURN = 1e-6
"""What a turn of the loop takes, at least: a clock that stands still lets a limiter wait for ever by rounding."""


class _Clock(selectors.DefaultSelector):
    """Instead of waiting for sockets, which nobody uses here, it sets the clock forward."""

    now = 0.0
    on_turn: Callable[[], bool] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.on_turn is not None and self.on_turn():
            return []
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        self.now += max(_TURN, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time is the clock's."""

    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)
        self._clock_resolution = 1e-9

    def watch(self, on_turn: Callable[[], bool]) -> None:
        """Call it in every turn; it tells whether it has changed anything."""
        self._clock.on_turn = on_turn

    def time(self) -> float:
        return self._clock.now

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Without an executor, at once: a thread takes real time, in which nothing happens here."""
        if executor is not None:
            return super().run_in_executor(executor, func, *args)  # type: ignore[return-value]
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
