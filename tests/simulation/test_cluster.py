"""Workers that share a job in one database, in virtual time: what holds whatever goes wrong, and when."""

import subprocess
import sys

import pytest

from .cluster.mutations import MUTATIONS
from .cluster.schedules import FAULTS, play


def test_laws_hold_in_a_few_schedules() -> None:
    """No row is lost or written twice, only who holds a location writes to it, and what has ended stays."""
    played = [play(seed) for seed in range(20)]
    assert [one for one in played if one.broken] == []
    assert sum(one.takes for one in played) > 100


@pytest.mark.campaign(180)
@pytest.mark.timeout(180)
def test_laws_hold_in_a_hundred_schedules() -> None:
    """The same for more of them, in which all that can go wrong does; the command plays 1,000."""
    played = [play(seed) for seed in range(1000, 1100)]
    assert [one for one in played if one.broken] == []
    assert {fault for one in played for fault in one.faults} == {fault.__name__ for fault in FAULTS}


@pytest.mark.campaign(180)
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", MUTATIONS)
def test_each_mistake_is_noticed(name: str) -> None:
    """Whatever keeps two workers apart is needed: without it, some schedule breaks a law."""
    mutate, first = MUTATIONS[name]
    with mutate():
        assert any(play(seed).broken for seed in range(first, first + 300))


def test_a_schedule_is_repeated_by_its_number() -> None:
    """So a failing one can be debugged."""
    assert [play(seed) for seed in range(3)] == [play(seed) for seed in range(3)]


def test_the_command_plays_one_schedule() -> None:
    """`python -m tests.simulation.cluster --seed N` tells its story, and exits with 0 if all laws held."""
    command = [sys.executable, "-m", "tests.simulation.cluster", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert "worker_started worker=1\n" in done.stdout
    assert done.stdout.endswith("all laws held\n")
