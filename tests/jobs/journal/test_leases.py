"""Workers and the locations that they hold, as rows."""

from collections.abc import Callable

import pytest
from msgspec import Struct

from leadconnector_async.jobs.journal import leases
from leadconnector_async.jobs.journal.facts import Count
from leadconnector_async.jobs.journal.groups import Entry, Hold, Value
from leadconnector_async.jobs.journal.leases import Beat, WorkerEntry
from leadconnector_async.jobs.journal.protocol import FenceLostError, Journal

NOW = 1_000_000.0
ENTRY = WorkerEntry(lease=6.0, host="web-3", pid=4711, version="1.0", slots=64)


class Standing(Struct, array_like=True):
    """What the row of a location shows."""

    epoch: int
    tries: int
    worker: int | None
    queued: int
    ended: int
    stop_kind: str | None
    resume_at: float | None


@pytest.fixture
def journal(empty_journal: Journal) -> Journal:
    """Two jobs of two locations each: 1 is running, 2 is being prepared."""
    opened = empty_journal
    opened.write(
        "INSERT INTO jobs (name, phase, submitted, rows, made_at)"
        " VALUES ('march', 'running', 1, 20, 0), ('april', 'preparing', 1, 20, 0)"
    )
    for job, prepared in ((1, 1), (2, 0)):
        for location in ("loc1", "loc2"):
            opened.write(
                "INSERT INTO locations (job, location, rows, prepared) VALUES (?, ?, 10, ?)",
                (job, location, prepared),
            )
    return opened


def look(journal: Journal, job: int = 1, location: str = "loc1") -> Standing:
    shown = "epoch, tries, worker, queued, ended, stop_kind, resume_at"
    query = f"SELECT {shown} FROM locations WHERE job = ? AND location = ?"  # noqa: S608 - columns
    found = journal.read_one(Standing, query, (job, location))
    assert found is not None
    return found


def change(journal: Journal, changes: str, *values: Value, job: int = 1) -> None:
    statement = f"UPDATE locations SET {changes} WHERE job = ? AND location = 'loc1'"  # noqa: S608 - columns
    journal.write(statement, (*values, job))


def take(journal: Journal, worker: int, job: int = 1, location: str = "loc1") -> Hold | None:
    taken = leases.take(job, location, worker, NOW, journal)
    return None if taken is None else Hold(job, location, taken.epoch)


def test_a_worker_appears_beats_and_leaves(journal: Journal) -> None:
    """One row each, and ids that never come back: who was buried must not look alive because of another one."""
    first, second = leases.register(ENTRY, journal), leases.register(ENTRY, journal)
    assert leases.beat(second, "working", 3, journal)
    assert leases.list_beats(journal) == [Beat(first, 0, 6.0), Beat(second, 1, 6.0)]
    leases.leave(second, None, journal)
    assert not leases.beat(second, "working", 3, journal)
    assert leases.register(ENTRY, journal) > second


def test_a_burial_and_a_beat_exclude_each_other(journal: Journal) -> None:
    """Whichever comes first: a worker that has beaten is not buried, and one that is buried does not beat."""
    worker = leases.register(ENTRY, journal)
    [seen] = leases.list_beats(journal)
    leases.beat(worker, "working", 0, journal)
    assert not leases.bury(seen, journal)
    [seen] = leases.list_beats(journal)
    assert leases.bury(seen, journal)
    assert not leases.beat(worker, "working", 0, journal)
    assert not leases.bury(seen, journal)


def test_one_worker_takes_a_location(journal: Journal) -> None:
    """Each take raises the epoch, so that what a former owner writes can be told from what the new one writes."""
    first, second = leases.register(ENTRY, journal), leases.register(ENTRY, journal)
    held = take(journal, first)
    assert held == Hold(1, "loc1", 1)
    assert take(journal, second) is None
    assert leases.hand_back(held, journal)
    assert take(journal, second) == Hold(1, "loc1", 2)
    assert look(journal, 2) == Standing(0, 0, None, 0, 0, None, None), "of another job"
    assert look(journal, location="loc2").epoch == 0


def test_only_who_holds_a_location_can_free_it(journal: Journal) -> None:
    """A worker that was frozen and goes on has lost it: to end, stop or give it back changes nothing."""
    first, second = leases.register(ENTRY, journal), leases.register(ENTRY, journal)
    lost = take(journal, first)
    assert lost is not None
    leases.bury(Beat(first, 0, 6.0), journal)
    leases.free_locations(journal)
    held = take(journal, second)
    for free in (
        leases.hand_back,
        leases.end_location,
        lambda place, journal: leases.stop_location(place, "internal", "no", None, journal),
    ):
        assert not free(lost, journal)
    assert held is not None
    assert look(journal) == Standing(held.epoch, 2, second, 0, 0, None, None)


