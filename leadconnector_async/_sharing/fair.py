"""Who gets how much: shares that level what the members have, like water in connected vessels."""

from __future__ import annotations

from typing import NamedTuple


class Claim(NamedTuple):
    """What one member wants, and what it has."""

    wish: int
    level: int
    """Slots that it has already: leased, or used within the interval."""
    since: float
    """Since when it has waited."""


def divide(pot: int, mine: Claim, others: list[Claim]) -> int:
    """How many of `pot` slots are mine, if everybody is filled up to the same level, or to what he wants.

    What cannot be divided goes to those who have waited longest. So the rest remains for the others, until they
    come for it.

    With a pot of 10, I want 20 and have 2, the others want 20 and have 4, and want 1 and have nothing: the last one
    gets 1, and the other two reach a level of 7.5. Mine are 5 or 6 of the 10, as I have waited shorter or longer.
    """
    if pot <= 0 or not mine.wish:
        return 0
    claims = [mine, *others]
    if sum(claim.wish for claim in claims) <= pot:
        return mine.wish
    level, rest = _find_level(pot, claims)
    part = _fill(mine, level)
    if part < mine.wish and mine.level + part == level:
        before = sum(one.since < mine.since and _fill(one, level + 1) > _fill(one, level) for one in others)
        part += before < rest
    return part


def _find_level(pot: int, claims: list[Claim]) -> tuple[int, int]:
    """The highest level to which all can be filled, and how many slots are left then."""
    low, high = 0, max(claim.level + claim.wish for claim in claims)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(_fill(claim, middle) for claim in claims) <= pot:
            low = middle
        else:
            high = middle - 1
    return low, pot - sum(_fill(claim, low) for claim in claims)


def _fill(claim: Claim, level: int) -> int:
    return max(0, min(claim.wish, level - claim.level))
