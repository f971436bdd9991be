"""Work for other threads, where none may be left to start.

An executor keeps the work for which it could not start a thread, and does it as soon as it has one: a token that
was given up long ago would replace a newer one, and a job that nobody asks for any more would stay locked.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import copy_context
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")


class NoThreadError(OSError):
    """No thread could be started; what it should have done is not done later either."""


class _Task(Generic[T]):
    """Work that does nothing once it was refused, whenever a thread takes it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._is_refused = False

    def __call__(self) -> T:
        if self._is_refused:
            raise NoThreadError
        return self._work()

    def refuse(self, error: RuntimeError) -> NoThreadError:
        self._is_refused = True
        return NoThreadError(errno.EAGAIN, str(error))


def submit(executor: Executor, work: Callable[[], T]) -> Future[T]:
    """Have it done by a thread of an executor. Raises `NoThreadError`."""
    task = _Task(work)
    try:
        return executor.submit(task)
    except RuntimeError as error:
        raise task.refuse(error) from None


def run_in_thread(work: Callable[[], T], executor: Executor | None = None) -> asyncio.Future[T]:
    """The same, to be awaited, by default in a thread of the event loop. Raises `NoThreadError` at once."""
    task = _Task(partial(copy_context().run, work))
    try:
        return asyncio.get_running_loop().run_in_executor(executor, task)
    except RuntimeError as error:
        raise task.refuse(error) from None
