"""The one table of what a status means."""

from leadconnector_async._api.statuses import StatusTraits, find_traits


def test_every_status_has_its_row() -> None:
    """What may pass, what may have been applied and may still be, what costs budget, what says nothing."""
    edge = range(520, 531)
    transient = {408, 425, 429, 500, 502, 503, 504, *edge}
    for status in (*range(100, 700), None):
        assert find_traits(status) == StatusTraits(
            is_transient=status in transient,
            is_ambiguous=status is not None and not 400 <= status < 500,
            may_still_run=status in {502, 504, *edge},
            costs_budget=status not in {401, 403, 429},
            is_inconclusive=status in {401, 403, 408, 425, 429},
        )
