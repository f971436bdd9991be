"""What a campaign does to its workers and their database, drawn from a seed: one number, one script."""

import random

from msgspec import Struct

from .traps import IN_TRANSACTION, POINTS

DECK = (
    *(("kill", "") for _ in range(2)),
    *(("freeze", "") for _ in range(2)),
    *(("kill", point) for point in (*POINTS, IN_TRANSACTION)),
    *(("freeze", point) for point in (*POINTS, IN_TRANSACTION)),
    ("cut", ""),
    ("terminate", ""),
    ("database", ""),
    ("kill and database", ""),
)
"""Each kind of fault, at a random moment or at a point; dealt anew when it is used up."""
SHORT = (
    ("kill", ""),
    ("freeze", ""),
    ("kill", "before-send"),
    ("freeze", "before-send"),
    ("freeze", "intent-committed"),
    ("kill", IN_TRANSACTION),
    ("freeze", IN_TRANSACTION),
    ("kill", "on-the-way"),
    ("cut", ""),
    ("terminate", ""),
    ("database", ""),
    ("kill and database", ""),
)
"""What twelve faults show."""


class Fault(Struct, frozen=True):
    """One of them. Times are in seconds."""

    kind: str
    point: str
    """Empty: at any moment."""
    times: int
    """At the how-manyeth time."""
    victim: float
    """From 0 to 1: which of those that are there."""
    after: float
    """Since the fault before was over."""
    lasts: float
    """Of a freeze or a cut."""
    down: float
    """Of the database."""

    @property
    def name(self) -> str:
        return f"{self.kind} at {self.point}" if self.point else self.kind


def draw(seed: int, faults: int, lease: float) -> list[Fault]:
    """So many faults; freezes take between half a lease and three."""
    dice = random.Random(seed)
    kinds: list[tuple[str, str]] = []
    script: list[Fault] = []
    while len(script) < faults:
        if not kinds:
            kinds = list(SHORT if faults <= len(SHORT) else DECK)
            dice.shuffle(kinds)
        kind, point = kinds.pop()
        script.append(
            Fault(
                kind,
                point,
                times=dice.randint(1, 3 if point == IN_TRANSACTION else 12),
                victim=dice.random(),
                after=dice.uniform(0.1, 1.0),
                lasts=lease * dice.uniform(0.5, 3.0),
                down=dice.uniform(0.1, 1.5),
            )
        )
    return script
