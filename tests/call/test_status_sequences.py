"""Sequences of statuses, on a mocked session."""

from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import ClientResponse
from aioresponses import aioresponses

from leadconnector_async import AppointmentUpdate, LeadConnector, LeadConnectorError, RetryPolicy, with_response

URL = "https://services.leadconnectorhq.com/calendars/events/appointments/ev1"
UPDATE = AppointmentUpdate(title="x")
POLICY = RetryPolicy(backoff_base=0.001, backoff_cap=0.002, on_ambiguous="retry")


class MockedResponse(ClientResponse):
    """aioresponses does not know an argument that aiohttp 3.14 added."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, stream_writer=Mock(output_size=0), **kwargs)


@pytest.mark.parametrize(
    ("statuses", "attempts"),
    [([200], 1), ([429, 200], 2), ([503, 200], 2), ([500, 502, 503, 504, 201], 5), ([408, 425, 529, 200], 4)],
)
async def test_statuses_are_lived_through(statuses: list[int], attempts: int) -> None:
    """Each is repeated until the success, and each is counted."""
    with aioresponses() as mocked:
        for status in statuses:
            mocked.put(
                URL,
                status=status,
                payload={"id": "ev1"},
                headers={"Retry-After": "0"},
                response_class=MockedResponse,
            )
        async with LeadConnector("t", retry=POLICY) as client:
            whole = await with_response(client.update_appointment("ev1", UPDATE))
    assert (whole.attempts, whole.status, whole.value.id) == (attempts, statuses[-1], "ev1")


@pytest.mark.parametrize("statuses", [[400], [401, 401], [403], [404], [422], [503, 422], [501], [302]])
async def test_a_final_status_ends_it(statuses: list[int]) -> None:
    """Nothing is sent after it."""
    with aioresponses() as mocked:
        for status in [*statuses, 200]:
            mocked.put(URL, status=status, payload={"message": "no"}, response_class=MockedResponse)
        async with LeadConnector("t", retry=POLICY) as client:
            with pytest.raises(LeadConnectorError) as caught:
                await client.update_appointment("ev1", UPDATE)
    assert (caught.value.status, caught.value.attempts) == (statuses[-1], len(statuses))
