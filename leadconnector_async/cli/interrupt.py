"""Ctrl-C: once, to end soon; twice, to end at once.

Rule: the first one is answered at once and starts nothing more; the second leaves everything to the journal.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from .exit_codes import AT_ONCE

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def catch_interrupts(stop: Callable[[], None], say: Callable[[str], None]) -> Generator[None]:
    """Call `stop` at the first interrupt, and end the process at the second."""
    times = 0

    def interrupt() -> None:
        nonlocal times
        times += 1
        if times > 1:
            say("Stopped at once.")
            sys.stderr.flush()
            sys.stdout.flush()
            os._exit(AT_ONCE)
        say("Stopping: what is under way may end within 10 s. Ctrl-C again stops at once.")
        stop()

    with _handle(interrupt):
        yield


@contextmanager
def _handle(interrupt: Callable[[], None]) -> Generator[None]:
    loop = asyncio.get_running_loop()
    try:
        for number in _SIGNALS:
            loop.add_signal_handler(number, interrupt)
    except NotImplementedError:  # Windows has no such handlers
        before = signal.signal(signal.SIGINT, lambda number, frame: loop.call_soon_threadsafe(interrupt))
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
        return
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
