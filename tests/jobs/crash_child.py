"""The command line, in a process that kills itself at a named point: `python -m tests.jobs.crash_child POINT N …`.

The points are those of the way of one row: before and after its intent is on the disk, before its request
leaves, while it is on its way, when its answer has come, before and after its outcome is on the disk; and, for the
files, in the middle of the n-th that is written, and just before it takes its place.
"""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Callable
from typing import Any

from leadconnector_async._call import transport as call_transport
from leadconnector_async.cli import main
from leadconnector_async.jobs.journal import groups, protocol, rows, writer

POINTS = (
    "before-intent",
    "after-intent",
    "before-send",
    "on-the-way",
    "after-answer",
    "before-commit",
    "after-commit",
    "mid-file",
    "before-replace",
)


class Countdown:
    """Kills the process at the n-th time."""

    def __init__(self, left: int) -> None:
        self._left = left

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def peek(self) -> bool:
        return self._left == 1


def set_up(point: str, die: Countdown) -> None:
    if point in ("before-intent", "after-intent", "before-commit", "after-commit"):
        statement = rows._INTEND if point.endswith("intent") else rows._FINISH
        _wrap_commits(statement, point.startswith("before"), die)
    elif point in ("before-send", "on-the-way", "after-answer"):
        _wrap_sending(point, die)
    elif point == "before-replace":
        replace = os.replace
        _set(os, "replace", lambda *args, **options: (die(), replace(*args, **options))[1])
    else:
        _tear_files(die)


def _wrap_commits(statement: groups.Group, before: bool, die: Countdown) -> None:
    commit = writer._commit

    def wrapped(journal: Any, entries: list[groups.Entry]) -> dict[groups.Hold, protocol.FenceLostError]:
        concerned = any(entry.statement == statement for entry in entries)
        if concerned and before:
            die()
        lost = commit(journal, entries)
        if concerned and not before:
            die()
        return lost

    _set(writer, "_commit", wrapped)


def _wrap_sending(point: str, die: Countdown) -> None:
    send = call_transport.Transport.send

    async def wrapped(transport: Any, session: Any, request: Any, *rest: Any) -> Any:
        writes = request.operation.name == "update_appointment"
        if writes and point == "before-send":
            die()
        if writes and point == "on-the-way":
            asyncio.get_running_loop().call_later(0.01, die)
            await asyncio.sleep(0)
        reply = await send(transport, session, request, *rest)
        if writes and point == "after-answer":
            die()
        return reply

    _set(call_transport.Transport, "send", wrapped)


def _tear_files(die: Countdown) -> None:
    """What a crash in the middle of writing leaves: half of the file."""
    sync = os.fsync

    def wrapped(descriptor: int) -> None:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode):
            if die.peek():
                os.ftruncate(descriptor, found.st_size // 2)
            die()
        sync(descriptor)

    _set(os, "fsync", wrapped)


def _set(owner: Any, name: str, value: Callable[..., Any]) -> None:
    setattr(owner, name, value)


if __name__ == "__main__":
    point, count = sys.argv[1], int(sys.argv[2])
    set_up(point, Countdown(count))
    sys.argv = ["leadconnector", *sys.argv[3:]]
    main()
