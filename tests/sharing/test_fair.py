"""Who gets how much of what is free."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async._sharing.fair import Claim, divide

claims = st.lists(
    st.builds(Claim, st.integers(1, 60), st.integers(0, 60), st.floats(0, 100)), min_size=1, max_size=9
)


def divide_among(pot: int, everybody: list[Claim]) -> list[int]:
    return [divide(pot, one, [*everybody[:index], *everybody[index + 1 :]]) for index, one in enumerate(everybody)]


@pytest.mark.parametrize(
    ("pot", "everybody", "parts"),
    [
        (10, [Claim(20, 0, 0.0)], [10]),
        (10, [Claim(3, 0, 0.0)], [3]),
        (10, [Claim(20, 0, 0.0), Claim(20, 0, 1.0)], [5, 5]),
        (10, [Claim(20, 2, 0.0), Claim(20, 4, 1.0), Claim(1, 0, 2.0)], [6, 3, 1]),
        (10, [Claim(20, 2, 1.0), Claim(20, 4, 0.0), Claim(1, 0, 2.0)], [5, 4, 1]),
        (10, [Claim(20, 0, 0.0), Claim(20, 50, 1.0)], [10, 0]),
        (2, [Claim(9, 0, 3.0), Claim(9, 0, 1.0), Claim(9, 0, 2.0)], [0, 1, 1]),
        (0, [Claim(9, 0, 3.0)], [0]),
        (-3, [Claim(9, 0, 3.0)], [0]),
    ],
)
def test_table(pot: int, everybody: list[Claim], parts: list[int]) -> None:
    """Levels what members have; the rest goes to those who have waited longest."""
    assert divide_among(pot, everybody) == parts


@given(st.integers(0, 200), claims)
def test_everything_is_given_to_somebody_and_nothing_twice(pot: int, everybody: list[Claim]) -> None:
    """The parts add up to the pot, or to all that is wanted; each is at most what was wanted."""
    everybody = [one._replace(since=float(index)) for index, one in enumerate(everybody)]
    parts = divide_among(pot, everybody)
    assert sum(parts) == min(pot, sum(one.wanted for one in everybody))
    assert all(0 <= part <= one.wanted for part, one in zip(parts, everybody, strict=True))


@given(st.integers(0, 200), claims)
def test_nobody_who_wants_more_has_less(pot: int, everybody: list[Claim]) -> None:
    """Whoever got a slot has at most one more than any member that wants more."""
    everybody = [one._replace(since=float(index)) for index, one in enumerate(everybody)]
    parts = divide_among(pot, everybody)
    levels = [(one.level + part, part, part < one.wanted) for part, one in zip(parts, everybody, strict=True)]
    for level, part, _ in levels:
        assert not part or all(level <= other + 1 for other, _, is_unmet in levels if is_unmet)
