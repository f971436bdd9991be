"""Spans and metrics of calls, by OpenTelemetry's own SDK."""

import asyncio
import contextlib
import io
import re
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from leadconnector_async import (
    AppointmentUpdate,
    ConfigurationError,
    LeadConnector,
    LeadConnectorError,
    RetryPolicy,
)
from leadconnector_async.events import CallStarted, Paused
from leadconnector_async.integrations.opentelemetry import Telemetry
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient

PAGE = Path(__file__).parents[2] / "docs/pages/how-to/trace-with-opentelemetry.md"
TITLE = AppointmentUpdate(title="Private talk with Ann")
SLOW = RetryPolicy(backoff_base=5, backoff_cap=5)
TEMPLATE = "/calendars/events/appointments/{id}"


class Setup:
    """Everything in memory."""

    def __init__(self, most_locations: int = 100) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.telemetry = Telemetry(
            tracer_provider=self.tracers,
            meter_provider=MeterProvider([self.reader]),
            most_locations=most_locations,
        )

    def find_spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def read_metrics(self) -> dict[str, Sequence[NumberDataPoint | HistogramDataPoint]]:
        data = self.reader.get_metrics_data()
        found: dict[str, Sequence[NumberDataPoint | HistogramDataPoint]] = {}
        for scope in (
            [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        ):
            found |= {metric.name: metric.data.data_points for metric in scope.metrics}  # type: ignore[misc]
        return found

    def dump(self) -> str:
        spans = [span.to_json() for span in self.exporter.get_finished_spans()]
        return "".join(map(str, [*spans, self.reader.get_metrics_data()]))


@pytest.fixture
def setup() -> Setup:
    return Setup()


def test_the_trace_on_the_page_is_what_its_program_prints() -> None:
    """One trace explains a 429, the pause, the lost response, the read-back and the success; times aside."""
    page = PAGE.read_text(encoding="utf-8")
    program = next(block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "print_trace" in block)
    [shown] = re.findall(r"```text\n(update_appointment.*?)```", page, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, str(PAGE), "exec"), {"__name__": "__main__"})  # noqa: S102 - our own page
    [mine, its] = [re.sub(r"\d+\.\d\d s", "… s", text).splitlines() for text in (printed.getvalue(), shown)]
    assert mine == its
    for step in (
        "http.response.status_code=429",
        "paused",
        "no_response",
        "GET /cal",
        "reconciled",
        "resend_count=1",
    ):
        assert any(step in line for line in mine)


async def test_attempts_follow_the_conventions_for_http_clients(
    setup: Setup, sandbox: Sandbox, make_client: MakeClient
) -> None:
    """Exactly their attributes, and how often the request was sent before."""
    event_id = sandbox.appointment_ids[0]
    sandbox.faults.plan("update_appointment", ["503", "reset"])
    await make_client(on_event=setup.telemetry).update_appointment(event_id, TITLE)
    host, port = sandbox.url.removeprefix("http://").split(":")
    common = {
        "http.request.method": "PUT",
        "server.address": host,
        "server.port": int(port),
        "url.template": TEMPLATE,
        "url.full": f"{sandbox.url}/calendars/events/appointments/{event_id}",
    }
    spans = setup.find_spans(f"PUT {TEMPLATE}")
    assert [dict(span.attributes or {}) for span in spans] == [
        {**common, "http.response.status_code": 503, "error.type": "503"},
        {**common, "error.type": "no_response", "http.request.resend_count": 1},
        {**common, "http.response.status_code": 200, "http.request.resend_count": 2},
    ]
    assert {span.kind for span in spans} == {SpanKind.CLIENT}
    assert [span.status.status_code for span in spans] == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    [call] = setup.find_spans("update_appointment")
    assert call.kind == SpanKind.INTERNAL
    assert {span.parent and span.parent.span_id for span in spans} == {call.context and call.context.span_id}


async def test_a_call_is_the_child_of_the_span_around_it(
    setup: Setup, sandbox: Sandbox, make_client: MakeClient
) -> None:
    """In tasks too: each keeps the span that was current where it was made."""
    client, tracer = make_client(on_event=setup.telemetry), setup.tracers.get_tracer("user")

    async def look(name: str) -> None:
        with tracer.start_as_current_span(name):
            tasks = [asyncio.create_task(client.get_appointment(one)) for one in sandbox.appointment_ids[:3]]
        await asyncio.gather(*tasks)

    await asyncio.gather(look("first"), look("second"))
    await client.get_appointment(sandbox.appointment_ids[0])
    parents = [span.parent and span.parent.span_id for span in setup.find_spans("get_appointment")]
    for name in ("first", "second"):
        [around] = setup.find_spans(name)
        assert parents.count(around.context and around.context.span_id) == 3
    assert parents.count(None) == 1


