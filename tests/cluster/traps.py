"""Named points of a worker's way at which it kills or stops itself, once it is told to.

A line on its standard input arms one: `POINT TIMES ACT`, such as `before-send 3 stop`. The process announces the
point by a line on standard output, and acts. The product has no hooks: its functions are wrapped here.

| point | it lies |
| --- | --- |
| `before-send` | right before the last look at the lease, which is right before the socket write |
| `on-the-way` | when the request has left, and nobody has seen a response |
| `after-answer` | when the response was read, and nothing of it is on disk |
| `before-commit` | with outcomes in hand, before the transaction that writes them |
| `intent-committed` | when intents are on disk, and nothing was sent |
| `in-transaction` | in Postgres, when a transaction was executed except for its last statement |
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from leadconnector_async._call import fence
from leadconnector_async.integrations.postgres_session import PostgresSession
from leadconnector_async.jobs.journal import rows, writer

POINTS = ("before-send", "on-the-way", "after-answer", "before-commit", "intent-committed")
IN_TRANSACTION = "in-transaction"
NOWHERE = "nowhere"
"""Disarms it: no way leads there."""
ACTS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
SENT_WITHIN = 0.003
"""Seconds, from the socket write to the moment at which the request is on its way for certain."""


class Trap:
    """Armed with one point at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._point, self._left, self._act = "", 0, "kill"

    def arm(self, line: str) -> None:
        """Take a line of standard input."""
        point, times, act = line.split()
        if point not in (*POINTS, IN_TRANSACTION, NOWHERE) or act not in ACTS:
            raise ValueError(line)
        with self._lock:
            self._point, self._left, self._act = point, int(times), act
        os.write(1, f"armed {point}\n".encode())

    def reach(self, point: str) -> None:
        """Act, if it is the how-manyeth time."""
        with self._lock:
            if point != self._point:
                return
            self._left -= 1
            if self._left:
                return
            self._point = ""
        os.write(1, f"reached {point}\n".encode())
        os.kill(os.getpid(), ACTS[self._act])

    def listen(self) -> None:
        """Take lines in a thread of its own, until the input ends."""
        threading.Thread(target=self._take_all, daemon=True).start()

    def _take_all(self) -> None:
        for line in sys.stdin:
            self.arm(line)


def set_up(trap: Trap) -> None:
    """Wrap what the points lie in."""
    _wrap_body(trap)
    _wrap_sending(trap)
    _wrap_commits(trap)
    _wrap_transactions(trap)


def _wrap_body(trap: Trap) -> None:
    write = fence.FencedBody.write_with_length

    def wrapped(body: Any, *rest: Any) -> Any:
        trap.reach("before-send")
        asyncio.get_running_loop().call_later(SENT_WITHIN, trap.reach, "on-the-way")
        return write(body, *rest)

    _set(fence.FencedBody, "write_with_length", wrapped)


def _wrap_sending(trap: Trap) -> None:
    send = fence.FencedTransport.send

    async def wrapped(transport: Any, session: Any, request: Any, *rest: Any) -> Any:
        reply = await send(transport, session, request, *rest)
        if request.operation.name == "update_appointment":
            trap.reach("after-answer")
        return reply

    _set(fence.FencedTransport, "send", wrapped)


def _wrap_commits(trap: Trap) -> None:
    commit = writer._commit

    def wrapped(journal: Any, entries: Any) -> Any:
        if any(entry.statement == rows._FINISH for entry in entries):
            trap.reach("before-commit")
        done = commit(journal, entries)
        if any(entry.statement == rows._INTEND for entry in entries):
            trap.reach("intent-committed")
        return done

    _set(writer, "_commit", wrapped)


def _wrap_transactions(trap: Trap) -> None:
    """Of the transactions that take more than one piece, as a location is taken or prepared."""
    transact = PostgresSession.transact

    @contextmanager
    def wrapped(session: PostgresSession) -> Generator[None]:
        with transact(session):
            yield
            trap.reach(IN_TRANSACTION)

    _set(PostgresSession, "transact", wrapped)


def _set(owner: Any, name: str, value: Callable[..., Any]) -> None:
    setattr(owner, name, value)
