"""Refusals that are not about any row: a job of any size lives through a stray one, and stops at a real one."""

import pytest

from leadconnector_async import (
    ApiError,
    AuthenticationError,
    LeadConnectorError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    TransportError,
)
from leadconnector_async._api.errors import read_error
from leadconnector_async.jobs.states import Stopped, describe_stop, wait_out
from leadconnector_async.sandbox import Sandbox

from ...conftest import MakeClient
from ..jobbing import FAST, rows, run, week_later, writes

pytestmark = pytest.mark.sandbox(limits=FAST)

UPDATE = "update_appointment"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leadconnector_async._retry.backoff._STRAY_SECONDS", (0.25, 0.3))


@pytest.mark.parametrize("fault", ["401", "html 401", "html 403"])
@pytest.mark.parametrize(
    ("operation", "times"), [(UPDATE, 1), (UPDATE, 16), ("get_appointment", 1), ("list_events", 1)]
)
async def test_a_stray_refusal_stops_no_job(
    sandbox: Sandbox, make_client: MakeClient, place: str, fault: str, operation: str, times: int
) -> None:
    """Of one row, of all that are under way at once, or of a reading before the first row."""
    before = ["ok"] * 9 if operation == UPDATE and times == 1 else []
    sandbox.faults.plan(operation, [*before, *[fault] * times])
    summary = await run(place, make_client(), rows(*week_later(sandbox, 60)), concurrency=times)
    assert (summary.counts, summary.stopped) == ({"applied": 60}, ())
    assert sandbox.faults.unused() == {}
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids[:60])


async def test_a_token_that_is_refused_again_stops_the_job(
    sandbox: Sandbox, make_client: MakeClient, place: str
) -> None:
    """Two requests for the row at which it happened, and none for those behind it."""
    sandbox.faults.plan(UPDATE, [*["ok"] * 9, *["401"] * 3])
    summary = await run(place, make_client(), rows(*week_later(sandbox, 60)), concurrency=1)
    assert [stopped.kind for stopped in summary.stopped] == ["authentication"]
    assert summary.counts == {"applied": 9, "pending": 51}
    assert len(sandbox.requests.of(UPDATE)) == 11


async def test_an_edge_that_keeps_refusing_is_not_the_token(
    sandbox: Sandbox, make_client: MakeClient, place: str
) -> None:
    """The job stops as over a network that is down, and no row has failed."""
    sandbox.faults.plan(UPDATE, ["html 403"] * 1000)
    summary = await run(place, make_client(), rows(*week_later(sandbox, 60)))
    assert [stopped.kind for stopped in summary.stopped] == ["unreachable"]
    assert summary.counts == {"pending": 60}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TransportError("x"), "unreachable"),
        (ServerError("x"), "unreachable"),
        (RateLimitedError("x"), "unreachable"),
        (read_error(403, b"<html>Just a moment..."), "unreachable"),
        (read_error(302, b""), "unreachable"),
        (read_error(407, b"<html>Proxy"), "unreachable"),
        (read_error(429, b"", daily_spent=True), "daily"),
        (read_error(403, b'{"message":"The token does not have access to this location."}'), "authentication"),
        (PermissionDeniedError("x"), "authentication"),
        (AuthenticationError("x"), "authentication"),
        (ApiError("x", status=409), None),
        (read_error(422, b'{"message":"no"}'), None),
    ],
)
def test_what_stops_a_location_is_told_apart_from_what_fails_a_row(
    error: LeadConnectorError, kind: str | None
) -> None:
    """And the token from the way to the server."""
    stopped = describe_stop(error, "loc")
    assert (stopped.kind if stopped is not None else None) == kind


@pytest.mark.parametrize(("seconds", "waits"), [(0.0, True), (0.01, True), (301.0, False), (None, False)])
async def test_a_job_waits_for_a_budget_that_is_back_soon(seconds: float | None, waits: bool) -> None:
    """Five minutes at most; for longer it stops, and says when to resume it."""
    assert await wait_out(Stopped("daily", "x", None, seconds)) is waits
    assert not await wait_out(Stopped("unreachable", "x", None, 0.0))


@pytest.mark.parametrize("operation", [UPDATE, "get_appointment", "list_events"])
@pytest.mark.parametrize("concurrency", [1, 16])
async def test_one_header_that_calls_the_day_spent_stops_no_job(
    sandbox: Sandbox,
    make_client: MakeClient,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    concurrency: int,
) -> None:
    """Neither before the first row nor in the middle: the next request shows that it is not."""
    monkeypatch.setattr("leadconnector_async._limiter.daily._FIRST_PROBE", 0.05)
    receive, odd = sandbox._app.receive, {"x-ratelimit-daily-remaining": "0", "x-ratelimit-daily-reset": "0"}

    def answer(*request: object) -> object:
        before = len(sandbox.requests.of(operation))
        reply = receive(*request)  # type: ignore[arg-type]
        if before == 0 < len(sandbox.requests.of(operation)):
            reply.headers.update(odd)
        return reply

    monkeypatch.setattr(sandbox._app, "receive", answer)
    summary = await run(place, make_client(), rows(*week_later(sandbox, 60)), concurrency=concurrency)
    assert (summary.counts, summary.stopped) == ({"applied": 60}, ())
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids[:60])
