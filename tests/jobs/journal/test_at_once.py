"""Several processes that instruct a job at the same moment, or while another one purges it."""

import threading
import uuid
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import JobConflictError, JobNotFoundError
from leadconnector_async._sharing.url import parse_address
from leadconnector_async.integrations.postgres_journal import PostgresJournal, fill_journal
from leadconnector_async.jobs.instructing import write_beside
from leadconnector_async.jobs.journal import instructions, serving
from leadconnector_async.jobs.journal.folder import fill_journal as fill_folder
from leadconnector_async.jobs.journal.instructions import change_wanted, leave_out_refused, set_rate
from leadconnector_async.jobs.journal.load import NewJob
from leadconnector_async.jobs.journal.phases import read_options
from leadconnector_async.jobs.journal.progress import read_standing, summarize_end
from leadconnector_async.jobs.journal.protocol import Journal
from leadconnector_async.jobs.journal.purge import remove_job
from leadconnector_async.jobs.journal.serving import change_instruction, read_progress
from leadconnector_async.jobs.journal.status import find_listed
from leadconnector_async.jobs.states import JobOptions

from .conftest import LEASE, make_plan

Instruct = Callable[[Journal], object]


def run_at_once(
    url: str, patch: pytest.MonkeyPatch, first: Instruct, second: Instruct
) -> tuple[PostgresJournal, object]:
    """Both instruct a job: the second one when the first has read what it is going to change. Its result."""
    name = uuid.uuid4().hex
    journal = fill_journal(parse_address(url), name, NewJob(location="home"), LEASE, make_plan())
    other, write = PostgresJournal.open(parse_address(url), name, LEASE), PostgresJournal.write

    def be_overtaken(self: PostgresJournal, *given: Any) -> int:
        patch.setattr(PostgresJournal, "write", write)
        second(other)
        return self.write(*given)

    patch.setattr(PostgresJournal, "write", be_overtaken)
    try:
        return journal, first(journal)
    except JobConflictError as error:
        return journal, error
    finally:
        other.close()


def pause(journal: Journal) -> bool:
    return change_wanted("pause", "job", journal)


def cancel(journal: Journal) -> bool:
    return change_wanted("cancel", "job", journal)


def test_a_job_that_is_paused_and_cancelled_at_once_is_cancelled(
    jobs_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause does not undo that, whatever it has seen before."""
    journal, result = run_at_once(jobs_database, monkeypatch, pause, cancel)
    assert isinstance(result, JobConflictError)
    assert instructions.read_instructions(journal).wanted == "cancel"
    journal.close()


@pytest.mark.parametrize("turn", [1, -1])
def test_two_options_that_are_changed_at_once_are_both_kept(
    jobs_database: str, monkeypatch: pytest.MonkeyPatch, turn: int
) -> None:
    """They are stored together."""
    first, second = [partial(set_rate, 2.0), leave_out_refused][::turn]
    journal, _ = run_at_once(jobs_database, monkeypatch, first, second)
    assert read_options(journal) == JobOptions(rate=2.0, skip_refused=True)
    assert instructions.read_instructions(journal).rate == 2.0
    journal.close()


@pytest.mark.parametrize(
    "use",
    [
        pause,
        leave_out_refused,
        lambda journal: set_rate(1.0, journal),
        lambda journal: read_standing(0.0, journal),
        lambda journal: read_progress(0.0, journal),
        lambda journal: summarize_end(0.0, journal),
        find_listed,
    ],
)
def test_a_job_that_another_process_has_purged(journal: Journal, use: Instruct) -> None:
    """It says so, instead of reporting success or failing in its own way."""
    remove_job(journal.hold.job, journal)
    with pytest.raises(JobNotFoundError, match="was purged or discarded by another process in the meantime"):
        use(journal)


def test_a_stopped_job_that_is_resumed_and_cancelled_at_once_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder: whoever resumes it decides by what it was like, and must not undo what came after that."""
    with closing(fill_folder(str(tmp_path), NewJob(location="home", submitted=True), None, make_plan())) as journal:
        serving.record_stop("internal", "an error", journal)
        thread = threading.Thread(
            target=lambda: write_beside(str(tmp_path), partial(change_instruction, "job", "cancel", False))
        )
        check = serving.check_instruction

        def check_and_be_overtaken(*given: Any, **named: Any) -> None:
            monkeypatch.undo()
            check(*given, **named)
            thread.start()
            thread.join(0.5)

        monkeypatch.setattr(serving, "check_instruction", check_and_be_overtaken)
        assert change_instruction("job", "run", False, journal)
        thread.join()
        assert instructions.read_instructions(journal).wanted == "cancel"
