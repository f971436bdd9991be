"""Standard output and standard error that never fail whoever writes to them. Needs no extra."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Final, TextIO, cast

_NAMES: Final = ("stdin", "stdout", "stderr")
_SECONDS: Final = 1.0


class LastingOutput(io.RawIOBase):
    """Writes to a file descriptor; discards everything after the first failure."""

    def __init__(self, number: int, failure: OSError | None = None) -> None:
        self._number = number
        self.failure = failure
        self.is_reported = False

    def writable(self) -> bool:
        """It can always be written to."""
        return True

    def fileno(self) -> int:
        """The file descriptor."""
        return self._number

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._number)

    def write(self, content: object) -> int:
        """All of it, or none of it."""
        remaining = memoryview(cast("bytes", content)).cast("B")
        size = len(remaining)
        try:
            while remaining and self.failure is None:
                remaining = remaining[self._write(remaining) :]
        except OSError as error:
            self.failure = error
        return size

    def _write(self, content: memoryview) -> int:
        try:
            return os.write(self._number, content)
        except BlockingIOError:  # another process has made the pipe non-blocking
            select.select([], [self._number], [], _SECONDS)
            return 0


def make_streams_lasting() -> None:
    """Replace stdin, stdout and stderr; a closed one becomes a stream to nowhere."""
    closed = _fill_gaps()
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    for number in (1, 2):
        name = _NAMES[number]
        stream: TextIO | None = getattr(sys, name)
        if os.name == "posix":
            failure = OSError(errno.EBADF, os.strerror(errno.EBADF)) if number in closed else None
            setattr(sys, name, _wrap(stream, number, failure))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def take_failure() -> OSError | None:
    """Why stdout could not be written, once; `None` if it could, or if its reader has closed it."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(raw, LastingOutput):
        return None
    sys.stdout.flush()
    if raw.is_reported or isinstance(raw.failure, BrokenPipeError):
        return None
    raw.is_reported = raw.failure is not None
    return raw.failure


def _fill_gaps() -> set[int]:
    """Open `os.devnull` for closed descriptors: otherwise the next file that is opened gets their number."""
    closed: set[int] = set()
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            closed.add(number)
    return closed


def _wrap(stream: TextIO | None, number: int, failure: OSError | None) -> io.TextIOWrapper:
    if stream is not None:
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(LastingOutput(number, failure)),
        encoding="utf-8" if stream is None else stream.encoding,
        errors="backslashreplace",
        line_buffering=number == 2 or os.isatty(number),
    )
