"""What each database makes of the same statements: the same."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from msgspec import Struct

from leadconnector_async import JournalError, PlanError
from leadconnector_async.exceptions import RowFault
from leadconnector_async.jobs import PlanRow, RowOutcome
from leadconnector_async.jobs.journal import counts, facts, instructions, preparing, reviewing, rows
from leadconnector_async.jobs.journal.facts import Count, Text
from leadconnector_async.jobs.journal.groups import Entry, Hold
from leadconnector_async.jobs.journal.preparing import BusyTime, CheckResult
from leadconnector_async.jobs.journal.protocol import FenceLostError, Journal, ValueRefusedError
from leadconnector_async.jobs.states import RowState
from leadconnector_async.models import Appointment, AppointmentUpdate
from leadconnector_async.reschedule.plan import Difference

from .conftest import MakeJournal, make_plan

UPDATE = AppointmentUpdate(title="Visit")
START = datetime(2027, 3, 10, 9, tzinfo=UTC)
EVENT = Appointment(id="event0", title="Before", start_time=START, calendar_id="cal")


class Counts(Struct, frozen=True, array_like=True):
    """What is counted of a location."""

    applied: int
    unchanged: int
    not_changed: int
    unknown: int


def at(journal: Journal, location: str, epoch: int = 0) -> Journal:
    return journal.at(Hold(journal.hold.job, location, epoch))


def read_counts(journal: Journal, location: str) -> Counts | None:
    query = "SELECT applied, unchanged, not_changed, unknown FROM locations WHERE job = ? AND location = ?"
    return journal.read_one(Counts, query, (journal.hold.job, location))


def find(number: int) -> tuple[int, CheckResult, Appointment, float]:
    """A row as it was prepared."""
    busy = BusyTime("anna", 1000 + number, 2000 + number)
    result = CheckResult("pending", (UPDATE,), (Difference("title", "Before", "Visit"),), busy, busy)
    return number, result, EVENT, 1.5


def prepare(journal: Journal, location: str = "loc0") -> Journal:
    """All rows of a location are pending."""
    here = at(journal, location)
    unread = preparing.list_unread("to prepare", 100, here)
    with here.commit():
        preparing.write_findings([find(one.number) for one in unread], here)
        preparing.write_order([(one.number, 0, ()) for one in unread], here)
    return here


def end(number: int, state: RowState, **changes: object) -> Entry:
    outcome = RowOutcome(line=1, event_id="e", state=state, attempts=1, **changes)  # type: ignore[arg-type]
    return rows.finish(number, outcome, 1000.5, 0.25, EVENT)


def write(journal: Journal, *entries: Entry) -> None:
    """As the writer does."""
    for entry in entries:
        entry.hold = journal.hold
    journal.commit_entries(entries)


def take(journal: Journal, location: str) -> Journal:
    """Somebody takes a location: the journal that holds it."""
    statement = "UPDATE locations SET epoch = epoch + 1 WHERE job = ? AND location = ?"
    journal.write(statement, (journal.hold.job, location))
    found = journal.read_one(
        Count, "SELECT epoch FROM locations WHERE job = ? AND location = ?", (journal.hold.job, location)
    )
    assert found is not None
    return at(journal, location, found.number)


def list_states(journal: Journal) -> list[str]:
    query = "SELECT state FROM rows WHERE job = ? ORDER BY number"
    return [one.text for one in journal.read(Text, query, (journal.hold.job,))]


def test_a_plan_is_loaded(journal: Journal) -> None:
    """Rows, locations, what is known of the job, and the digest of the plan."""
    assert preparing.list_locations(journal) == ["loc0", "loc1"]
    assert counts.summarize(journal).counts == {"loaded": 12}
    assert counts.count_locations(journal) == 2
    assert facts.get_fact("location", journal) == "home"
    assert facts.get_fact("plan", journal) == facts.get_fact("plan", journal.at(Hold(journal.hold.job, "loc1")))
    assert facts.get_fact("nothing", journal) is None


def test_all_bad_rows_of_a_plan_are_named(make_journal: MakeJournal) -> None:
    """Those about the same event by their lines."""
    with pytest.raises(PlanError) as caught:
        make_journal([*make_plan(), PlanRow(20, "event3", UPDATE, "loc1"), RowFault(21, "title", "bad", "")])
    assert [(fault.line, fault.column) for fault in caught.value.faults] == [(20, "event_id"), (21, "title")]
    with pytest.raises(PlanError, match="no rows"):
        make_journal([])


def test_jobs_do_not_see_each_other(make_journal: MakeJournal) -> None:
    """Neither rows nor facts, where they are in one database."""
    first, second = make_journal(), make_journal(make_plan(4))
    prepare(first)
    facts.set_fact("options", "{}", first)
    assert counts.summarize(second).counts == {"loaded": 4}
    assert facts.get_fact("options", second) != "{}"
    assert counts.summarize(first).counts == {"loaded": 6, "pending": 6}


def test_a_row_is_prepared_sent_and_finished(journal: Journal) -> None:
    """Everything that is written of it comes back as it was, and it is counted."""
    here = prepare(journal)
    [first, *_] = rows.fetch_open((-2, 0), 10, here)
    assert (first.number, first.event_id, first.state, first.read_at) == (1, "event0", "pending", 1.5)
    assert first.before.start_time == START
    assert [update.title for update in first.updates] == ["Visit"]
    assert not preparing.has_sent(journal)
    instructions.start_sending(10.0, journal)
    write(here, rows.intend(1, 20.0), rows.intend(3, 20.0, repeated=True), rows.intend(5, 20.0))
    assert preparing.has_sent(journal)
    write(
        here,
        end(1, "applied", new_event_id="other", trace_id="t"),
        end(3, "unknown", reason="lost"),
        end(5, "failed"),
    )
    assert [row.number for row in rows.fetch_open((-2, 0), 10, here)] == [7, 9, 11]
    one, three, five = rows.find_outcomes([1, 3, 5], here)
    assert (one.state, one.new_event_id, one.trace_id, one.attempts, one.repeated) == (
        "applied",
        "other",
        "t",
        1,
        False,
    )
    assert (three.state, three.reason, three.repeated) == ("unknown", "lost", True)
    assert (five.state, five.trace_id, five.new_event_id) == ("failed", None, None)
    assert read_counts(journal, "loc0") == Counts(1, 0, 1, 1)
    assert read_counts(journal, "loc1") == Counts(0, 0, 0, 0)
    assert counts.find_last_change(journal) == 1000.5
    totals = counts.read_totals(journal)
    assert (totals.requests, totals.first_sent, totals.last_done) == (3, 20.0, 1000.5)


def test_integers_are_taken_where_seconds_are_meant(journal: Journal) -> None:
    """Beside fractions, and beside nothing: psycopg alone refuses such lists."""
    here = prepare(journal)
    write(here, rows.intend(1, 20), rows.intend(3, 20.5), rows.intend(5, True))
    with here.commit():
        preparing.write_readings([(1, 3), (3, 4.5)], here)
    query = "SELECT sent_at FROM rows WHERE job = ? AND location = ? AND sent_at IS NOT NULL ORDER BY number"

    class Sent(Struct, array_like=True):
        at: float

    assert [one.at for one in journal.read(Sent, query, (journal.hold.job, "loc0"))] == [20.0, 20.5, 1.0]


def test_other_entries_change_the_row_that_they_name(journal: Journal) -> None:
    """Withdrawn, put behind, postponed; and the pauses of a location."""
    here = prepare(journal)
    write(here, rows.intend(1, 1.0), rows.give_back(1), rows.intend(3, 1.0), rows.postpone(3, 7, "taken"))
    write(here, rows.put_behind(5, 9, "later"), rows.record_moment(5.0, "paused", 2.5))
    assert [(row.number, row.rank, row.state) for row in rows.fetch_open((-2, 0), 10, here)] == [
        *((number, 0, "pending") for number in (1, 7, 9, 11)),
        (3, 7, "pending"),
        (5, 9, "pending"),
    ]
    [pause] = counts.list_pauses(journal)
    assert (pause.location, pause.at, pause.seconds) == ("loc0", 5.0, 2.5)


def test_rows_of_another_location_are_not_touched(journal: Journal) -> None:
    """Whatever its numbers: a fence covers what a statement can change."""
    prepare(journal)
    here = prepare(journal, "loc1")
    with here.commit():
        preparing.write_readings([(2, 9.0)], here)
        preparing.refuse(3, RowFault(1, "", "not mine", ""), here)
    write(here, rows.give_back(3), rows.postpone(3, 7, "not mine"), rows.put_behind(3, 7, "not mine"))
    assert rows.find_outcomes([3], here) == []
    [row] = rows.find_standings([3], at(journal, "loc0"))
    assert (row.state, row.rank) == ("pending", 0)


def test_order_cycles_and_parking(journal: Journal) -> None:
    """A row out of the way has the number of the other, negative, comes first, and is not counted."""
    here = prepare(journal)
    assert preparing.is_ordered(here)
    assert not preparing.is_ordered(at(journal, "loc1"))
    assert [move.number for move in preparing.list_moves(here)] == [1, 3, 5, 7, 9, 11]
    assert preparing.is_wanted("anna", 1500, 1600, here)
    assert not preparing.is_wanted("anna", 5000, 6000, here)
    with here.commit():
        preparing.add_parking(3, (UPDATE, UPDATE), (3, 5), here)
        preparing.write_order([(7, 2, (3, 5))], here)
        rows.recount(here)
    first, *others = rows.fetch_open((-2, 0), 10, here)
    assert (first.number, first.parks, first.rank) == (-3, 3, -1)
    assert {row.number: row.waits_for for row in others if row.waits_for} == {3: (-3,), 5: (-3,), 7: (3, 5)}
    write(here, rows.intend(-3, 1.0))
    assert [update.title for update in rows.find_parking(3, here)] == ["Visit", "Visit"]
    write(here, end(-3, "applied"))
    assert read_counts(journal, "loc0") == Counts(0, 0, 0, 0)
    assert rows.count_open(journal) == {"loc0": 6}
    write(here, rows.take_back(3, "moved back"))
    assert rows.find_parking(3, here) == ()
    with here.commit():
        preparing.leave_out(3, "skipped", "changed", 2.0, here)
        preparing.skip([5, 7], "cycle", here)
        rows.recount(here)
    assert read_counts(journal, "loc0") == Counts(0, 0, 3, 0)


def test_rows_are_read_again(journal: Journal) -> None:
    """All of them, or the next ones of a location; those that an event names."""
    here = prepare(journal)
    assert preparing.list_unread("to prepare", 10, here) == []
    assert preparing.forget_next((-2, 0), 2, here) == (0, 3)
    assert [row.number for row in preparing.list_unread("to prepare", 10, here)] == [1, 3]
    preparing.forget_readings(journal)
    unread = preparing.match_unread("to prepare", ["event4", "event1", "event10"], here)
    assert sorted(row.event_id for row in unread) == ["event10", "event4"]
    row = preparing.read_row(5, here)
    assert (row.line, row.state, row.planned[0].title) == (6, "pending", "Visit")
    with pytest.raises(JournalError, match="no row 2"):
        preparing.read_row(2, here)
    assert [row.line for row in preparing.read_rows([5, 1, 3, 1], here)] == [6, 2, 4, 2]
    assert preparing.read_rows([], here) == []
    with pytest.raises(JournalError, match="no row 2"):
        preparing.read_rows([1, 2], here)


def test_failed_rows_are_tried_again(journal: Journal) -> None:
    """And are counted no more."""
    here = prepare(journal)
    write(here, end(1, "failed"), end(3, "skipped"), end(5, "applied"))
    assert read_counts(journal, "loc0") == Counts(1, 0, 2, 0)
    assert rows.retry_failed(journal) == 2
    assert read_counts(journal, "loc0") == Counts(1, 0, 0, 0)
    assert [row.number for row in preparing.list_unread("to prepare", 10, here)] == [1, 3]


def test_a_location_that_has_ended_is_open_again_when_rows_of_it_are_requeued(journal: Journal) -> None:
    """For workers that go on with the others; a pause stays, a cancellation does not."""
    here = prepare(journal)
    write(here, end(1, "failed"), end(3, "applied"), end(5, "applied"))
    for wanted, then in (("pause", "pause"), ("cancel", "run")):
        journal.write("UPDATE locations SET ended = 1 WHERE job = ?", (journal.hold.job,))
        journal.write("UPDATE jobs SET wanted = ? WHERE id = ?", (wanted, journal.hold.job))
        rows.retry_failed(journal)
        assert instructions.read_instructions(journal).wanted == then
        query = "SELECT rows FROM locations WHERE job = ? AND location = ? AND ended = 0"
        assert journal.read_one(Count, query, (journal.hold.job, "loc0"))


def test_verdicts(journal: Journal) -> None:
    """Written again, listed, and what follows for rows whose outcome is unknown."""
    here = prepare(journal)
    write(here, end(1, "unknown"), end(3, "unknown"), end(5, "applied"))
    assert reviewing.list_unknown(journal) == ["loc0"]
    assert reviewing.has_unknown(here)
    assert reviewing.begin_review("sent", here)
    assert not reviewing.begin_review("sent", at(journal, "loc1"))
    for verdict in ("differs", "as_planned"):
        with here.commit():
            reviewing.write_verdict(1, verdict, "one", EVENT, 3.0, here)  # type: ignore[arg-type]
            reviewing.write_verdict(3, "as_before", "", None, 3.0, here)
    assert reviewing.count_reviewed(journal) == 2
    [outcome] = reviewing.list_reviewed(["as_planned", "gone"], journal)
    assert (outcome.event_id, outcome.reason) == ("event0", "one")
    [back] = reviewing.list_changed(["as_planned"], journal)
    assert (back.event_id, back.id_now, back.fields, back.verdict) == ("event0", "event0", ["title"], "as_planned")
    assert back.seen is not None
    assert back.seen.title == "Before"
    assert reviewing.read_sent(5, here).planned.title == "Visit"
    assert reviewing.resolve_unknown(here) == reviewing.Resolved(applied=1, again=1)
    assert not reviewing.has_unknown(here)
    assert [one.state for one in rows.find_outcomes([1, 3], here)] == ["applied", "pending"]
    assert read_counts(journal, "loc0") == Counts(2, 0, 0, 0)


def test_reports_count_and_list(journal: Journal) -> None:
    """Numbers are numbers, never decimals, and lists come in the same order."""
    here = prepare(journal)
    prepare(journal, "loc1")
    write(here, end(1, "applied"), end(3, "failed", reason="no"), end(5, "unknown", repeated=True))
    with here.commit():
        preparing.write_faults([RowFault(9, "title", "bad", "fix it")], here)
    assert counts.count_by_location(journal) == {
        "loc0": {"applied": 1, "failed": 1, "unknown": 1, "pending": 3},
        "loc1": {"pending": 6},
    }
    summary = counts.summarize(journal)
    assert summary.repeated == 1
    assert counts.count_requests(journal) == {"loc0": 3, "loc1": 6}
    assert [row.line for row in counts.list_changes(journal)][:2] == [3, 5]
    assert [(row.line, row.state) for row in counts.list_reported(journal)][:2] == [(2, "applied"), (3, "pending")]
    assert counts.list_faults(5, journal) == ([RowFault(9, "title", "bad", "fix it")], 1)
    [failed] = counts.list_rows("not changed", journal)
    assert (failed.event_id, failed.reason, failed.planned[0].title) == ("event2", "no", "Visit")
    assert [row.event_id for row in counts.list_rows("unknown", journal, most=1)] == ["event4"]
    assert [(day.before, day.now, day.count) for day in counts.count_days(journal)] == [(0, 0, 12)]
    assert [(one.slot, one.count) for one in counts.count_latencies(journal)] == [(2500, 3)]


def test_slots_of_time_are_the_same_on_both(journal: Journal) -> None:
    """A cast truncates here and rounds there, and a millisecond of today does not fit into four bytes."""
    first = 1_800_000_000.25
    moments = {1: 0.0, 3: 0.0007, 5: 0.0496, 7: 0.0499, 9: 0.05, 11: 0.1499}
    here = prepare(journal)
    for number, after in moments.items():
        outcome = RowOutcome(line=1, event_id="e", state="applied")
        write(here, rows.finish(number, outcome, first + after, after, None))
    assert [(one.slot, one.count) for one in counts.count_finished(first, 0.05, journal)] == [
        (0, 2),
        (1, 3),
        (3, 1),
    ]
    assert [(one.slot, one.count) for one in counts.count_latencies(journal)] == [
        (7, 1),
        (496, 1),
        (499, 1),
        (500, 1),
        (1499, 1),
    ]


def test_text_sorts_by_its_bytes(make_journal: MakeJournal) -> None:
    """Whatever the language of the server."""
    names = ["b", "Z", "a", "é", "_", "10", "9"]
    journal = make_journal([PlanRow(n, f"event{n}", UPDATE, name) for n, name in enumerate(names, 2)])
    query = "SELECT location FROM rows WHERE job = ? ORDER BY location"
    assert [one.text for one in journal.read(Text, query, (journal.hold.job,))] == sorted(names)


HOSTILE = "a\0b\udcffc%s?'\\"


def test_text_of_a_server_is_stored_whatever_it_holds(journal: Journal) -> None:
    """What a database refuses is replaced, and nothing of it is read as SQL."""
    here = prepare(journal)
    shown = "a\ufffdb\ufffdc%s?'\\"
    write(here, end(1, "failed", reason=HOSTILE, trace_id=HOSTILE, new_event_id=HOSTILE))
    write(here, rows.postpone(3, 1, HOSTILE), rows.take_back(3, HOSTILE))
    with here.commit():
        preparing.leave_out(5, "skipped", HOSTILE, 1.0, here)
        preparing.skip([7], HOSTILE, here)
        preparing.refuse(9, RowFault(3, "title", HOSTILE, HOSTILE), here)
        reviewing.write_verdict(1, "differs", HOSTILE, None, 1.0, here)
        result = CheckResult(
            "pending", reason=HOSTILE, before=BusyTime(HOSTILE, 1, 2), after=BusyTime(HOSTILE, 1, 2)
        )
        preparing.write_findings([(11, result, None, 1.0)], here)
    found = rows.find_outcomes([1, 3, 5, 7, 9, 11], here)
    assert [one.reason for one in found] == [shown] * 6
    assert (found[0].trace_id, found[0].new_event_id) == (shown, shown)
    assert counts.list_faults(1, journal)[0] == [RowFault(3, "title", shown, shown)]
    assert preparing.is_wanted(HOSTILE, 0, 3, here)


def test_a_refused_value_fails_alone(make_journal: MakeJournal) -> None:
    """It does not look as if the database were away, and the journal can still be used."""
    here, value = prepare(make_journal()), "\udcff"
    statement = "UPDATE rows SET reason = ? WHERE job = ? AND location = ?"
    with pytest.raises(ValueRefusedError):
        write(here, rows.intend(1, 1.0), Entry(statement, (value,)))
    with pytest.raises(ValueRefusedError), here.commit():
        here.write(statement, (value, here.hold.job, "loc0"))
    assert [row.state for row in rows.fetch_open((-2, 0), 1, here)] == ["pending"]
    write(here, rows.intend(1, 1.0))
    assert [row.state for row in rows.fetch_open((-2, 0), 1, here)] == ["sent"]


def test_rows_come_one_by_one_and_nothing_else_meanwhile(journal: Journal) -> None:
    """A result is not held as a whole, and both databases refuse a second statement until the last row."""
    query = "SELECT event_id FROM rows WHERE job = ? ORDER BY number"
    rows_of_job = journal.stream(
        Text, "SELECT event_id FROM rows WHERE job = ? ORDER BY number", (journal.hold.job,)
    )
    assert next(rows_of_job).text == "event0"
    for ask in (
        lambda: counts.summarize(journal),
        lambda: facts.set_fact("name", "value", journal),
        lambda: next(journal.stream(Text, query, (journal.hold.job,))),
        lambda: write(at(journal, "loc0"), rows.intend(1, 1.0)),
        lambda: begin(journal),
    ):
        with pytest.raises(JournalError, match="still being read"):
            ask()
    assert len(list(rows_of_job)) == 11
    facts.set_fact("name", "value", journal)
    some = journal.stream(Text, query, (journal.hold.job,))
    assert isinstance(some, Iterator)
    next(some)
    some.close()  # type: ignore[attr-defined] # a generator
    assert counts.summarize(journal).counts == {"loaded": 12}


def begin(journal: Journal) -> None:
    with journal.commit():
        pass


def test_a_lost_location_is_not_written(journal: Journal) -> None:
    """By its entries and by what is prepared; all of a transaction or nothing."""
    prepare(journal)
    mine = take(journal, "loc0")
    write(mine, rows.intend(1, 1.0), end(3, "applied"))
    theirs = take(journal, "loc0")
    with pytest.raises(FenceLostError):
        write(mine, end(1, "applied"), rows.intend(5, 1.0))
    with pytest.raises(FenceLostError), mine.commit():
        preparing.write_readings([(5, 7.0)], mine)
    assert [one.state for one in rows.find_outcomes([1, 3, 5], mine)] == ["sent", "applied", "pending"]
    write(theirs, end(1, "applied"))
    assert read_counts(journal, "loc0") == Counts(2, 0, 0, 0)


def refuse_and_fail(journal: Journal) -> None:
    with journal.commit():
        preparing.refuse(1, RowFault(1, "", "no", ""), journal)
        preparing.read_row(2, journal)


def test_a_transaction_is_all_or_nothing(journal: Journal) -> None:
    """Of what is written inside, and of entries."""
    here = prepare(journal)
    with pytest.raises(JournalError):
        refuse_and_fail(here)
    with pytest.raises(JournalError):
        write(here, rows.intend(1, 1.0), Entry("UPDATE nothing SET a = ? WHERE job = ? AND location = ?", (1,)))
    assert {one.state for one in rows.find_outcomes([1, 3], here)} == {"pending"}
    assert counts.list_faults(5, journal) == ([], 0)
    write(here, rows.intend(1, 1.0))


def test_purged_rows_do_not_come_back(journal: Journal) -> None:
    """A worker that was frozen while its job was purged adds nothing to the database."""
    here = prepare(journal)
    for table in ("rows", "locations"):
        journal.write(f"DELETE FROM {table} WHERE job = ? AND location = ?", (journal.hold.job, "loc0"))  # noqa: S608
    if hasattr(journal, "session"):
        write(here, rows.intend(1, 1.0))
        assert len(list_states(journal)) == 6
