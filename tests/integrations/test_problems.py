"""Errors as responses: which status code, what is in the body, and what never is."""

import logging
import re
from typing import Any, get_args

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from leadconnector_async import (
    ApiError,
    AppointmentUpdate,
    DailyLimitError,
    InvalidRequestError,
    LeadConnector,
    LeadConnectorError,
    OutcomeUnknownError,
    PermissionDeniedError,
    PlanError,
    RateLimitedError,
    RetryPolicy,
    exceptions,
)
from leadconnector_async.exceptions import Outcome, RowFault
from leadconnector_async.integrations.problems import TABLE, build_problem, find_retry_after
from leadconnector_async.integrations.starlette import install_error_handlers

from ..raw_server import answer, raw_server
from .backends import serve

SECRET = "pit-0123456789-very-secret"
NAME = "Mrs Ada Byron"
ERRORS: list[type[LeadConnectorError]] = [
    one
    for one in vars(exceptions).values()
    if isinstance(one, type) and issubclass(one, exceptions.LeadConnectorError)
]
REPEATED_BY_PROGRAMS = {408, 425, 429, 502, 503, 504}


@pytest.mark.parametrize("error_type", ERRORS)
def test_every_error_has_its_row(error_type: type[LeadConnectorError]) -> None:
    """Its own, so that nobody forgets it; its status code is one of an error, and its code is its name."""
    status, detail = TABLE[error_type]
    assert 400 <= status <= 599
    assert re.fullmatch(r"[A-Z].*[a-z]\.", detail)
    code = build_problem(error_type("x")).code
    assert code.replace("_", "") == error_type.__name__.removesuffix("Error").lower()


@pytest.mark.parametrize("error_type", ERRORS)
@pytest.mark.parametrize("outcome", get_args(Outcome))
def test_what_programs_repeat_by_themselves_was_not_applied(
    error_type: type[LeadConnectorError], outcome: Outcome
) -> None:
    """So a write that may have been applied is no such status code, and has no `Retry-After`."""
    error = error_type("x")
    error.outcome, error.retry_after = outcome, 2.5  # type: ignore[attr-defined]
    problem = build_problem(error)
    assert problem.outcome == outcome
    if outcome != "not_applied":
        assert problem.status not in REPEATED_BY_PROGRAMS
        assert find_retry_after(error, problem.status) is None


@pytest.mark.parametrize("error_type", ERRORS)
def test_nothing_that_the_server_said_is_in_a_problem(error_type: type[LeadConnectorError]) -> None:
    """Neither its text nor its messages, nor what was sent or searched for."""
    error = error_type(f"HTTP 400: {SECRET} {NAME}")
    error.operation, error.trace_id = SECRET, "trace-1"
    for name in ("messages", "sent", "sent_body", "candidates", "value"):
        setattr(error, name, [SECRET, NAME])
    if isinstance(error, InvalidRequestError):
        error.field, error.value, error.reason = "title", NAME, "it has a line break"
    error.__cause__ = ValueError(SECRET)
    body = msgspec.json.encode(build_problem(error)).decode()
    assert SECRET not in body
    assert NAME not in body
    assert "trace-1" in body


def test_invalid_fields_are_listed() -> None:
    """With reason and hint; those of a plan with their line, and at most 100."""
    invalid = InvalidRequestError("x", field="start_time", value=NAME, reason="it has no offset", hint="add it")
    (one,) = build_problem(invalid).errors
    assert (one.field, one.reason, one.hint, one.line) == ("start_time", "it has no offset", "add it", None)
    faults = tuple(RowFault(line, "" if line == 2 else "title", "empty", "set it") for line in range(2, 500))
    listed = build_problem(PlanError("x", faults, 498)).errors
    assert [one.line for one in listed] == [*range(2, 102)]
    assert (listed[0].field, listed[1].field) == (None, "title")


@pytest.mark.parametrize(
    ("seconds", "sent"),
    [(0.2, 1), (12.1, 13), (None, None), (0.0, 1), (-5.0, 1), (1e9, 172_800), (float("inf"), None), ("9", None)],
)
def test_a_wait_is_in_whole_seconds(seconds: Any, sent: int | None) -> None:
    """Rounded up, because an earlier request would fail again; what is not a number is left out."""
    error = RateLimitedError("x", retry_after=seconds, outcome="not_applied")
    assert find_retry_after(error, build_problem(error).status) == sent


def make_app(act: Any) -> Starlette:
    async def respond(request: Request) -> Response:
        await act(request)
        return Response()

    app = Starlette(routes=[Route("/{path:path}", respond, methods=["GET", "PUT"])])
    install_error_handlers(app)
    return app


async def test_a_response_is_a_problem(caplog: pytest.LogCaptureFixture) -> None:
    """As RFC 9457 has it; the error is logged with its reason, and a path cannot forge a line of the log."""

    async def fail(request: Request) -> None:
        raise DailyLimitError("spent", status=429, retry_after=59.5, trace_id="abc", outcome="not_applied")

    async with serve(make_app(fail)) as browser:
        response = await browser.get("/")
    assert response.status_code == 429
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "60"
    assert response.json() == {
        "type": "about:blank",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "The daily limit of the location is used up.",
        "code": "daily_limit",
        "outcome": "not_applied",
        "trace_id": "abc",
        "errors": [],
    }

    async def lose(request: Request) -> None:
        raise OutcomeUnknownError("lost", attempts=3)

    caplog.set_level(logging.ERROR)
    async with serve(make_app(lose)) as browser:
        response = await browser.get("/a%1B%0D forged")
    assert (response.status_code, response.json()["outcome"]) == (500, "unknown")
    (record,) = caplog.records
    assert "lost [3 attempts]" in record.message
    assert record.message.isprintable()


ECHOES = [
    answer(401, b'{"statusCode":401,"message":"Invalid token ' + SECRET.encode() + b'"}'),
    answer(403, b"<html>" + NAME.encode() + b"</html>"),
    answer(422, b'{"message":["' + NAME.encode() + b'"],"traceId":"' + SECRET.encode() + b'"}'),
    answer(503, NAME.encode()),
    answer(400, b'{"message":"' + NAME.encode() + SECRET.encode() + b'"}'),
    b"",
]


@pytest.mark.parametrize("echo", ECHOES)
async def test_a_server_that_repeats_what_it_got_gives_nothing_away(
    echo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither token nor text of it is in the response, and no token in the log."""
    caplog.set_level(logging.DEBUG)
    policy = RetryPolicy(max_attempts=1, on_ambiguous="raise")
    async with raw_server(echo) as server:
        async with LeadConnector(SECRET, base_url=server.url, retry=policy) as client:

            async def update(request: Request) -> None:
                await client.update_appointment("ev1", AppointmentUpdate(title=NAME))

            async with serve(make_app(update)) as browser:
                response = await browser.put("/ev1")
    assert response.status_code >= 400
    assert response.json()["code"]
    seen = response.text + repr(response.headers)
    assert SECRET not in seen + caplog.text
    assert NAME not in seen


def test_a_blocked_request_is_told_from_a_forbidden_one() -> None:
    """A proxy's refusal may pass, so it is a 503; the server's own does not."""
    blocked = PermissionDeniedError("x", status=403, transient=True, outcome="not_applied")
    assert build_problem(blocked).status == 503
    assert build_problem(PermissionDeniedError("x", status=403, outcome="not_applied")).status == 403


class NewError(ApiError):
    """A subclass of a user's."""


def test_a_class_without_a_row_is_its_parent() -> None:
    """So errors of your own have a response as well."""
    assert build_problem(NewError("x", outcome="not_applied")).code == "api"
