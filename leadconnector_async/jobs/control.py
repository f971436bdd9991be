"""What a job should do: the runs of it in this process obey one `Control`, whoever has changed it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from .states import JobOptions

Wanted: TypeAlias = Literal["run", "pause", "cancel"]


class Control:
    """What a job should do, as far as this process knows."""

    def __init__(self, options: JobOptions) -> None:
        self.options = options
        """As they are now: the rate may change while the job runs."""
        self.wanted: Wanted = "run"
        self._obey: dict[object, Callable[[], None]] = {}

    def update(self, wanted: Wanted, options: JobOptions) -> bool:
        """Have the job do something else, at once; returns whether anything has changed."""
        if (wanted, options) == (self.wanted, self.options):
            return False
        self.wanted, self.options = wanted, options
        self.notify()
        return True

    def notify(self) -> None:
        """Have everybody look again."""
        for obey in tuple(self._obey.values()):
            obey()

    @contextmanager
    def obeyed_by(self, obey: Callable[[], None]) -> Generator[None]:
        """Call `obey` after every change."""
        key = object()
        self._obey[key] = obey
        try:
            yield
        finally:
            del self._obey[key]
