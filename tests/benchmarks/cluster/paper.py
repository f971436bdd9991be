"""What many workers need of a database, computed from what one needs."""

from msgspec import Struct

WORKERS, SLOTS = 50, 64
ROWS_A_SECOND = 9.5
"""What a location allows: 100 requests in 10 s, less the reserve of an idle front desk."""
CONNECTIONS = 5
"""Of each worker: two of its journal, and one each of the engine, the limits, and tokens in the same database."""


class Costs(Struct):
    """Of one worker."""

    row: float
    """CPU seconds of the worker for a row."""
    database_row: float
    """CPU seconds of the database for a row."""
    statements: float
    """For a row."""
    idle: float
    """Statements a second, with nothing to do."""


class Needs(Struct):
    """Of all workers together, each second."""

    rows: float
    worker_cores: float
    database_cores: float
    statements: float
    connections: int


def compute(costs: Costs) -> Needs:
    """With a core for each worker: either the limits of its locations hold it up, or its CPU."""
    rows = WORKERS * min(SLOTS * ROWS_A_SECOND, 1 / costs.row)
    return Needs(
        rows,
        rows * costs.row,
        rows * costs.database_row,
        rows * costs.statements + WORKERS * costs.idle,
        WORKERS * CONNECTIONS,
    )
