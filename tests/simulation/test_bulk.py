"""Jobs over many locations, over days, and over a network that loses answers, in virtual time."""

import pytest

from .bulk import play_days, play_forecast, play_losses, play_neighbours
from .virtual import run
from .world import Latency, heavy_tailed, usual

UNEQUAL = [6 * number for number in range(1, 21)]


def test_locations_that_stop_or_crawl_cost_the_others_nothing() -> None:
    """The others use 98 % of their own budgets, without a refusal; what is left of the stopped ones stays open."""
    seen = run(play_neighbours(locations=40, rows=60, most=20, spent_after=15))
    assert len(seen.others) == 37
    assert seen.least_share >= 0.98
    assert max(seen.lists[one] for one in seen.others) <= 4  # preparing the slow one took its time
    assert seen.refused <= {seen.exhausted}
    assert {(one.kind, one.location_id) for one in seen.summary.stopped} == {
        ("daily", seen.exhausted),
        ("authentication", seen.revoked),
    }
    of_exhausted = seen.applied.pop(seen.exhausted)
    assert 0 < of_exhausted <= 15
    assert seen.applied == dict.fromkeys([*seen.others, seen.slow], 60)
    assert seen.summary.counts == {"applied": 38 * 60 + of_exhausted, "pending": 2 * 60 - of_exhausted}


@pytest.mark.parametrize(
    ("most", "sizes", "latency"),
    [
        (100, [1000], usual),
        (100, [1000], heavy_tailed),
        (100, [5 * size for size in UNEQUAL], heavy_tailed),
        (20, [200], usual),
        (20, [200], heavy_tailed),
        (20, UNEQUAL, usual),
        (20, UNEQUAL, heavy_tailed),
    ],
)
def test_the_end_is_known_when_two_of_a_hundred_rows_are_done(
    most: int, sizes: list[int], latency: Latency
) -> None:
    """One location or twenty of unequal size: the seconds that are left then are announced within 5 %."""
    assert run(play_forecast(most, sizes, latency=latency)).error <= 0.05


def test_a_job_that_takes_two_days_says_so_and_goes_on_at_the_time_that_it_names() -> None:
    """Not some minutes before; and no request goes beyond the day's budget."""
    days = run(play_days(rows=300, budget=160))
    assert [one.kind for one in days.first.stopped] == [one.kind for one in days.early.stopped] == ["daily"]
    assert days.first.counts == days.early.counts
    assert 150 <= days.first.counts["applied"] <= 160
    assert (days.last.counts, days.last.stopped) == ({"applied": 300}, ())
    assert days.forecast.error < 0.001
    assert days.refused == 0


def test_answers_that_are_lost_lose_nothing() -> None:
    """The calendar ends as planned, nothing is unknown, and nothing is written after it was reported as applied."""
    losses = run(play_losses(rows=1000, share=0.05))
    assert losses.lost >= 40
    assert losses.summary.counts == {"applied": 1000}
    assert losses.is_as_planned
    assert (losses.written_after_report, losses.repeated) == (0, 0)
