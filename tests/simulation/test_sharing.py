"""Processes that share a budget, in virtual time: what holds whatever goes wrong, and what it costs."""

import subprocess
import sys

import pytest

from .sharing.efficiency import share_bulk, wait_beside_job
from .sharing.schedules import KINDS, play
from .windows import WINDOWS, Algorithm

STRICT: list[Algorithm] = [one for one in WINDOWS if one != "counter"]


@pytest.mark.parametrize("kind", KINDS)
def test_laws_hold_in_a_few_schedules_of_each_kind(kind: str) -> None:
    """Never more than N in T at the server, no slot is lost, nobody starves, and bulk calls leave the reserve."""
    check_kind = [number for number in range(8 * len(KINDS)) if KINDS[number % len(KINDS)] == kind]
    assert [played for number in check_kind if (played := play(number)).broken] == []


@pytest.mark.campaign
def test_laws_hold_in_hundreds_of_schedules() -> None:
    """The same for more of them; 10,000 are played by `python -m tests.simulation.sharing`."""
    broken = [played for number in range(1000, 1500) if (played := play(number)).broken]
    assert broken == []


def test_a_schedule_is_repeated_by_its_number() -> None:
    """So a failing run can be debugged."""
    assert [play(number) for number in range(len(KINDS))] == [play(number) for number in range(len(KINDS))]


def test_the_command_plays_one_schedule() -> None:
    """`python -m tests.simulation.sharing --seed N` says what became of it, and exits with 0 if all laws held."""
    command = [sys.executable, "-m", "tests.simulation.sharing", "--seed", "7", "--processes", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert "1 schedules" in done.stdout
    assert "0 broke a law" in done.stdout


@pytest.mark.parametrize("concurrency", [10, 1000])
@pytest.mark.parametrize("algorithm", STRICT)
@pytest.mark.parametrize(("members", "exchanges"), [(1, 0.1), (4, 0.2), (16, 0.6)])
def test_members_use_up_the_limit_with_few_exchanges(
    members: int, exchanges: float, algorithm: Algorithm, concurrency: int
) -> None:
    """A job of 1,000 calls takes at most 1.05 of its bound, whatever the window, and is never refused."""
    if concurrency == 10:
        exchanges += 0.05  # what a call waits for depends on the response to another
    shared = share_bulk(members, algorithm, concurrency=concurrency)
    assert shared.refused == 0
    assert shared.finish <= 1.05
    assert shared.exchanges <= exchanges


@pytest.mark.parametrize("rate", [0.5, 1.0])
@pytest.mark.parametrize("members", [1, 2, 4])
def test_people_do_not_wait_for_a_job(members: int, rate: float) -> None:
    """Reads at half a call and one call a second beside a job: p90 < 0.3 s, p99 < 1 s, and the job hardly waits."""
    people = wait_beside_job(members, rate, "sliding", calls=3000)
    assert people.calls >= 150
    assert people.p90 < 0.3
    assert people.p99 < 1.0
    assert people.job <= 1.10