def test_locations_of_the_dead_are_freed(journal: Journal) -> None:
    """After a burial, and not before it; those of others stay held."""
    first, second = leases.register(ENTRY, journal), leases.register(ENTRY, journal)
    take(journal, first)
    take(journal, second, location="loc2")
    assert leases.free_locations(journal) == 0
    leases.bury(Beat(first, 0, 6.0), journal)
    assert take(journal, second) is None, "it is freed first"
    assert leases.free_locations(journal) == 1
    assert (look(journal).worker, look(journal, location="loc2").worker) == (None, second)


def test_who_was_buried_takes_nothing(journal: Journal) -> None:
    """It does not know yet, and would have to be buried again."""
    worker = leases.register(ENTRY, journal)
    leases.bury(Beat(worker, 0, 6.0), journal)
    assert take(journal, worker) is None


def test_a_worker_that_leaves_frees_all_at_once(journal: Journal) -> None:
    """And has not failed on them: the counts of tries are as before it took them."""
    worker = leases.register(ENTRY, journal)
    change(journal, "tries = 3")
    take(journal, worker)
    take(journal, worker, location="loc2")
    leases.leave(worker, None, journal)
    assert [(one.worker, one.tries) for one in (look(journal), look(journal, location="loc2"))] == [
        (None, 3),
        (None, 0),
    ]


def test_the_location_that_made_a_worker_leave_has_failed_once_more(journal: Journal) -> None:
    """If its statements always fail, it is stopped in the end, as if it killed workers."""
    for _ in range(leases.MOST_TRIES):
        assert leases.stop_looping(journal) == 0
        worker = leases.register(ENTRY, journal)
        held = take(journal, worker)
        assert held is not None
        take(journal, worker, location="loc2")
        leases.leave(worker, Hold(1, "loc1", held.epoch), journal)
    assert leases.stop_looping(journal) == 1
    assert (look(journal).stop_kind, look(journal, location="loc2").stop_kind) == ("internal", None)


def test_a_location_that_cannot_be_taken_is_counted(journal: Journal) -> None:
    """Its next ticket is written as usual, until it is stopped with a reason; one that is held is left alone."""
    worker = leases.register(ENTRY, journal)
    change(journal, "queued = 1")
    for tries in range(1, leases.MOST_TRIES):
        assert leases.count_failure(Hold(1, "loc1"), "DataError", journal) == 1
        assert (look(journal).tries, look(journal).queued, look(journal).stop_kind) == (tries, 0, None)
    leases.count_failure(Hold(1, "loc1"), "DataError", journal)
    assert look(journal).stop_kind == "internal"
    assert take(journal, worker) is None
    assert take(journal, worker, location="loc2") is not None
    assert leases.count_failure(Hold(1, "loc2"), "DataError", journal) == 0


def test_a_worker_that_leaves_because_it_cannot_take_a_location_has_failed_once(journal: Journal) -> None:
    """However often it says so."""
    worker = leases.register(ENTRY, journal)
    for _ in range(2):
        leases.leave(worker, Hold(1, "loc1"), journal)
    assert (look(journal).tries, look(journal, location="loc2").tries) == (1, 0)


@pytest.mark.parametrize(
    ("phase", "wanted", "changes", "taken"),
    [
        ("running", "run", "prepared = 1", True),
        ("running", "run", "prepared = 0", False),
        ("preparing", "run", "prepared = 0", True),
        ("preparing", "run", "prepared = 1", False),
        ("ready", "run", "prepared = 0", False),
        ("refused", "run", "prepared = 1", False),
        ("stopped", "run", "prepared = 1", False),
        ("done", "run", "prepared = 1", False),
        ("running", "pause", "prepared = 1", False),
        ("preparing", "pause", "prepared = 0", False),
        ("running", "cancel", "prepared = 0", True),
        ("preparing", "cancel", "stop_kind = 'errors'", True),
        ("done", "cancel", "prepared = 1", False),
        ("running", "run", "prepared = 1, ended = 1", False),
        ("running", "cancel", "ended = 1", False),
        ("running", "run", "prepared = 1, stop_kind = 'authentication'", False),
        ("running", "run", "prepared = 1, stop_kind = 'daily', resume_at = 1000000.5", False),
        ("running", "run", "prepared = 1, stop_kind = 'daily', resume_at = 1000000.0", True),
    ],
)
def test_what_there_is_to_do(journal: Journal, phase: str, wanted: str, changes: str, taken: bool) -> None:
    """A location is prepared, then run, and neither before its job says so; tickets are written for just these."""
    worker = leases.register(ENTRY, journal)
    journal.write("UPDATE jobs SET phase = ?, wanted = ? WHERE id = 1", (phase, wanted))
    change(journal, changes)
    unticketed = leases.list_unticketed(NOW, 100, journal)
    assert (Hold(1, "loc1", 0) in unticketed) is taken
    assert (take(journal, worker) is not None) is taken
    if taken:
        assert look(journal).stop_kind is None


