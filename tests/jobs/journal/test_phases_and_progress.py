"""What moves a job on, and what is told of it: on both databases the same."""

import pytest

from leadconnector_async.jobs.journal import instructions, leases, phases, preparing, progress, reviewing, rows
from leadconnector_async.jobs.journal.facts import set_fact
from leadconnector_async.jobs.journal.groups import Hold
from leadconnector_async.jobs.journal.leases import WorkerEntry
from leadconnector_async.jobs.journal.protocol import Journal
from leadconnector_async.jobs.states import RowOutcome, Stopped

from .test_both import find

NOW = 1_000_000.0


@pytest.fixture
def journal(empty_journal: Journal) -> Journal:
    """One job of two locations with two rows each, submitted."""
    journal = empty_journal
    journal.write("INSERT INTO jobs (name, phase, submitted, rows, made_at) VALUES ('march', 'preparing', 1, 4, 5)")
    for number, location in enumerate(("loc1", "loc1", "loc2", "loc2"), 1):
        journal.write(
            "INSERT INTO rows (job, location, number, line, event_id, wanted) VALUES (1, ?, ?, ?, ?, ?)",
            (location, number, number + 1, f"event{number}", b"{}"),
        )
    for location in ("loc1", "loc2"):
        journal.write("INSERT INTO locations (job, location, rows) VALUES (1, ?, 2)", (location,))
    set_fact("options", "{}", journal)
    return journal


def take(journal: Journal, location: str) -> tuple[int, Journal]:
    """A new worker takes a location: its id, and the journal that holds it."""
    worker = leases.register(WorkerEntry(lease=6.0, host="web-3", pid=4711, version="1", slots=64), journal)
    taken = leases.take(1, location, worker, NOW, journal)
    assert taken is not None
    return worker, journal.at(Hold(1, location, taken.epoch))


def prepare(journal: Journal, location: str) -> None:
    """By a worker of its own."""
    _, here = take(journal, location)
    numbers = [one.number for one in preparing.list_unread("to prepare", 9, here)]
    with here.commit():
        preparing.write_findings([find(number) for number in numbers], here)
        preparing.write_order([(number, 0, ()) for number in numbers], here)
    leases.hand_back(Hold(1, location, here.hold.epoch), here)


def test_a_job_from_its_submission_to_its_end(journal: Journal) -> None:
    """It runs once all locations are prepared, and has ended once all have."""
    assert [one.name for one in phases.list_open(journal)] == ["march"]
    prepare(journal, "loc1")
    assert phases.move_on(NOW, journal) == []
    prepare(journal, "loc2")
    assert [one.phase for one in phases.move_on(NOW, journal)] == ["running"]
    for location in ("loc1", "loc2"):
        _, here = take(journal, location)
        assert instructions.has_open(here)
        for row in rows.fetch_open((-2, 0), 9, here):
            entry = rows.finish(row.number, RowOutcome(line=1, event_id="e", state="applied"), NOW, 0.5, None)
            entry.hold = here.hold
            here.commit_entries([entry])
        assert not instructions.has_open(here)
        leases.end_location(Hold(1, location, here.hold.epoch), here)
    assert [one.phase for one in phases.move_on(NOW + 9, journal)] == ["done"]
    standing = progress.read_standing(NOW, journal)
    assert (standing.job.phase, standing.job.began, standing.job.submitted) == ("done", 1, 1)
    assert [(one.location, one.applied, one.done, one.held) for one in standing.locations] == [
        ("loc1", 2, 2, 0),
        ("loc2", 2, 2, 0),
    ]
    summary = progress.summarize_end(NOW, journal)
    assert (summary.counts, summary.seconds) == ({"applied": 4}, 9.0)


def test_a_job_with_faults_is_refused(journal: Journal) -> None:
    """Unless it leaves such rows out."""
    prepare(journal, "loc1")
    prepare(journal, "loc2")
    journal.write(
        "INSERT INTO faults (job, location, line, column_name, reason, hint) VALUES (1, 'loc1', 1, '', '', '')"
    )
    assert [one.phase for one in phases.move_on(NOW, journal)] == ["refused"]
    journal.write("UPDATE jobs SET phase = 'preparing'")
    set_fact("options", '{"skip_refused":true}', journal)
    assert [one.phase for one in phases.move_on(NOW, journal)] == ["running"]