@pytest.mark.parametrize("fault", ["stall 5", "429 retry-after=5", "503"])
async def test_spans_end_when_a_call_is_cancelled(
    setup: Setup, sandbox: Sandbox, make_client: MakeClient, fault: str
) -> None:
    """While it waits for a response, for a slot, or backs off; nothing is kept, and the duration is recorded."""
    started: list[str] = []
    setup.tracers.add_span_processor(Recorder(started))
    sandbox.faults.plan("update_appointment", [fault])
    client = make_client(on_event=setup.telemetry).with_options(retry=SLOW)
    task = asyncio.create_task(client.update_appointment(sandbox.appointment_ids[0], TITLE))
    awaited = {"stall 5": f"PUT {TEMPLATE}", "429 retry-after=5": "wait for slot", "503": "back off"}[fault]
    while awaited not in started:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ended = [span.name for span in setup.exporter.get_finished_spans()]
    assert sorted(ended) == sorted(started)
    assert ended[-1] == "update_appointment"
    [call] = setup.find_spans("update_appointment")
    assert (call.attributes or {})["error.type"] == "CancelledError"
    [duration] = setup.read_metrics()["leadconnector.call.duration"]
    assert duration.attributes == {"leadconnector.operation": "update_appointment", "error.type": "CancelledError"}
    assert not setup.telemetry._tracer._calls


class Recorder(SpanProcessor):
    """Remembers what began."""

    def __init__(self, started: list[str]) -> None:
        self.started = started

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self.started.append(span.name)


class Broken(SpanProcessor):
    """Raises at every step."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        raise RuntimeError("start")

    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("end")


class BrokenExporter(SpanExporter):
    """Raises as an exporter can."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise RuntimeError("export")


@pytest.mark.parametrize("processor", [Broken(), SimpleSpanProcessor(BrokenExporter())])
async def test_telemetry_that_fails_breaks_no_call(
    setup: Setup, sandbox: Sandbox, make_client: MakeClient, processor: SpanProcessor
) -> None:
    """Whether a processor or its exporter raises: the call returns, nothing of it is kept, metrics are counted."""
    setup.tracers.add_span_processor(processor)
    sandbox.faults.plan("get_appointment", ["429 retry-after=0.01"])
    await make_client(on_event=setup.telemetry).get_appointment(sandbox.appointment_ids[0])
    assert not setup.telemetry._tracer._calls
    assert setup.read_metrics()["leadconnector.rate_limited"][0].value == 1  # type: ignore[union-attr]


class StuckExporter(SpanExporter):
    """Exports nothing before it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.exported = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.released.wait(60)
        self.exported += len(spans)
        return SpanExportResult.SUCCESS


async def test_an_exporter_that_hangs_blocks_no_call(sandbox: Sandbox, make_client: MakeClient) -> None:
    """As the page sets it up: calls return while it hangs, and their spans are exported later."""
    exporter, provider = StuckExporter(), TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter, max_export_batch_size=1))
    client = make_client(on_event=Telemetry(tracer_provider=provider))
    for event_id in sandbox.appointment_ids[:5]:
        await client.get_appointment(event_id)
    assert exporter.exported == 0
    exporter.released.set()
    await asyncio.to_thread(provider.shutdown)
    assert exporter.exported == 10


async def test_locations_have_metrics_of_their_own(setup: Setup, sandbox: Sandbox, make_client: MakeClient) -> None:
    """Waits, pauses, 429s, retries, read-backs and repeated writes, by location."""
    client, event_id = make_client(on_event=setup.telemetry), sandbox.appointment_ids[0]
    sandbox.faults.plan("update_appointment", ["429 retry-after=0.01", "lose-response"])
    await client.update_appointment(event_id, TITLE)
    sandbox.faults.plan("update_appointment", ["503"])
    await client.update_appointment(event_id, AppointmentUpdate(title="Another"))
    metrics, here = setup.read_metrics(), {"leadconnector.location.id": sandbox.location_id}
    for name in ("leadconnector.rate_limited", "leadconnector.repeated_writes"):
        [point] = metrics[name]
        assert (point.value, point.attributes) == (1, here)  # type: ignore[union-attr]
    assert metrics["leadconnector.retries"][0].value == 3  # type: ignore[union-attr]
    read_backs = {
        (point.attributes or {})["leadconnector.applied"]: point for point in metrics["leadconnector.read_backs"]
    }
    assert read_backs.keys() == {True, False}
    for name in ("leadconnector.slot.wait", "leadconnector.pause.duration"):
        [point] = metrics[name]
        assert (point.count, point.attributes) == (1, here)  # type: ignore[union-attr]
    attempts = metrics["http.client.request.duration"]
    assert sum(point.count for point in attempts) == len(sandbox.requests)  # type: ignore[union-attr]
    assert {(point.attributes or {}).get("error.type") for point in attempts} == {None, "429", "no_response", "503"}
    assert all("leadconnector.location.id" not in (point.attributes or {}) for point in attempts)


async def test_limits_are_gauges(setup: Setup, sandbox: Sandbox, make_client: MakeClient) -> None:
    """Read in the client's loop, also when a thread exports; of all locations called through it."""
    client = make_client(on_event=setup.telemetry)
    setup.telemetry.observe(client)
    await client.get_appointment(sandbox.appointment_ids[0])
    await client.for_location("other", sandbox.token).list_calendars(location_id=sandbox.location_id)
    for metrics in (setup.read_metrics(), await asyncio.to_thread(setup.read_metrics)):
        points = metrics["leadconnector.quota.daily.remaining"]
        found = {(point.attributes or {})["leadconnector.location.id"]: point.value for point in points}  # type: ignore[union-attr]
        assert found == {key: quota.daily_remaining for key, quota in client.quotas.items()}
        assert set(found) == {sandbox.location_id, "other"}
        assert {point.value for point in metrics["leadconnector.quota.retries"]} == {10}  # type: ignore[union-attr]


