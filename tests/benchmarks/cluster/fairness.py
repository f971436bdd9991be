"""A large location beside many small ones, in virtual time: when the small ones end, with it and without it."""

from ...simulation.fairness import play
from ...simulation.virtual import run as run_virtually

OTHERS, ROWS = 500, 10


def run(big: int) -> dict[int, tuple[float, float]]:
    """Seconds of the small ones, without the large one and with it, by the number of workers."""
    return {
        workers: (
            run_virtually(play(0, OTHERS, ROWS, workers=workers)),
            run_virtually(play(big, OTHERS, ROWS, workers=workers)),
        )
        for workers in (1, 2)
    }