def test_who_works_and_what_has_stopped(journal: Journal) -> None:
    """Held locations, pauses, and stops with the seconds until they end."""
    worker, here = take(journal, "loc1")
    entry = rows.record_moment(NOW - 1, "paused", 5.0)
    entry.hold = here.hold
    here.commit_entries([entry])
    standing = progress.read_standing(NOW, journal)
    assert [(one.location, one.held, one.prepared) for one in standing.locations] == [
        ("loc1", 1, 0),
        ("loc2", 0, 0),
    ]
    assert standing.paused == {"loc1": NOW + 4}
    assert [one.worker for one in standing.beats] == [worker]
    leases.stop_location(Hold(1, "loc1", here.hold.epoch), "daily", "used up", NOW + 60, here)
    assert phases.stop_job(1, "errors", "3 rows have failed", journal)
    assert not phases.stop_job(1, "errors", "again", journal)
    assert progress.summarize_end(NOW, journal).stopped == (
        Stopped("errors", "3 rows have failed"),
        Stopped("daily", "used up", "loc1", 60.0),
    )
    [listed] = progress.list_jobs(journal)
    assert (listed.name, listed.rows, listed.as_planned, listed.workers, listed.since) == ("march", 4, 0, 0, 5.0)


def test_a_location_is_cancelled_and_reviewed(journal: Journal) -> None:
    """What was not sent is left out, what may have been is unknown."""
    prepare(journal, "loc1")
    _, here = take(journal.at(Hold(1)), "loc2")
    with here.commit():
        preparing.write_findings([find(3), find(4)], here)
        preparing.write_order([(3, 0, ()), (4, 0, ())], here)
    sent = rows.intend(3, NOW)
    sent.hold = here.hold
    here.commit_entries([sent])
    preparing.forget_location(here)
    assert [row.number for row in preparing.list_unread("to prepare", 9, here)] == [4]
    instructions.doubt_sent(here)
    instructions.skip_open(NOW, here)
    assert [one.state for one in rows.find_outcomes([3, 4], here)] == ["unknown", "skipped"]
    assert reviewing.has_unknown(here)
    assert reviewing.begin_review("unknown", here)
    assert reviewing.resolve_unknown(here) == reviewing.Resolved()
    assert [one.state for one in rows.find_outcomes([1, 2], journal.at(Hold(1, "loc1")))] == ["pending", "pending"]


def test_reasons_of_stops_are_stored_whatever_they_hold(journal: Journal) -> None:
    """Of a location and of the whole job, by workers and by a folder's process."""
    hostile, shown = "a\0b\udcff", "a\ufffdb\ufffd"
    _, here = take(journal, "loc1")
    leases.stop_location(Hold(1, "loc1", here.hold.epoch), "errors", hostile, None, here)
    phases.stop_job(1, "errors", hostile, journal)
    assert {one.reason for one in progress.summarize_end(NOW, journal).stopped} == {shown}
    stops = [Stopped("errors", hostile), Stopped("daily", hostile, "loc2", 5.0)]
    instructions.end_run(stops, 4, NOW, journal)
    assert {one.reason for one in progress.summarize_end(NOW, journal).stopped} == {shown}


@pytest.mark.parametrize("empty_journal", ["postgres"], indirect=True)
def test_a_lock_on_a_job_stops_no_worker(journal: Journal) -> None:
    """Somebody changes its row in an open transaction: it is moved on, or stopped, the next time."""
    from leadconnector_async.integrations.postgres_journal import PostgresJournal  # only this needs psycopg
    from leadconnector_async.integrations.postgres_session import PostgresSession

    assert isinstance(journal, PostgresJournal)
    prepare(journal, "loc1")
    prepare(journal, "loc2")
    person = PostgresSession.open(journal.session.address, None)
    with person.transact():
        person.execute("UPDATE jobs SET rate = 5")
        assert phases.move_on(NOW, journal) == []
        assert not phases.stop_job(1, "errors", "too many", journal)
    person.close()
    assert [one.phase for one in phases.move_on(NOW, journal)] == ["running"]
    assert phases.stop_job(1, "errors", "too many", journal)
