"""What the benchmarks stand on."""

from leadconnector_async import LeadConnector

from .benchmarks.sharing.counting import CountingSandbox
from .simulation.windows import WINDOWS


async def test_locations_that_are_measured_at_once_count_in_their_own_ways() -> None:
    """All of them are taken before the first request of any."""
    server = CountingSandbox(locations=len(WINDOWS), appointments=1)
    async with server.sandbox:
        places = {algorithm: server.take(algorithm, 5, 10.0) for algorithm in WINDOWS}
        for place in places.values():
            async with LeadConnector(place.token, base_url=place.url, location_id=place.location_id) as client:
                await client.get_appointment(place.event_ids[0])
        limiters = server.sandbox._app.rate_limits._limiters
        counted_by = {name: type(limiters[place.location_id, None]._window) for name, place in places.items()}
    assert counted_by == WINDOWS
