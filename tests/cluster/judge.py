"""What became of a job, by the server's own log and state: they are held against the plan and the journal."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypeAlias

from msgspec import Struct

from leadconnector_async.jobs import RowState

Logged: TypeAlias = Mapping[str, object]
"""A request, as the sandbox's admin route returns it."""


class Verdict(Struct):
    """Ids of events, so that a report can be followed into the log."""

    rows: int = 0
    lost: list[str] = []
    """The appointment is not where the plan wants it."""
    left: list[str] = []
    """The journal does not call the row applied."""
    claimed: list[str] = []
    """The journal calls it applied; the log shows no write."""
    second: list[str] = []
    """Written again after a write that was applied."""
    refused: int = 0
    """429s."""

    @property
    def holds(self) -> bool:
        """Whether nothing of it happened."""
        return not (self.lost or self.left or self.claimed or self.second or self.refused)


def judge(
    wanted: Mapping[str, str],
    states: Mapping[str, RowState],
    log: Iterable[Logged],
    calendar: Iterable[Logged],
) -> Verdict:
    """`wanted`: starts by event; `states`: of the rows in the journal; `log`: the requests since the job began.

    A plan of one row per event, none of which is parked.
    """
    requests = list(log)
    starts = {str(event["id"]): str(event["start_time"]) for event in calendar}
    writes = Counter(str(one["event_id"]) for one in requests if one["applied"])
    applied = {event_id for event_id, state in states.items() if state == "applied"}
    return Verdict(
        rows=len(wanted),
        lost=[one for one, start in wanted.items() if not _is_same(starts.get(one), start)],
        left=[one for one in wanted if one not in applied],
        claimed=sorted(applied - writes.keys()),
        second=sorted(event_id for event_id, count in writes.items() if count > 1),
        refused=sum(one["status"] == 429 for one in requests),
    )


def _is_same(start: str | None, wanted: str) -> bool:
    return start is not None and datetime.fromisoformat(start) == datetime.fromisoformat(wanted)
