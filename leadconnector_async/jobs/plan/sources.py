"""Rows from a program: `PlanRow`s, pairs of event id and update, or mappings; also as an async stream."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Final, TypeAlias, TypeVar, cast

from ..._api.convert import is_convertible, list_items
from ..._system.threads import NoThreadError, run_in_thread
from ..._validation.text import shorten, show
from ...exceptions import ConfigurationError, InvalidRequestError, JournalError, RowFault
from ...inputs import ModelLike, Payload
from ...models import AppointmentUpdate
from .rows import COLUMNS, BadRow, PlanRow, build_fault, check_row_of_code, is_blank, name_cells, read_row
from .shift import Shift

AnyRow: TypeAlias = PlanRow | RowFault | tuple[str, Payload[AppointmentUpdate]] | Mapping[str, object] | ModelLike
"""A row of a plan, an event id with an update, or cells by their field as in a plan's file.

Cells are those of a mapping, or the fields of a pydantic model that were set, in snake or camel case. Times may be
datetimes. `None` leaves a field as it is; an empty string is refused.
"""
RowSource: TypeAlias = Iterable[AnyRow] | AsyncIterable[AnyRow]
"""Where rows come from, one after the other; it may be endless."""

_FIELDS: Final = frozenset(AppointmentUpdate.__struct_fields__)
_KINDS: Final = "give a mapping or a pydantic model of cells, a PlanRow, or an event id with an AppointmentUpdate"
_SOURCES: Final = (Iterable, AsyncIterable)
_NO_SOURCES: Final = (str, bytes, Mapping)
_IDS: Final = ("event_id", "eventId")


def check_source(rows: object) -> None:
    """Raise `ConfigurationError` for what no rows can come from."""
    if _is_path(rows):
        raise ConfigurationError(f"rows is {show(rows)}; to read a plan, give iterate_plan(path)")
    if not _is_source(rows):
        raise ConfigurationError(f"rows is {show(rows)}; give an iterable, or an async iterable, of rows")


def read_any(line: int, row: object, timezone: str | None) -> PlanRow | RowFault:
    """Check a row. `timezone` is for wall-clock times of mappings that name none."""
    try:
        read = _read(line, row, timezone)
        return read if read is not None else RowFault(line, "", f"{show(row)} is not a row", _KINDS)
    except (BadRow, InvalidRequestError) as error:
        return build_fault(line, error)
    except Exception as error:  # whatever a foreign mapping raises, the other rows continue
        reason = f"the row cannot be read: {type(error).__name__}: {shorten(str(error))}"
        return RowFault(line, "", reason, _KINDS)


def name_event(row: object) -> str:
    """The event that a row is about, as far as it can be told."""
    named: list[object] = []
    if isinstance(row, PlanRow):
        named = [row.event_id]
    elif isinstance(row, tuple):
        named = list(cast("tuple[object, ...]", row)[:1])
    elif is_convertible(row):
        with suppress(Exception):  # as above
            cells = dict(list_items(row, COLUMNS))
            named = [cells.get(name) for name in _IDS]
    return next((name for name in named if isinstance(name, str)), "")


def _is_path(rows: object) -> bool:
    return isinstance(rows, os.PathLike)


def _is_source(rows: object) -> bool:  # apart, so that `rows` keeps its type where it is shown
    return isinstance(rows, _SOURCES) and not isinstance(rows, _NO_SOURCES)


def _read(line: int, row: object, timezone: str | None) -> PlanRow | RowFault | None:
    """`None` for what is not a row at all."""
    if isinstance(row, RowFault):
        return row
    if isinstance(row, PlanRow):
        return check_row_of_code(row)
    if isinstance(row, tuple):
        pair = cast("tuple[object, ...]", row)
        return check_row_of_code(PlanRow(line, *pair)) if len(pair) == 2 else None  # type: ignore[arg-type] # checked
    if is_convertible(row):
        return read_row(line, _list_cells(row), timezone)
    return None


def _list_cells(row: Mapping[object, object] | ModelLike) -> dict[str, object]:
    """The cells that are not empty. An empty text would clear the field at the server, which is seldom meant."""
    filled: dict[str, object] = {}
    given = [(spelling, cell) for spelling, cell in list_items(row, COLUMNS) if cell is not None]
    for name, cell in name_cells(given).items():
        if not (isinstance(cell, str) and is_blank(cell)):
            filled[name] = str(cell) if isinstance(cell, Shift) else cell
        elif name in _FIELDS:
            raise BadRow(name, f"{name} is empty", "leave it out to keep it")
    return filled


T = TypeVar("T")
_MOST_TOGETHER: Final = 500
"""Rows that are handed over at once: going from thread to thread costs more than a row."""


class StreamEnded(Exception):  # noqa: N818 - it never leaves the thread
    """Nobody wants the rest."""


class Stream(Iterator[AnyRow]):
    """The rows of an async stream, one after the other; iterate it in any thread but the loop's."""

    def __init__(self, rows: AsyncIterable[AnyRow]) -> None:
        self._rows: AsyncIterator[AnyRow] = aiter(rows)
        self._loop = asyncio.get_running_loop()
        self._known: Iterator[AnyRow] = iter(())
        self._reading: Future[list[AnyRow]] | None = None
        self._has_ended = self._is_stopped = False
        self._lock = Lock()
        self.failure: BaseException | None = None
        """What the stream itself has raised."""

    def __next__(self) -> AnyRow:
        for row in self._known:
            return row
        if self._has_ended:
            raise StopIteration
        with self._lock:
            if self._is_stopped:
                raise StreamEnded
            self._reading = asyncio.run_coroutine_threadsafe(self._read(), self._loop)
        self._known = iter(self._reading.result())
        if self.failure is not None:
            raise StreamEnded
        return next(self._known)

    def stop(self) -> None:
        """Free the thread: what it waits for never comes. In the loop's thread."""
        with self._lock:
            self._is_stopped = True
        if self._reading is not None:
            self._reading.cancel()

    async def _read(self) -> list[AnyRow]:
        rows: list[AnyRow] = []
        try:
            while len(rows) < _MOST_TOGETHER:
                rows.append(await anext(self._rows))
        except StopAsyncIteration:
            self._has_ended = True
        except BaseException as error:
            self.failure = error
        return rows


