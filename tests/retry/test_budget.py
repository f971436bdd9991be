"""The retry budget of a location, without a clock."""

from leadconnector_async._retry.budget import RetryBudget


def spend_all(budget: RetryBudget, now: float) -> int:
    spent = 0
    while budget.spend(now):
        spent += 1
    return spent


def test_a_small_floor_is_there_from_the_start_and_comes_back_in_a_minute() -> None:
    """A program that sends little can repeat too."""
    budget = RetryBudget()
    assert spend_all(budget, 0.0) == 10
    assert spend_all(budget, 6.0) == 1
    assert spend_all(budget, 3600.0) == 10


def test_ten_successes_pay_for_one_repetition() -> None:
    """Up to a bound: a good day does not pay for a bad hour."""
    budget = RetryBudget()
    for _ in range(50):
        budget.earn()
    assert spend_all(budget, 0.0) == 15
    for _ in range(100_000):
        budget.earn()
    assert spend_all(budget, 0.0) == 50


def test_it_is_idle_when_a_new_one_would_be_no_better() -> None:
    """A location cannot be forgotten to have its floor back."""
    budget = RetryBudget()
    assert budget.is_idle(0.0)
    spend_all(budget, 0.0)
    assert not budget.is_idle(30.0)
    assert budget.is_idle(60.0)
