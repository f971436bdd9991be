"""The log of requests, for assertions. It is bounded, and never contains a token."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice

from msgspec import Struct

from .settings import check_operation


class LoggedRequest(Struct):
    """One request as the server saw it."""

    operation: str | None
    """The vendor's name; `None` if no route matched."""
    method: str
    """The HTTP method."""
    path: str
    """The path of its URL."""
    event_id: str | None
    """The one in the path, or the one that was created."""
    at: float
    """When it arrived, in seconds of the event loop's clock."""
    body: str = ""
    """As text."""
    query: str = ""
    """The query string, without `?`."""
    location_id: str | None = None
    """Of the token; `None` if there was no valid one."""
    status: int | None = None
    """Status code of the response; `None` if none was sent."""
    applied: bool = False
    """Whether it changed an appointment."""
    fault: str | None = None
    """What was planned to go wrong with it."""


class RequestLog:
    """The newest requests, oldest first."""

    def __init__(self, size: int, operations: Iterable[str]) -> None:
        self._operations = tuple(operations)
        self._requests: deque[LoggedRequest] = deque(maxlen=size)
        self.total: int = 0
        """How many there ever were."""

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[LoggedRequest]:
        return iter(self._requests)

    def add(self, request: LoggedRequest) -> None:
        """Append a request."""
        self._requests.append(request)
        self.total += 1

    def list_newest(self, count: int) -> list[LoggedRequest]:
        """At most so many, oldest first."""
        return list(islice(reversed(self._requests), count))[::-1]

    def clear(self) -> None:
        """Remove all requests."""
        self._requests.clear()

    def of(self, operation: str) -> list[LoggedRequest]:
        """The requests of one operation. Raises `ValueError` for one that does not exist.

        `operation` is such as `update_appointment`.
        """
        check_operation(operation, self._operations)
        return [request for request in self if request.operation == operation]

    def count_statuses(self) -> Counter[int | None]:
        """Requests by the status code of their response; `None` counts those without a response."""
        return Counter(request.status for request in self)

    def count_applied(self, event_id: str) -> int:
        """How often a change of this event was applied.

        `event_id` is the id of the event.
        """
        return sum(request.applied for request in self if request.event_id == event_id)

    def count_most_in(self, seconds: float) -> int:
        """The largest number of requests in any window of that length; 429s do not count.

        `seconds` is the length.
        """
        window: deque[float] = deque()
        most = 0
        for request in self:
            if request.status == 429:
                continue
            window.append(request.at)
            while window[0] + seconds <= request.at:
                window.popleft()
            most = max(most, len(window))
        return most