@pytest.mark.parametrize("phase", ["preparing", "running"])
def test_a_job_that_was_not_submitted_is_nothing_to_do(journal: Journal, phase: str) -> None:
    """The process that runs it may die: whoever created it decides what follows."""
    worker = leases.register(ENTRY, journal)
    journal.write("UPDATE jobs SET phase = ?, submitted = 0 WHERE id = 1", (phase,))
    change(journal, f"prepared = {int(phase == 'running')}")
    assert {one.job for one in leases.list_unticketed(NOW, 100, journal)} == {2}
    assert take(journal, worker) is None


def test_a_ticket_is_written_once_until_it_is_used(journal: Journal) -> None:
    """Using it is to take the location, or to find nothing to do there: then it is written again when there is."""
    worker = leases.register(ENTRY, journal)
    listed = leases.list_unticketed(NOW, 100, journal)
    assert [(one.job, one.location) for one in listed] == [(1, "loc1"), (1, "loc2"), (2, "loc1"), (2, "loc2")]
    leases.mark_ticketed(listed, journal)
    assert leases.list_unticketed(NOW, 100, journal) == []
    journal.write("UPDATE jobs SET wanted = 'pause' WHERE id = 1")
    assert take(journal, worker) is None
    assert leases.list_unticketed(NOW, 100, journal) == []
    journal.write("UPDATE jobs SET wanted = 'run' WHERE id = 1")
    assert leases.list_unticketed(NOW, 100, journal) == [Hold(1, "loc1", 0)]


def test_a_ticket_that_was_used_meanwhile_is_not_waiting(journal: Journal) -> None:
    """If a location was taken and given back while its ticket was written, the next ticket is not held up."""
    worker = leases.register(ENTRY, journal)
    listed = leases.list_unticketed(NOW, 1, journal)
    held = take(journal, worker)
    assert held is not None
    leases.hand_back(held, journal)
    leases.mark_ticketed(listed, journal)
    assert leases.list_unticketed(NOW, 1, journal) == [held]


def test_a_worker_that_leaves_may_have_had_tickets(journal: Journal) -> None:
    """What it was given at the last moment is not taken: the tickets of all that is free are written again."""
    worker = leases.register(ENTRY, journal)
    leases.mark_ticketed(leases.list_unticketed(NOW, 100, journal), journal)
    leases.leave(worker, None, journal)
    assert len(leases.list_unticketed(NOW, 100, journal)) == 4


def test_lost_tickets_are_written_again(journal: Journal) -> None:
    """All tickets can be lost without losing anything."""
    leases.mark_ticketed(leases.list_unticketed(NOW, 100, journal), journal)
    assert leases.forget_tickets(journal) == 4
    assert len(leases.list_unticketed(NOW, 100, journal)) == 4


def test_a_location_that_ends_one_worker_after_the_other_is_stopped(journal: Journal) -> None:
    """After ten in a row without progress, else it would end all of them; it is named, and the others go on."""
    for tries in range(leases.MOST_TRIES):
        assert leases.stop_looping(journal) == 0
        worker = leases.register(ENTRY, journal)
        assert take(journal, worker) is not None
        assert look(journal).tries == tries + 1
        assert leases.stop_looping(journal) == 0, "while it is held"
        leases.bury(Beat(worker, 0, 6.0), journal)
        leases.free_locations(journal)
    assert leases.stop_looping(journal) == 1
    assert look(journal).stop_kind == "internal"
    worker = leases.register(ENTRY, journal)
    assert take(journal, worker) is None
    assert take(journal, worker, location="loc2") is not None


