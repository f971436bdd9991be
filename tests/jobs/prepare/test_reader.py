"""What is requested next to read the rows of a location: every transition, without an event loop."""

from datetime import UTC, datetime, timedelta

import pytest

from leadconnector_async._api.events import LONGEST_LIST
from leadconnector_async.jobs.journal.preparing import Unread
from leadconnector_async.jobs.prepare.reader import (
    FIRST_SPAN,
    MOST_AT_ONCE,
    MOST_MISSES,
    EventReading,
    Fetched,
    KnownTime,
    ListRange,
    RangeListed,
    ReadingState,
    ReadRows,
    RowsRead,
    next_step,
)
from leadconnector_async.models import Appointment

DAY = timedelta(days=1)
START = datetime(2026, 9, 14, 16, tzinfo=UTC)
ROWS = [Unread(number, f"ev{number}", b"") for number in range(1, 31)]
ONE = ROWS[:1]
GIVEN_UP = {"cal1": MOST_MISSES}


def read(number: int = 1, calendar_id: str | None = "cal1", start: datetime | None = START) -> EventReading:
    return EventReading(number, f"ev{number}", Appointment(calendar_id=calendar_id, start_time=start))


def cover(start: datetime, span: timedelta = FIRST_SPAN, calendar_id: str = "cal1") -> ListRange:
    """A list from a day before a time on."""
    return ListRange(calendar_id, start - DAY, start + span, span)


def fetch(rows: list[Unread], **known: KnownTime) -> Fetched:
    return Fetched(rows, {row.event_id: known.get(row.event_id) for row in rows})


def make(rows: list[Unread], known: dict[str, KnownTime] | None = None, **fields: object) -> ReadingState:
    state = ReadingState(lists=fields.pop("lists", True), **fields)  # type: ignore[arg-type]
    state.unread = {row.event_id: row for row in rows}
    state.known = {row.event_id: (known or {}).get(row.event_id) for row in rows}
    return state


def miss(calendar_id: str = "cal1") -> RangeListed:
    return RangeListed(calendar_id, FIRST_SPAN, set())


AT = ("cal1", START)
Case = tuple[ReadingState, Fetched | RowsRead | RangeListed, ReadRows | ListRange | None]
TRANSITIONS: dict[str, Case] = {
    "nothing was fetched": (make([]), fetch([]), None),
    "no time is known": (make([]), fetch(ROWS), ReadRows(ONE)),
    "its time is known": (make([]), fetch(ROWS, ev1=AT), cover(START)),
    "another's time is known": (make([]), fetch(ROWS, ev2=AT), ReadRows(ONE)),
    "its time is known, but its lists do not pay": (
        make([], misses={**GIVEN_UP, "cal2": 1}),
        fetch(ROWS, ev1=AT),
        ReadRows(ONE),
    ),
    "no lists pay": (make([], misses=dict(GIVEN_UP)), fetch(ROWS), ReadRows(ROWS[:MOST_AT_ONCE])),
    "some lists pay": (make([], misses={**GIVEN_UP, "cal2": 0}), fetch(ROWS), ReadRows(ONE)),
    "a row was read": (make(ROWS), RowsRead([read()], locates=True), cover(START)),
    "the only row was read": (make(ONE), RowsRead([read()], locates=True), cover(START)),
    "a row was read whose lists do not pay": (
        make(ROWS, misses={**GIVEN_UP, "cal2": 0}),
        RowsRead([read()], locates=True),
        ReadRows(ROWS[1:2]),
    ),
    "a row was read that shows no calendar": (
        make(ROWS),
        RowsRead([read(calendar_id=None)], locates=True),
        ReadRows(ROWS[1:2]),
    ),
    "a row was read that shows no time": (
        make(ROWS),
        RowsRead([read(start=None)], locates=True),
        ReadRows(ROWS[1:2]),
    ),
    "a row was refused": (
        make(ROWS),
        RowsRead([EventReading(1, "ev1", None, "gone")], locates=True),
        ReadRows(ROWS[1:2]),
    ),
    "the first of several was refused": (
        make(ROWS),
        RowsRead([EventReading(1, "ev1", None, "gone"), read(2)], locates=True),
        cover(START),
    ),
    "the last row was read where no list had it": (make(ONE), RowsRead([read()], locates=False), None),
    "a row was read where no list had it": (make(ROWS), RowsRead([read()], locates=False), ReadRows(ROWS[1:2])),
    "a list shows all": (make(ROWS), RangeListed("cal1", FIRST_SPAN, {row.event_id for row in ROWS}), None),
    "a list shows others": (make(ROWS), RangeListed("cal1", FIRST_SPAN, {"ev1", "ev3"}), ReadRows(ROWS[1:2])),
    "a list shows the row it was made for": (
        make(ROWS, hinted="ev1"),
        RangeListed("cal1", FIRST_SPAN, {"ev1"}),
        ReadRows(ROWS[1:2]),
    ),
    "a list does not show the row it was made for": (
        make(ROWS, hinted="ev1"),
        RangeListed("cal1", FIRST_SPAN, {"ev2"}),
        ReadRows(ONE, locates=False),
    ),
    "a list is refused": (make(ROWS), RangeListed("cal1", FIRST_SPAN, None), ReadRows(ROWS[:MOST_AT_ONCE])),
    "a list is refused that was made for a row": (
        make(ROWS, hinted="ev1"),
        RangeListed("cal1", FIRST_SPAN, None),
        ReadRows(ONE, locates=False),
    ),
    "there is no location: its time is known": (
        make([], lists=False),
        fetch(ROWS, ev1=AT),
        ReadRows(ONE, locates=False),
    ),
    "there is no location: a row was read": (
        make(ROWS, lists=False),
        RowsRead([read()], locates=True),
        ReadRows(ROWS[1 : MOST_AT_ONCE + 1]),
    ),
    "earlier rows are known": (
        make([]),
        fetch(ROWS, ev1=AT, ev2=("cal1", START - 3 * DAY)),
        ListRange("cal1", START - 4 * DAY, START, 3 * DAY),
    ),
    "later rows are known": (
        make([]),
        fetch(ROWS, ev1=AT, ev2=("cal1", START + 9 * DAY)),
        ListRange("cal1", START - DAY, START + 9 * DAY, 9 * DAY),
    ),
    "much later rows are known": (make([]), fetch(ROWS, ev1=AT, ev2=("cal1", START + 32 * DAY)), cover(START)),
    "much earlier rows are known": (
        make([]),
        fetch(ROWS, ev1=AT, ev2=("cal1", START - 60 * DAY)),
        cover(START - LONGEST_LIST / 2, LONGEST_LIST / 2),
    ),
    "rows of another calendar are known": (make([]), fetch(ROWS, ev1=AT, ev2=("cal2", START - DAY)), cover(START)),
    "a calendar's lists have grown": (
        make([], spans={"cal1": 8 * DAY}),
        fetch(ROWS, ev1=AT),
        cover(START, 8 * DAY),
    ),
}


