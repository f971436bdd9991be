"""Traces and metrics for OpenTelemetry. Needs the extra `otel`.

    telemetry = Telemetry()
    async with LeadConnector(token, location_id=location_id, on_event=telemetry) as client:
        telemetry.observe(client)

Attributes hold ids, numbers and names of errors: no token, no payload, no text of the server's.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Final
from weakref import WeakKeyDictionary

from msgspec import Struct
from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.trace import TracerProvider, get_tracer

from .._limiter.headers import LocationQuota
from .._validation.settings import check_count, check_kind
from .._version import __version__
from ..client import LeadConnector
from ..events import Event, combine_handlers
from ..exceptions import ConfigurationError
from .opentelemetry_metrics import LocationMetrics, Quotas, measure
from .opentelemetry_spans import CallTracer

_NAME: Final = "leadconnector_async"
_SCHEMA: Final = "https://opentelemetry.io/schemas/1.36.0"
_ANSWER_SECONDS: Final = 0.5
"""How long a thread that exports waits for the event loop."""


class _Observed(Struct):
    """A client whose limits are reported."""

    loop: asyncio.AbstractEventLoop
    quotas: Quotas = {}


class Telemetry:
    """An `on_event` handler that makes a span for each call, with its attempts and waits inside, and metrics.

    Without `tracer_provider` and `meter_provider`, the global ones are used. `most_locations` bounds the number of
    locations with metrics of their own; the others are counted together, as `_OTHER`. One handler serves any number
    of clients; with `combine_handlers` a handler of your own receives the events as well.

    Spans are handed to the processors of the provider inside the call: use one that exports in the background, such
    as `BatchSpanProcessor`.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        most_locations: int = 100,
    ) -> None:
        check_count("most_locations", most_locations, 0, 10_000)
        if tracer_provider is not None:
            check_kind("tracer_provider", tracer_provider, TracerProvider)
        if meter_provider is not None:
            check_kind("meter_provider", meter_provider, MeterProvider)
        tracer = get_tracer(_NAME, __version__, tracer_provider, schema_url=_SCHEMA)
        meter = get_meter(_NAME, __version__, meter_provider, schema_url=_SCHEMA)
        self._observed: WeakKeyDictionary[LeadConnector, _Observed] = WeakKeyDictionary()
        record_call, record_attempt = measure(meter)
        self._tracer = CallTracer(tracer, record_call=record_call, record_attempt=record_attempt)
        self._handle = combine_handlers(self._tracer, LocationMetrics(meter, most_locations, self._read_quotas))

    def __call__(self, event: Event) -> None:
        """Take the next event."""
        self._handle(event)

    def observe(self, client: LeadConnector) -> None:
        """Report the limits of all locations that are called through this client and its copies.

        `client` is not kept alive by this. Raises `ConfigurationError` outside of the event loop
        that uses the client.
        """
        check_kind("client", client, LeadConnector)
        try:
            self._observed[client] = _Observed(asyncio.get_running_loop())
        except RuntimeError:
            text = "there is no running event loop; call observe in the one that uses the client"
            raise ConfigurationError(text) from None

    def _read_quotas(self) -> Quotas:
        """Those of all clients, for the thread that exports; the last known ones of a loop that is busy."""
        found: dict[str | None, LocationQuota] = {}
        for client, observed in list(self._observed.items()):
            if observed.loop.is_closed():
                self._observed.pop(client, None)
                continue
            observed.quotas = _ask(client, observed.loop) or observed.quotas
            found.update(observed.quotas)
        return found


def _ask(client: LeadConnector, loop: asyncio.AbstractEventLoop) -> Quotas:
    """Read the quotas in the client's loop: reading them brings them up to date."""
    with suppress(RuntimeError):  # in a thread without a loop
        if asyncio.get_running_loop() is loop:
            return client.quotas
    if not loop.is_running():
        return {}
    asked = asyncio.run_coroutine_threadsafe(_read(client), loop)
    try:
        return asked.result(_ANSWER_SECONDS)
    except (TimeoutError, CancelledError):
        asked.cancel()
        return {}


async def _read(client: LeadConnector) -> Quotas:
    return client.quotas
