"""How free slots are divided: members are filled up to the same level, like water in connected vessels."""

from __future__ import annotations

from typing import NamedTuple


class Claim(NamedTuple):
    """What one member wants, and what it has."""

    wanted: int
    level: int
    """Slots that it has already: leased, or used within the interval."""
    since: float
    """Since when it has been waiting."""


def divide(pot: int, mine: Claim, others: list[Claim]) -> int:
    """How many of `pot` slots the member gets, if all are filled up to the same level, or to what they want.

    Slots that cannot be divided evenly go to the members that have waited longest. The rest remains for the others
    until their next exchanges.

    An example with a pot of 10: this member has 2 and wants 20, a second one has 4 and wants 20, and a third one
    has none and wants 1. The third gets 1, and the other two reach a level of 7.5. So this one gets 5 of the 10, or
    6 if it has waited longer than the second.
    """
    if pot <= 0 or not mine.wanted:
        return 0
    claims = [mine, *others]
    if sum(claim.wanted for claim in claims) <= pot:
        return mine.wanted
    level, rest = _find_level(pot, claims)
    part = _fill(mine, level)
    if part < mine.wanted and mine.level + part == level:
        before = sum(one.since < mine.since and _fill(one, level + 1) > _fill(one, level) for one in others)
        part += before < rest
    return part


def _find_level(pot: int, claims: list[Claim]) -> tuple[int, int]:
    """The highest level to which all can be filled, and how many slots are left then."""
    low, high = 0, max(claim.level + claim.wanted for claim in claims)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(_fill(claim, middle) for claim in claims) <= pot:
            low = middle
        else:
            high = middle - 1
    return low, pot - sum(_fill(claim, low) for claim in claims)


def _fill(claim: Claim, level: int) -> int:
    return max(0, min(claim.wanted, level - claim.level))