def test_gauges_outlive_the_loop(setup: Setup) -> None:
    """A client whose loop has ended is forgotten; outside of a loop it cannot be observed."""

    async def use() -> object:
        async with Sandbox(appointments=1) as sandbox:
            async with LeadConnector(sandbox.token, base_url=sandbox.url) as client:
                setup.telemetry.observe(client)
                await client.get_appointment(sandbox.appointment_ids[0])
                assert "leadconnector.quota.limit" in setup.read_metrics()
                return client

    client = asyncio.run(use())
    assert not setup.read_metrics().get("leadconnector.quota.limit")
    with pytest.raises(ConfigurationError, match="no running event loop"):
        setup.telemetry.observe(client)  # type: ignore[arg-type]


def test_labels_are_bounded() -> None:
    """The third location of two is counted with the rest; paths of callers become one operation."""
    setup = Setup(most_locations=2)
    for location in ("a", "b", "c", "d", "a"):
        setup.telemetry(Paused(location, "get_appointment", 1, "id", 1.0))
    points = setup.read_metrics()["leadconnector.pause.duration"]
    counts = {(point.attributes or {})["leadconnector.location.id"]: point.count for point in points}  # type: ignore[union-attr]
    assert counts == {"a": 2, "b": 1, "_OTHER": 2}
    setup.telemetry(CallStarted("a", "GET /contacts/42", 0, "id"))
    assert setup.telemetry._tracer._calls["id"].span.name == "request"  # type: ignore[attr-defined]


async def test_no_token_and_no_payload_leaves(setup: Setup, sandbox: Sandbox, make_client: MakeClient) -> None:
    """Neither in spans nor in metrics, whatever happens; nor what a query asks for."""
    client = make_client(on_event=setup.telemetry)
    sandbox.faults.plan("update_appointment", ["429 retry-after=0.01", "lose-response", "422"])
    await client.update_appointment(sandbox.appointment_ids[0], TITLE)
    with contextlib.suppress(LeadConnectorError):
        await client.update_appointment(sandbox.appointment_ids[0], TITLE)
    with contextlib.suppress(LeadConnectorError):
        await client.request("GET", "/contacts/", query={"query": "ann@example.org"})
    dump = setup.dump()
    assert "REDACTED" in dump
    for secret in (sandbox.token, "Private", "Ann", "ann@"):
        assert secret not in dump


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("tracer_provider", MeterProvider()),
        ("tracer_provider", TracerProvider),
        ("meter_provider", TracerProvider()),
        ("meter_provider", "otlp"),
    ],
)
def test_what_is_not_a_provider_is_refused_by_name(name: str, given: object) -> None:
    """The two are easily confused."""
    with pytest.raises(ConfigurationError, match=rf"^{name} is .*; it must be a "):
        Telemetry(**{name: given})  # type: ignore[arg-type]


async def test_only_a_client_is_observed() -> None:
    """A function that returns one, for example, is not."""
    with pytest.raises(ConfigurationError, match=r"^client is .*; it must be a LeadConnector"):
        Telemetry().observe(LeadConnector)  # type: ignore[arg-type]
