"""Two thousand random schedules: no slot is lost, and nobody hangs."""

import pytest

from .schedules import play

BLOCKS, EACH = 4, 125
HALF = 0.5


@pytest.mark.parametrize("bulk", [0.0, HALF])
@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_request_is_refused_and_nobody_hangs(block: int, bulk: float) -> None:
    """Whatever arrives when, is cancelled or times out: with limits that stay, not one request is refused."""
    for number in range(block * EACH, block * EACH + EACH):
        ended = play(number, "fixed", bulk=bulk)
        assert (ended.refused, ended.in_flight, ended.waiting, ended.failed) == (0, 0, 0, []), number


@pytest.mark.parametrize("bulk", [0.0, HALF])
@pytest.mark.parametrize("block", range(BLOCKS))
def test_with_limits_that_change_all_are_served_all_the_same(block: int, bulk: float) -> None:
    """What is under way when a limit falls may be refused; it is sent again, and nothing is lost."""
    for number in range(block * EACH, block * EACH + EACH):
        ended = play(number, "changing", bulk=bulk)
        assert (ended.in_flight, ended.waiting, ended.failed) == (0, 0, []), number
