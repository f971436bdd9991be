"""stdout for results, stderr for everything else; neither fails when its reader has closed it."""

from __future__ import annotations

import errno
import io
import json
import os
import select
import sys
import textwrap
from contextlib import suppress
from typing import IO, Final, TextIO, cast

from rich.console import Console
from rich.text import Text

from .._validation.text import escape


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """The reader has closed the pipe; the command continues, and keeps its exit code."""
        self.quiet = True
        drop_output(self.file)


def make_consoles() -> tuple[Console, Console]:
    """For the result, and for everything else."""
    return (
        _Console(highlight=False, markup=False, emoji=False),
        _Console(stderr=True, highlight=False, markup=False, emoji=False),
    )


def forget_odd_width() -> None:
    """Ignore `COLUMNS=0`, which some schedulers set: it would cut every line to nothing."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and len(columns.lstrip("0")) <= 1:
        del os.environ["COLUMNS"]


def drop_output(stream: IO[str]) -> None:
    """Discard whatever is still written to a stream that nobody reads."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class Document:
    """The one JSON document that `--json` promises, whatever happens."""

    def __init__(self) -> None:
        self.is_due = False

    def promise(self, *, due: bool) -> None:
        """Whether one must still be printed."""
        self.is_due = due

    def print(self, value: object) -> None:
        """Print it, on one line."""
        self.is_due = False
        out, _ = make_consoles()
        out.print(Text(json.dumps(value)), soft_wrap=True)

    def print_error(self, code: int, kind: str, message: str, **more: object) -> None:
        """Print an error as the document, unless one was printed already."""
        if self.is_due:
            self.print({"exit_code": code, "error": {"type": kind, "message": message, **more}})


DOCUMENT: Final = Document()


def print_json(value: object) -> None:
    """One JSON object on stdout, in one line."""
    DOCUMENT.print(value)


def print_line(console: Console, text: str, indent: int = 0) -> None:
    """Print a line without control characters; a terminal wraps it between words, with a hanging indent."""
    start, text = " " * indent, "\n".join(map(escape, text.split("\n")))
    if not console.is_terminal or len(start) + len(text) <= console.width:
        console.print(Text(start + text), soft_wrap=True)
        return
    lines = textwrap.wrap(
        text,
        console.width,
        initial_indent=start,
        subsequent_indent=f"{start}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def has_terminal() -> bool:
    """Whether questions can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


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