class Stoppable(Iterator[T]):
    """Rows that need no event loop; after `stop`, `StreamEnded` is raised in place of the next one."""

    def __init__(self, rows: Iterable[T]) -> None:
        self._rows = iter(rows)
        self._is_stopped = False
        self.failure: BaseException | None = None
        """Always `None`: what the rows raise reaches whoever iterates them."""

    def __next__(self) -> T:
        if self._is_stopped:
            raise StreamEnded
        return next(self._rows)

    def stop(self) -> None:
        """Hand out no more rows."""
        self._is_stopped = True


class PlanRows(Stoppable[PlanRow | RowFault]):
    """The rows of a plan as they come; each was checked by itself."""


async def hand_over(
    rows: RowSource, work: Callable[[Iterable[AnyRow]], T], thread: Executor, discard: Callable[[T], object]
) -> T:
    """Do something with rows in a thread, wherever they come from. Raises what `work` and `rows` raise.

    If this is cancelled, no further row is read, and the thread has ended when this raises; `discard` is called
    there with what `work` returned nevertheless.
    """
    loop = asyncio.get_running_loop()
    stream = _make_stoppable(rows)
    try:
        working = run_in_thread(partial(work, stream), thread)
    except NoThreadError as error:
        text = f"The plan was not read: it needs a thread ({error.strerror}); try again later."
        raise JournalError(text) from None
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        stream.stop()
        await _wait(working)
        if not working.cancelled() and working.exception() is None:
            await _wait(loop.run_in_executor(thread, discard, working.result()))
        raise
    except Exception:
        if stream.failure is not None:
            raise stream.failure from None
        raise


def _make_stoppable(rows: RowSource) -> Stream | PlanRows | Stoppable[AnyRow]:
    """Rows of a plan stay what they are: by their type they are known to be checked."""
    if isinstance(rows, AsyncIterable):
        return Stream(rows)
    return rows if isinstance(rows, PlanRows) else Stoppable(rows)


async def _wait(working: asyncio.Future[T]) -> None:
    """Wait for a thread, however often this is cancelled: what it has open would be used by two otherwise."""
    while not working.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([working])
