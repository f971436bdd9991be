"""One row of a plan: which appointment changes, and to what."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Final, cast

import msgspec
from msgspec import UNSET, Struct

from ..._api.convert import KEEP_ONE, describe_repeated, is_convertible, suggest, to_payload
from ..._api.fields import BY_NAME, IDS, INSTRUCTIONS, PLANNED, TEXTS, TIMES
from ..._api.request import encode_id
from ..._api.validate import check_update
from ..._validation.arguments import describe
from ..._validation.moments import BadMoment
from ..._validation.text import escape, shorten, show
from ...exceptions import InvalidRequestError, RowFault
from ...models import AppointmentUpdate
from .shift import BadZone, Shift, fix_offset, parse_shift, place
from .shown_times import WRITE, DateFormat, read_shown_time
from .spelling import find_truth, find_word, is_rounded_number, is_sheet_error, list_spellings, squash

IGNORED: Final = "outcome_"
"""How the columns begin that a job writes for people to read, and ignores when they are fed back."""

_FIELDS: Final = frozenset(AppointmentUpdate.__struct_fields__)
_FREE_TEXTS: Final = TEXTS | {f"before_{name}" for name in TEXTS}
_IDS: Final = IDS | {f"before_{name}" for name in IDS} | {"location_id"}
_ZONE_HINT: Final = "write it with an offset, or name a zone in a column timezone"
_OTHERS: Final = ("event_id", "location_id", "shift", "timezone", *(f"before_{name}" for name in PLANNED))
_NAMES: Final = (*AppointmentUpdate.__struct_fields__, *_OTHERS)
COLUMNS: Final = {
    spelling: name
    for name in _NAMES
    for spelling in (name, name.split("_")[0] + "".join(word.title() for word in name.split("_")[1:]))
}
_SPELLINGS: Final = list_spellings(_NAMES)


class Precondition(Struct, frozen=True, omit_defaults=True):
    """The state that a plan was made from. What is `None` is not compared."""

    start_time: datetime | None = None
    """When it begins."""
    end_time: datetime | None = None
    """When it ends."""
    appointment_status: str | None = None
    """Its status."""
    assigned_user_id: str | None = None
    """Its assignee."""
    calendar_id: str | None = None
    """Its calendar."""
    title: str | None = None
    """Its title."""
    address: str | None = None
    """Its meeting location."""
    description: str | None = None
    """Its description."""


class PlanRow(Struct, frozen=True):
    """One row that was checked."""

    line: int
    """Line of the file on which the row ends, the header of a CSV file being line 1; in a workbook, the row."""
    event_id: str
    """The appointment."""
    update: AppointmentUpdate = AppointmentUpdate()
    """What shall be set; the times in it are on the wire's form."""
    location_id: str | None = None
    """`None`: the location of the client."""
    shift: Shift | None = None
    """How far the appointment moves, instead of new times."""
    timezone: str | None = None
    """IANA name of the zone of times without an offset, and of the clock that a shift by days keeps."""
    before: Precondition | None = None
    """What the appointment must still look like."""


