"""The processes, as the benchmark sees them: started once, given one task after the other."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import msgspec
from msgspec import Struct

from .child import Child
from .worker import Outcome, Task

HEAD_START = 0.3
"""Seconds from the last word to the processes until all begin at once."""


class Run(Struct):
    """A task that the processes have begun."""

    begin: float
    processes: list[Child]

    def collect(self) -> list[Outcome]:
        """What came of it, of those that live."""
        return [msgspec.convert(one.read(), Outcome) for one in self.processes if one.is_alive]

    def wait_until(self, seconds: float) -> None:
        """Until so long after the beginning."""
        time.sleep(max(0.0, self.begin + seconds - time.monotonic()))


class Crew:
    """Some processes; more are started when a task needs them."""

    def __init__(self) -> None:
        self._processes: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.close()

    def begin(self, tasks: Sequence[Task]) -> Run:
        """Give each process one task; all begin at the same moment."""
        self._processes = [one for one in self._processes if one.is_alive]
        more = range(len(tasks) - len(self._processes))
        self._processes += [Child(f"{__package__}.worker") for _ in more]
        processes = self._processes[: len(tasks)]
        for process, task in zip(processes, tasks, strict=True):
            process.write(task)
        for process in processes:
            process.read()  # it is ready
        run = Run(time.monotonic() + HEAD_START, processes)
        for process in processes:
            process.write(run.begin)
        return run
