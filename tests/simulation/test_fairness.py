"""Small locations do not wait for a large one of the same job."""

from .fairness import play
from .virtual import run


def test_small_locations_end_as_if_the_large_one_were_not_there() -> None:
    """With two workers of 64 slots: it takes one slot, though it is the first to get one."""
    alone = run(play(0, 300, 10))
    assert run(play(2000, 300, 10)) <= 1.1 * alone


def test_the_simulation_would_notice_a_large_location_in_the_way() -> None:
    """It takes one of two slots: the small ones end in twice the time."""
    alone = run(play(0, 40, 10, workers=1, slots=2))
    assert run(play(2000, 40, 10, workers=1, slots=2)) >= 1.8 * alone
