"""How long a job will take."""

from msgspec import structs

from leadconnector_async import LocationQuota
from leadconnector_async.jobs.eta import LocationLoad, forecast_location

QUOTA = LocationQuota(
    limit=100, interval=10.0, remaining=100, reserve=5, daily_limit=200_000, daily_remaining=200_000
)


def test_a_job_expects_an_even_part_of_a_limit_that_processes_share() -> None:
    """One of four members takes four times as long as one that is alone."""
    alone = LocationLoad(9_500, QUOTA, 0.1, 64)
    shared = structs.replace(alone, quota=structs.replace(QUOTA, source="shared", members=4))
    assert 3.9 <= forecast_location(shared) / forecast_location(alone) <= 4.1