@pytest.mark.parametrize(
    ("free", "shown"),
    [
        (leases.hand_back, Standing(1, 0, None, 0, 0, None, None)),
        (leases.end_location, Standing(1, 0, None, 0, 1, None, None)),
        (
            lambda place, journal: leases.stop_location(place, "daily", "spent", NOW + 60, journal),
            Standing(1, 0, None, 0, 0, "daily", NOW + 60),
        ),
    ],
    ids=["hand back", "end", "stop"],
)
def test_giving_back_in_order_resets_the_tries(
    journal: Journal, free: Callable[[Hold, Journal], bool], shown: Standing
) -> None:
    """Only workers that die with a location count."""
    worker = leases.register(ENTRY, journal)
    change(journal, "tries = 5")
    held = take(journal, worker)
    assert held is not None
    assert free(held, journal)
    assert look(journal) == shown


def test_an_outcome_is_progress(journal: Journal) -> None:
    """A location whose workers die again and again, but each after some rows, is not stopped; an intent is none."""
    worker = leases.register(ENTRY, journal)
    change(journal, "tries = 5")
    held = take(journal, worker)
    assert held is not None
    hold = Hold(held.job, held.location, held.epoch)
    statement = "UPDATE rows SET rank = rank WHERE job = ? AND location = ?"
    journal.commit_entries([Entry(statement, (), hold=hold)])
    assert look(journal).tries == 6
    journal.commit_entries([Entry(statement, (), "applied", hold)])
    assert look(journal).tries == 0


def test_a_former_owner_commits_nothing(journal: Journal) -> None:
    """Its epoch is not the one of the location any more, in either way of committing."""
    first, second = leases.register(ENTRY, journal), leases.register(ENTRY, journal)
    lost = take(journal, first)
    assert lost is not None
    leases.leave(first, None, journal)
    take(journal, second)
    hold = Hold(lost.job, lost.location, lost.epoch)
    entry = Entry("UPDATE locations SET rows = 99 WHERE job = ? AND location = ?", (), hold=hold)
    with pytest.raises(FenceLostError, match="taken"):
        journal.commit_entries([entry])
    with pytest.raises(FenceLostError), journal.at(hold).commit():
        journal.write("UPDATE locations SET rows = 99")
    assert journal.read_one(Count, "SELECT COUNT(*) FROM locations WHERE rows = 99") == Count(0)


@pytest.mark.parametrize("empty_journal", ["postgres"], indirect=True)
def test_locks_of_a_frozen_worker_are_not_waited_for(journal: Journal) -> None:
    """The location whose rows it was changing then is left for the next time; others are taken at once."""
    from leadconnector_async.integrations.postgres_journal import PostgresJournal  # only this needs psycopg
    from leadconnector_async.integrations.postgres_session import PostgresSession

    assert isinstance(journal, PostgresJournal)
    dead, worker = leases.register(ENTRY, journal), leases.register(ENTRY, journal)
    held = take(journal, dead)
    assert held is not None
    leases.bury(Beat(dead, 0, 6.0), journal)
    frozen = PostgresJournal(PostgresSession.open(journal.session.address, 6.0), Hold(1, "loc1", held.epoch))
    with frozen.commit():
        assert leases.free_locations(journal) == 0
        assert take(journal, worker) is None
        assert take(journal, worker, location="loc2") is not None
    frozen.close()
    assert leases.free_locations(journal) == 1
    assert take(journal, worker) is not None


@pytest.mark.parametrize("empty_journal", ["postgres"], indirect=True)
def test_a_lock_on_a_location_stops_no_worker(journal: Journal) -> None:
    """Somebody looks at it in an open transaction, or froze as it took it: nothing else waits for that."""
    from leadconnector_async.integrations.postgres_journal import PostgresJournal  # only this needs psycopg
    from leadconnector_async.integrations.postgres_session import PostgresSession

    assert isinstance(journal, PostgresJournal)
    worker, other = leases.register(ENTRY, journal), leases.register(ENTRY, journal)
    held = take(journal, worker)
    assert held is not None
    places = [Hold(1, "loc1", held.epoch), Hold(1, "loc2")]
    leases.mark_ticketed(places[1:], journal)
    change(journal, "tries = 10", job=2)
    person = PostgresSession.open(journal.session.address, None)
    with person.transact():
        person.execute("UPDATE locations SET rows = rows")
        assert take(journal, other, location="loc2") is None
        leases.mark_ticketed(places, journal)
        assert leases.forget_tickets(journal) == leases.stop_looping(journal) == leases.free_locations(journal) == 0
        leases.leave(worker, None, journal)
    person.close()
    assert look(journal).worker == worker
    assert leases.free_locations(journal) == 1
    assert leases.stop_looping(journal) == 1
    assert take(journal, other) is not None
