"""stdout for results, stderr for everything else; neither fails when its reader has closed it."""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
from contextlib import suppress
from typing import IO, Final

from rich.console import Console
from rich.text import Text

from .._validation.text import escape

_MOMENT: Final = re.compile(r"(?:\w{3} )?\d{4}-\d\d-\d\d \d\d:\d\d(?: \(UTC[^)]*\))?|\b\d+ (?:s|min|h|d)\b")
"""A time as we show it, or a duration."""
_JOINED: Final = "\x00"
"""A space at which a line must not be broken; no text contains this character."""


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
    """Print a line without control characters; a terminal wraps it between words, with a hanging indent.

    A day and its time stay on one line.
    """
    start, text = " " * indent, "\n".join(map(escape, text.split("\n")))
    if not console.is_terminal or len(start) + len(text) <= console.width:
        console.print(Text(start + text), soft_wrap=True)
        return
    lines = textwrap.wrap(
        _MOMENT.sub(lambda found: found[0].replace(" ", _JOINED), text),
        console.width,
        initial_indent=start,
        subsequent_indent=f"{start}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    for line in lines:
        console.print(Text(line.replace(_JOINED, " ")), soft_wrap=True)


def has_terminal() -> bool:
    """Whether questions can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()
