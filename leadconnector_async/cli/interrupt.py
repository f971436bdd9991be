"""Ctrl-C, SIGTERM and SIGHUP: the first stops soon, the second at once.

The innermost `catch_interrupts` decides what the first one does. The second ends the process; the journal knows
what was sent.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final, NoReturn

from .exit_codes import AT_ONCE
from .terminal import DOCUMENT, make_consoles


def _list_signals() -> tuple[signal.Signals, ...]:
    """SIGHUP counts as an interrupt, unless `nohup` or the like has disabled it."""
    hangup: signal.Signals | None = getattr(signal, "SIGHUP", None)
    ignored = hangup is None or signal.getsignal(hangup) is signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *(() if hangup is None or ignored else (hangup,)))


_HAS_WAKEUP: Final = hasattr(signal, "siginterrupt")

Stop = Callable[[], str]
"""Stops what is running; returns the message to print."""


class Interrupted(Exception):  # noqa: N818 - a request, not an error
    """Ctrl-C was pressed at the prompt."""


class _InterruptHandler:
    """The active `catch_interrupts`, innermost last, and the number of interrupts."""

    def __init__(self) -> None:
        self.stops: list[tuple[Stop, Callable[[], None]]] = []
        self.count = 0

    def interrupt(self) -> None:
        self.count += 1
        stop, clear = self.stops[-1]
        if self.count > 1:
            clear()
            leave(AT_ONCE, "Stopped at once.")
        print_message(stop())


_HANDLER: Final = _InterruptHandler()


def print_message(text: str) -> None:
    """One line on stderr."""
    if text:
        with suppress(OSError):
            make_consoles()[1].print(text, soft_wrap=True)


def leave(code: int, text: str) -> NoReturn:
    """End the process at once, whatever its threads do."""
    print_message(text)
    with suppress(OSError):
        DOCUMENT.print_error(code, "Interrupted", text)
    for stream in (sys.stderr, sys.stdout):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


@contextmanager
def catch_interrupts(stop: Stop, clear: Callable[[], None] | None = None) -> Generator[None]:
    """Have `stop` called at the first interrupt; the second ends the process, with exit code 130.

    `clear` cleans up the screen before that.
    """
    is_first = not _HANDLER.stops
    _HANDLER.stops.append((stop, clear or _do_nothing))
    restore = _install() if is_first else _do_nothing
    try:
        yield
    finally:
        _HANDLER.stops.pop()
        restore()


@contextmanager
def raise_interrupts() -> Generator[None]:
    """While a question blocks the event loop, an interrupt raises `Interrupted`."""
    before = {number: signal.getsignal(number) for number in _list_signals()}
    wakeup = signal.set_wakeup_fd(-1) if _HAS_WAKEUP else -1
    for number in before:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
            _restart_calls(number)
        if _HAS_WAKEUP:
            signal.set_wakeup_fd(wakeup)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Interrupted


def _install() -> Callable[[], None]:
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _list_signals()}

    def restore() -> None:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            if handler is not None:
                signal.signal(number, handler)

    try:
        for number in before:
            loop.add_signal_handler(number, _HANDLER.interrupt)
    except NotImplementedError:  # Windows has no such handlers
        return _install_simply(loop)
    return restore


def _install_simply(loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(_HANDLER.interrupt)

    def restore() -> None:
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, handle)
    return restore


def _restart_calls(number: signal.Signals) -> None:
    """Let a signal that the loop handles interrupt no system call, as the loop had set it."""
    if _HAS_WAKEUP:
        signal.siginterrupt(number, False)


def _do_nothing() -> None:
    """Nothing to do."""
