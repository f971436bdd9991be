"""Metrics: how long calls and attempts take; and of each location its waits, pauses, 429s, retries and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, TypeAlias

from opentelemetry.metrics import CallbackOptions, Counter, Meter, Observation

from .._api.statuses import find_traits
from .._limiter.headers import LocationQuota
from ..events import (
    Event,
    Paused,
    Reconciled,
    ResponseReceived,
    Retrying,
    SlotAcquired,
    TokenRefreshed,
    WriteRepeated,
)
from ..exceptions import RateLimitedError
from .opentelemetry_spans import OTHER, Attributes, Record

Quotas: TypeAlias = Mapping[str | None, LocationQuota]

_SHORT: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Seconds: the buckets of the conventions."""
_LONG: Final = (0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300)
_GAUGES: Final[Mapping[str, tuple[str, str, Callable[[LocationQuota], float]]]] = {
    "limit": ("{request}", "Requests allowed in an interval.", lambda quota: quota.limit),
    "remaining": ("{request}", "Requests remaining in the interval.", lambda quota: quota.remaining),
    "in_flight": ("{request}", "Requests in flight.", lambda quota: quota.in_flight),
    "waiting": ("{call}", "Calls that wait for a slot.", lambda quota: quota.waiting),
    "paused": ("s", "Seconds until the pause ends; 0 if there is none.", lambda quota: quota.paused_seconds),
    "daily.limit": ("{request}", "Requests allowed in a day.", lambda quota: quota.daily_limit),
    "daily.remaining": ("{request}", "Requests remaining today.", lambda quota: quota.daily_remaining),
    "retries": ("{retry}", "Retries that the retry budget still pays for.", lambda quota: quota.retries_remaining),
}


def measure(meter: Meter) -> tuple[Record, Record]:
    """What records the durations of calls and of attempts."""
    call = meter.create_histogram(
        "leadconnector.call.duration",
        "s",
        "Duration of calls, attempts and waits included.",
        explicit_bucket_boundaries_advisory=(*_SHORT, *_LONG[6:]),
    )
    attempt = meter.create_histogram(
        "http.client.request.duration",
        "s",
        "Duration of HTTP client requests.",
        explicit_bucket_boundaries_advisory=_SHORT,
    )
    return call.record, attempt.record


class LocationMetrics:
    """An event handler that counts what happens in each location.

    At most `most` locations get their own values; all others are counted together, as `_OTHER`.
    """

    def __init__(self, meter: Meter, most: int, read_quotas: Callable[[], Quotas]) -> None:
        self._most = most
        self._read_quotas = read_quotas
        self._known: set[str] = set()
        self._waits = meter.create_histogram(
            "leadconnector.slot.wait",
            "s",
            "How long calls waited for a slot; calls that did not wait are not counted.",
            explicit_bucket_boundaries_advisory=_LONG,
        )
        self._pauses = meter.create_histogram(
            "leadconnector.pause.duration", "s", "Pauses after a 429.", explicit_bucket_boundaries_advisory=_LONG
        )
        self._rate_limited = meter.create_counter("leadconnector.rate_limited", "{response}", "Responses with 429.")
        self._read_backs = meter.create_counter(
            "leadconnector.read_backs", "{read_back}", "Writes with unknown outcome that were looked for."
        )
        self._counters: dict[type[Event], Counter] = {
            Retrying: meter.create_counter("leadconnector.retries", "{retry}", "Requests that were retried."),
            WriteRepeated: meter.create_counter(
                "leadconnector.repeated_writes",
                "{request}",
                "Writes sent again that may have been applied.",
            ),
            TokenRefreshed: meter.create_counter(
                "leadconnector.token_refreshes", "{refresh}", "Tokens replaced because the server rejected them."
            ),
        }
        for name, (unit, description, find) in _GAUGES.items():
            callbacks = [partial(self._observe, find)]
            meter.create_observable_gauge(f"leadconnector.quota.{name}", callbacks, unit, description)

    def __call__(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, SlotAcquired):
            self._waits.record(event.seconds, self._label(event.location_id))
        elif isinstance(event, Paused):
            self._pauses.record(event.seconds, self._label(event.location_id))
        elif isinstance(event, Reconciled):
            attributes = self._label(event.location_id)
            self._read_backs.add(1, {**attributes, "leadconnector.applied": event.applied})
        elif (counter := self._find_counter(event)) is not None:
            counter.add(1, self._label(event.location_id))

    def _find_counter(self, event: Event) -> Counter | None:
        if isinstance(event, ResponseReceived):
            return self._rate_limited if find_traits(event.status).error_type is RateLimitedError else None
        return self._counters.get(type(event))

    def _observe(self, find: Callable[[LocationQuota], float], options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(find(quota), self._label(location)) for location, quota in self._read_quotas().items()]

    def _label(self, location_id: str | None) -> Attributes:
        location = "" if location_id is None else location_id
        if location not in self._known:
            if len(self._known) >= self._most:
                location = OTHER
            else:
                self._known.add(location)
        return {"leadconnector.location.id": location}
