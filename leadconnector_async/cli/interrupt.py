"""Ctrl-C, SIGTERM and SIGHUP: once, to end soon; twice, to end at once.

What the first one does depends on what is going on: whoever is at work says so by `catch_interrupts`, and the one
who said so last is asked.

The first one is answered at once and starts nothing more; the second leaves everything to the journal.
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
    """SIGHUP is the same wish, unless somebody (`nohup`) has seen to it that it means nothing."""
    hangup: signal.Signals | None = getattr(signal, "SIGHUP", None)
    ignored = hangup is None or signal.getsignal(hangup) is signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *(() if hangup is None or ignored else (hangup,)))


_HAS_WAKEUP: Final = hasattr(signal, "siginterrupt")

Stop = Callable[[], str]
"""Ends what is going on, and says how."""


class Interrupted(Exception):  # noqa: N818 - a wish, not an error
    """Somebody has pressed Ctrl-C instead of answering."""


class _InterruptHandler:
    """Who is asked, and how often there was a Ctrl-C."""

    def __init__(self) -> None:
        self.stops: list[tuple[Stop, Callable[[], None]]] = []
        self.times = 0

    def interrupt(self) -> None:
        self.times += 1
        stop, clear = self.stops[-1]
        if self.times > 1:
            clear()
            leave(AT_ONCE, "Stopped at once.")
        say(stop())


_DESK: Final = _InterruptHandler()


def say(text: str) -> None:
    """One line to whoever watches."""
    if text:
        with suppress(OSError):
            make_consoles()[1].print(text, soft_wrap=True)


def leave(code: int, text: str) -> NoReturn:
    """End the process here and now, whatever its threads do."""
    say(text)
    with suppress(OSError):
        DOCUMENT.print_error(code, "Interrupted", text)
    for stream in (sys.stderr, sys.stdout):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


@contextmanager
def catch_interrupts(stop: Stop, clear: Callable[[], None] | None = None) -> Generator[None]:
    """Have `stop` called at the first interrupt; the second ends the process, with exit code 130.

    `clear` tidies the screen before that.
    """
    is_first = not _DESK.stops
    _DESK.stops.append((stop, clear or _do_nothing))
    restore = _install() if is_first else _do_nothing
    try:
        yield
    finally:
        _DESK.stops.pop()
        restore()


@contextmanager
def raise_interrupts() -> Generator[None]:
    """While a question is asked, which keeps the loop from turning, an interrupt raises `Interrupted`."""
    before = {number: signal.getsignal(number) for number in _list_signals()}
    wakeup = signal.set_wakeup_fd(-1) if _HAS_WAKEUP else -1
    for number in before:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
            _keep_calls_whole(number)
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
            loop.add_signal_handler(number, _DESK.interrupt)
    except NotImplementedError:  # Windows has no such handlers
        return _install_simply(loop)
    return restore


def _install_simply(loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(_DESK.interrupt)

    def restore() -> None:
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, handle)
    return restore


def _keep_calls_whole(number: signal.Signals) -> None:
    """A signal that the loop takes care of breaks no call, as the loop had set it."""
    if _HAS_WAKEUP:
        signal.siginterrupt(number, False)


def _do_nothing() -> None:
    """There is nothing to do."""