@pytest.mark.parametrize("case", TRANSITIONS)
def test_what_is_requested_next(case: str) -> None:
    """Each row of the tables in `reader`, and its exceptions."""
    state, event, step = TRANSITIONS[case]
    assert next_step(state, event) == step


def test_a_list_grows_while_it_pays() -> None:
    """It doubles up to a month; one that shows only its own row is a miss, and a good one forgets the misses."""
    state, spans = make(ROWS), list[timedelta]()
    for _ in range(6):
        next_step(state, miss())
        assert state.misses == {"cal1": 1}
        step = next_step(state, RowsRead([read(30)], locates=True))
        assert isinstance(step, ListRange)
        spans.append(step.span)
        next_step(state, RangeListed("cal1", step.span, {"x", "y"}))
        assert state.misses == {"cal1": 0}
    assert spans == [FIRST_SPAN, 4 * DAY, 8 * DAY, 16 * DAY, LONGEST_LIST, LONGEST_LIST]


@pytest.mark.parametrize(
    ("shown", "misses"), [(set[str](), 2), ({"ev1"}, 2), ({"ev1", "ev2"}, 0), (None, MOST_MISSES)]
)
def test_a_list_pays_if_it_shows_more_than_one_row(shown: set[str] | None, misses: int) -> None:
    """The one row could have been read by itself; the hint that the list was made for is used up in any case."""
    state = make(ROWS, hinted="ev1", misses={"cal1": 1})
    next_step(state, RangeListed("cal1", FIRST_SPAN, shown))
    assert (state.misses["cal1"], state.hinted) == (misses, None)


def test_a_calendar_whose_lists_do_not_pay_is_read_event_by_event() -> None:
    """After three in a row, and only that calendar."""
    state = make(ROWS)
    for _ in range(MOST_MISSES):
        assert isinstance(next_step(state, RowsRead([read(30)], locates=True)), ListRange)
        next_step(state, miss())
    assert not isinstance(next_step(state, RowsRead([read(30)], locates=True)), ListRange)
    assert isinstance(next_step(state, RowsRead([read(30, "cal2")], locates=True)), ListRange)


def test_every_row_is_read_whatever_the_lists_show() -> None:
    """The steps come to an end, and each row is requested or shown."""
    for shown in (0, 1, 2, 7, 30):
        state, seen = make([]), list[str]()
        step = next_step(state, fetch(ROWS, ev1=AT, ev5=("cal2", START), ev9=("cal1", START + 40 * DAY)))
        while step is not None:
            if isinstance(step, ReadRows):
                seen += [row.event_id for row in step.rows]
                step = next_step(state, RowsRead([read(row.number) for row in step.rows], step.locates))
            else:
                some = list(state.unread)[-shown:] if shown else []
                seen += some
                step = next_step(state, RangeListed(step.calendar_id, step.span, set(some)))
        assert sorted(seen) == sorted(row.event_id for row in ROWS)