class BadRow(ValueError):  # noqa: N818 - it never leaves the reading of a row
    """What is wrong with a row, until its line is known."""

    def __init__(self, column: str, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason
        self.hint = hint


def name_column(spelling: object) -> str | None:
    """The field that a column's header means, such as `Start Time`; `None` for a column that is ignored.

    Raises `BadRow` for an unknown one.
    """
    if isinstance(spelling, str) and spelling in COLUMNS:  # nearly always
        return COLUMNS[spelling]
    seen = strip_unseen(spelling) if isinstance(spelling, str) else show(spelling)
    if seen.startswith(IGNORED) or not seen:
        return None
    name = _SPELLINGS.get(squash(seen))
    if name is None:
        hint = suggest(seen, _NAMES) or "use event_id, shift, or a field of AppointmentUpdate"
        raise BadRow(escape(shorten(seen)), "unknown column", hint)
    return name


def name_cells(cells: Iterable[tuple[object, object]]) -> dict[str, object]:
    """Cells by their field. Raises `BadRow` for unknown names, and for two names of one field."""
    named: dict[str, object] = {}
    spellings: dict[str, object] = {}
    for spelling, cell in cells:
        name = COLUMNS.get(spelling) if type(spelling) is str else None
        if name is None and (name := name_column(spelling)) is None:
            continue
        if name in named:
            raise BadRow(name, describe_repeated(spellings[name], spelling), KEEP_ONE)
        named[name], spellings[name] = cell, spelling
    return named


def read_row(
    line: int, cells: Mapping[str, object], timezone: str | None = None, order: DateFormat | None = None
) -> PlanRow | RowFault:
    """Check one row.

    `cells` holds what is filled in, by field; `timezone` is for rows that name none, `order` for dates with two
    meanings.
    """
    try:
        return _read_row(line, cells, timezone, order)
    except (BadRow, InvalidRequestError) as error:
        return build_fault(line, error)


def check_row_of_code(row: PlanRow) -> PlanRow | RowFault:
    """Check a row that was made in Python, as one of a file is checked."""
    try:
        update = _check_types(row)
        values = {name: value for name in update.__struct_fields__ if (value := getattr(update, name)) is not UNSET}
        _check_id(row.event_id)
        for name, value in (("location_id", row.location_id), *values.items()):
            if name in _IDS:
                _check_is_seen(name, value)
        return msgspec.structs.replace(row, update=_check(values, row.shift))
    except (BadRow, InvalidRequestError) as error:
        return build_fault(row.line, error)


def explain_no_location(line: int) -> RowFault:
    """The fault of a row that names no location, where the client has none either."""
    hint = "add location_id, or pass client.for_location(…)"
    return RowFault(line, "location_id", "neither the row nor the client has a location", hint)


def build_fault(line: int, error: BadRow | InvalidRequestError) -> RowFault:
    """The fault of a row."""
    if isinstance(error, BadRow):
        return RowFault(line, error.column, error.reason, error.hint)
    return RowFault(line, error.field or "", describe(error.value, error.reason), error.hint)


def _check_id(event_id: str) -> None:
    if not event_id:
        raise BadRow("event_id", "it is empty", "give the id of an event or of an instance")
    if not event_id.isprintable():
        _check_is_seen("event_id", event_id)
    if is_rounded_number(event_id):
        raise BadRow(
            "event_id",
            f"{show(event_id)} is a number that a spreadsheet made of the id",
            "format the column as text",
        )
    encode_id(event_id)


def _check_types(row: PlanRow) -> AppointmentUpdate:
    """Nothing checks the types of a Struct that is made in Python."""
    given = cast("object", row.update)
    if not isinstance(given, AppointmentUpdate) and not is_convertible(given):
        hint = "pass AppointmentUpdate(…), a mapping or a pydantic model"
        raise BadRow("update", f"{show(given)} is not an AppointmentUpdate", hint)
    if row.location_id is not None and not (isinstance(row.location_id, str) and row.location_id.strip()):
        raise BadRow("location_id", f"{show(row.location_id)} is not an id", "pass the id as the API shows it")
    return to_payload(given, AppointmentUpdate)


def _check_is_seen(name: str, value: object) -> None:
    """An id with a character that nobody sees is not the id that it looks like."""
    if isinstance(value, str) and (unseen := find_unseen(value)):
        raise BadRow(name, f"{show(value)} contains {unseen}, which is invisible", "remove that character")


def _read_row(line: int, cells: Mapping[str, object], timezone: str | None, order: DateFormat | None) -> PlanRow:
    values: dict[str, object] = {}
    before: dict[str, object] = {}
    others: dict[str, str] = {}
    zone = _read_text("timezone", cells["timezone"]) if "timezone" in cells else timezone
    for name, cell in cells.items():
        if name in _FIELDS:
            values[name] = _read_cell(name, cell, zone, order)
        elif name.startswith("before_"):
            before[name.removeprefix("before_")] = _read_before(name, cell)
        elif name != "timezone":
            others[name] = _read_text(name, cell)
    if "rrule" in values:
        raise BadRow("rrule", "a plan does not change the rule of a series", "use update_appointment")
    event_id = others.get("event_id", "")
    _check_id(event_id)
    shift = _read_shift(others, values, zone)
    return PlanRow(
        line,
        event_id,
        _check(values, shift),
        others.get("location_id"),
        shift,
        zone if shift is not None or _uses_zone(values, cells) else None,
        Precondition(**before) if before else None,  # type: ignore[arg-type] # each was read as its kind
    )


def _uses_zone(values: Mapping[str, object], cells: Mapping[str, object]) -> bool:
    """Whether a time has no offset of its own: text with one stays text."""
    return any(
        isinstance(values.get(name), datetime) and getattr(cells[name], "tzinfo", None) is None for name in TIMES
    )


def _check(values: dict[str, object], shift: Shift | None) -> AppointmentUpdate:
    if not values and shift is not None:
        return AppointmentUpdate()
    update = AppointmentUpdate(**values)  # type: ignore[arg-type] # the check follows
    wire = check_update(update, "v3")
    if wire.start_time is UNSET and wire.end_time is UNSET:
        return update
    return msgspec.structs.replace(update, start_time=wire.start_time, end_time=wire.end_time)


def _read_cell(name: str, cell: object, zone: str | None, order: DateFormat | None) -> object:
    if name in INSTRUCTIONS:
        truth = cell if isinstance(cell, bool) else find_truth(str(cell).strip(_AROUND))
        if truth is None:
            raise BadRow(name, f"{show(cell)} is neither true nor false", "write true or false")
        return truth
    if name not in TIMES:
        text = _read_text(name, cell)
        return find_word(text, choices) if (choices := BY_NAME[name].choices) else text
    if isinstance(cell, datetime):
        return _read_moment(name, cell, zone)
    return _read_time(name, _read_text(name, cell), zone, order)


def _read_text(name: str, cell: object) -> str:
    if isinstance(cell, Enum):
        cell = cell.value
    if not isinstance(cell, str):
        raise BadRow(name, f"{show(cell)} is not a string", "write it in quotation marks")
    text = cell if type(cell) is str else str.__str__(cell)
    if is_sheet_error(text):
        raise BadRow(name, f"{show(text)} is what a spreadsheet shows instead of a value", "correct the cell")
    if not text.isascii() and (unread := _UNREAD.search(text)):
        raise _refuse_bytes(name, text, unread[0])
    if name in _FREE_TEXTS:
        return text
    if text.isascii() and text.isprintable():
        return text.strip()
    text = strip_unseen(text)
    if name in _IDS:
        _check_is_seen(name, text)
    return text


def _refuse_bytes(name: str, text: str, first: str) -> BadRow:
    """What is not UTF-8 can be in any of a hundred encodings; the usual one shows what is meant."""
    guess = text.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
    reason = (
        f"the byte 0x{ord(first) - 0xDC00:02X} is not valid UTF-8 (in Windows' cp1252 the cell is {show(guess)})"
    )
    return BadRow(name, reason, 'save the plan as "CSV UTF-8", or set the encoding')


def _read_moment(name: str, moment: datetime, zone: str | None, text: str = "") -> datetime:
    """A Python datetime: wall-clock time in the row's zone, unless it has an offset."""
    if moment.tzinfo is not None:
        return moment
    if moment != moment:  # noqa: PLR0124 - pandas.NaT, which is a datetime that is missing
        raise BadRow(name, f"{show(moment)} is not a time", "leave it out to keep it")
    if zone is None:
        raise BadRow(name, f"{shorten(text or moment.isoformat())} has no offset", _ZONE_HINT)
    try:
        placed = place(moment, zone)
    except BadZone as bad:
        raise BadRow("timezone", bad.reason, bad.hint) from None
    except ValueError as error:
        raise BadRow(name, str(error)) from None
    # Its zone has been heard: at a fixed offset nobody asks it again.
    return datetime.combine(placed, placed.time(), fix_offset(placed))


def _read_time(name: str, text: str, zone: str | None, order: DateFormat | None) -> datetime | str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        shown = _read_shown(name, text, order)
        if shown is None:
            return text  # the check of the update says what is wrong
        return _read_moment(name, shown, zone, text)
    if "T" not in text and " " not in text:
        raise BadRow(name, f"{shorten(text)} has no time of day", WRITE)
    return text if moment.tzinfo is not None else _read_moment(name, moment, zone, text)


def _read_shown(name: str, text: str, order: DateFormat | None) -> datetime | None:
    try:
        return read_shown_time(text, order)
    except BadMoment as bad:
        raise BadRow(name, bad.reason, bad.hint) from None


def _read_before(name: str, cell: object) -> object:
    is_time = name.endswith("_time")
    text = _read_text(name, cell.isoformat() if is_time and isinstance(cell, datetime) else cell)
    if not is_time:
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        reason = f"{show(text)} is not a time in ISO 8601"
        raise BadRow(name, reason, "leave the column as it was planned") from None
    if moment.tzinfo is None:
        raise BadRow(name, f"{shorten(text)} has no offset", "leave the column as it was planned")
    return moment


def _read_shift(others: Mapping[str, str], values: Mapping[str, object], zone: str | None) -> Shift | None:
    text = others.get("shift")
    if text is None:
        return None
    if values.keys() & TIMES:
        raise BadRow("shift", "the row has new times as well", "give either shift or start_time")
    try:
        shift = parse_shift(text)
        if shift.days and zone is not None:
            place(datetime(2027, 1, 1, 12), zone)
    except BadZone as bad:
        raise BadRow("timezone", bad.reason, bad.hint) from None
    if shift.days and zone is None:
        hint = "name it in a column timezone, or give hours"
        raise BadRow("shift", "a shift by days keeps the time of day, and so needs a time zone", hint)
    return shift


_BLANKS: Final = (
    " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u2028\u2029\u202f\u205f\u3000"
)
_ZERO_WIDTH: Final = "\xad\u180e\u200b\u200c\u200d\u2060\ufeff"
_MARKS: Final = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069"
"""Characters that are copied along with an id, and seen by nobody."""
_AROUND: Final = _BLANKS + _ZERO_WIDTH + _MARKS
_UNREAD: Final = re.compile("[\udc80-\udcff]")
"""Bytes that are not valid in the encoding of the plan, as they are kept when it is opened."""
_FORMULA: Final = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_QUOTE: Final = "'"


def is_blank(text: str) -> bool:
    """Whether there is nothing to be seen."""
    return not text.strip(_AROUND)


def strip_unseen(text: str) -> str:
    """Strip whitespace and characters without a width."""
    return text if text.isascii() and text.isalnum() else text.strip(_AROUND)


def find_unseen(text: str) -> str | None:
    """The first character without a width, by its code and name; `None` if there is none."""
    if text.isprintable():
        return None
    for character in text:
        if character in _ZERO_WIDTH:
            return f"U+{ord(character):04X} ({unicodedata.name(character, 'invisible')})"
    return None


def defuse(text: str) -> str:
    """For a cell of a file that a spreadsheet may open: it must not run as a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def restore(text: str) -> str:
    """What `defuse` was given."""
    return text[1:] if text[:1] == _QUOTE and _FORMULA.match(text) else text
