"""Random scripts of faults, cancellations and deadlines, on real sockets."""

import pytest

from .campaign import Campaign


@pytest.mark.parametrize("cancelling", [False, True])
@pytest.mark.parametrize("number", range(4))
async def test_whatever_goes_wrong_no_slot_is_lost_and_none_is_refused(number: int, cancelling: bool) -> None:
    """No request refused for its rate, all slots given back, nobody left waiting, every request counted."""
    ended = await Campaign(number, cancelling=cancelling).run()
    assert (ended.refused, ended.in_flight, ended.waiting) == (0, 0, 0)
    if not cancelling:
        assert ended.seen == ended.reported
