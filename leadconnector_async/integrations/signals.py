"""Told of a server's end when it begins: servers wait for open responses before they end the lifespan."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

_NUMBERS: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def noticing_end(on_end: Callable[[], None]) -> Generator[None]:
    """Call a function in the loop as soon as the process is told to end; what the server does then is unchanged.

    Does nothing outside the main thread, where signals cannot be handled.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _NUMBERS}

    def handle(number: int, frame: FrameType | None) -> None:
        with suppress(RuntimeError):  # its loop is closed: another application, which began later, ended later
            loop.call_soon_threadsafe(on_end)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)
        elif handler == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    changed = [number for number in _NUMBERS if before[number] is not None]
    for number in changed:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in changed:
            if signal.getsignal(number) is handle:  # otherwise somebody else has changed it since
                signal.signal(number, before[number])
