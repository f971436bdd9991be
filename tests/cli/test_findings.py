"""What `leadconnector doctor` makes of tokens, errors and headers."""

from email.utils import formatdate

import pytest

from leadconnector_async import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    OutcomeUnknownError,
    PermissionDeniedError,
    TransportError,
    UnprocessableError,
)
from leadconnector_async._limiter.headers import Quota
from leadconnector_async._secret import Secret
from leadconnector_async.cli.findings import (
    Finding,
    blame,
    choose_code,
    describe_token,
    find_paste_mistake,
    judge_clock,
    judge_limits,
    judge_scope,
)

SECRET = "pit-0123456789-very-secret"
NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("token", "what"),
    [
        (f"{SECRET}\n", "a line break"),
        (f"{SECRET}\r\n", "a line break"),
        (f"\n{SECRET}", "a line break"),
        (f" {SECRET}", "whitespace"),
        (f'"{SECRET}"', "quotation marks"),
        (f"\u201c{SECRET}\u201d", "quotation marks"),
    ],
)
def test_what_was_pasted_with_a_token_is_named(token: str, what: str) -> None:
    """And the token is not shown."""
    found = find_paste_mistake("LEADCONNECTOR_TOKEN", Secret(token))
    assert found is not None
    assert (found.state, found.code) == ("failed", 2)
    assert f"with {what}" in found.text or f"has {what}" in found.text
    assert SECRET not in repr(found)


def test_a_token_alone_is_right() -> None:
    """So is none: another check says that it is missing."""
    assert find_paste_mistake("X", Secret(SECRET)) is None
    assert find_paste_mistake("X", Secret("")) is None


def test_a_token_that_will_expire_is_a_warning() -> None:
    """Unless whoever returned it can return another one."""
    assert describe_token("X", Secret(SECRET), renewed=False).state == "ok"
    assert describe_token("X", Secret("eyJ0"), renewed=True).state == "ok"
    found = describe_token("X", Secret("eyJ0"), renewed=False)
    assert found.state == "warning"
    assert "expires within a day" in found.text
    assert "eyJ0" not in found.text


def missing() -> ApiError:
    return AuthenticationError("HTTP 401", messages=["The token is not authorized for this scope."], status=401)


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_refusal_of_the_request_shows_the_scope(status: int) -> None:
    """A missing scope is refused before the request is looked at."""
    kind = UnprocessableError if status == 422 else BadRequestError
    error = kind("HTTP", messages=["appointmentStatus must be a valid enum value"], status=status)
    assert judge_scope("s", error, "") == Finding("scope s", "ok", "granted")


def test_a_missing_scope_is_a_failure_where_it_is_needed() -> None:
    """It says what to do; where little needs it, it is a warning that says what."""
    found = judge_scope("s", missing(), "")
    assert (found.state, found.code) == ("failed", 4)
    assert "Add it to the Private Integration" in found.text
    found = judge_scope("s", missing(), ": contacts cannot be read")
    assert (found.state, found.code) == ("warning", 0)
    assert "contacts cannot be read" in found.text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (
            AuthenticationError(
                "HTTP 401: Invalid JWT", messages=["Invalid JWT"], status=401, outcome="not_applied"
            ),
            4,
        ),
        (PermissionDeniedError("HTTP 403", status=403, transient=True, outcome="not_applied"), 5),
        (TransportError("no response", outcome="not_applied"), 5),
        (OutcomeUnknownError("lost", status=502), 5),
    ],
)
def test_any_other_error_says_nothing_about_a_scope(error: ApiError, code: int) -> None:
    """A lost response to the update that cannot be applied leaves nothing in doubt."""
    found = judge_scope("s", error, "")
    assert (found.state, found.code) == ("failed", code)
    assert found.text.startswith("could not be checked: ")
    assert "may have been applied" not in found.text


@pytest.mark.parametrize(
    ("off", "state", "text"),
    [
        (0, "ok", "agrees"),
        (29, "ok", "agrees"),
        (-29, "ok", "agrees"),
        (120, "warning", "120 s ahead of"),
        (-3600, "warning", "3600 s behind"),
    ],
)
def test_a_clock_is_compared_with_the_servers(off: int, state: str, text: str) -> None:
    """Ahead or behind, however long the request took."""
    date = formatdate(NOW, usegmt=True)
    local = NOW + off + (1 if off > 0 else 0)
    began, ended = (local, local + 20) if off > 0 else (local - 20, local)
    found = judge_clock(date, began, ended)
    assert found.state == state
    assert text in found.text


@pytest.mark.parametrize("date", [None, "", "yesterday", "Mon, 99 Foo 2027 00:00:00 GMT"])
def test_a_response_without_a_date_says_nothing_about_the_clock(date: str | None) -> None:
    """Nor does one that cannot be read."""
    assert judge_clock(date, NOW, NOW).state == "skipped"


@pytest.mark.parametrize(
    ("quota", "state", "code", "text"),
    [
        (Quota(25, 24, 10.0, 10_000, 9_000, 3600.0), "ok", 0, "25 requests in 10 s, 9000 of 10000 left today"),
        (Quota(25, 24, 10.0, 10_000, 900, 3600.0), "warning", 0, "more in 1.0 h"),
        (Quota(25, 24, 10.0, 10_000, 0, 5400.0), "failed", 8, "Try again in 1.5 h"),
        (Quota(None, None, None, None, 0, None), "failed", 8, "Try again tomorrow"),
        (Quota(), "warning", 0, "no rate-limit headers"),
    ],
)
def test_limits_are_those_of_the_headers(quota: Quota, state: str, code: int, text: str) -> None:
    """A day that is spent is a failure, and says when it ends."""
    found = judge_limits(quota)
    assert (found.state, found.code) == (state, code)
    assert text in found.text


def test_the_first_failure_is_the_exit_code() -> None:
    """Warnings and what was skipped are none."""
    first, second = Finding("a", "failed", "", 5), Finding("b", "failed", "", 4)
    assert choose_code([Finding("c", "warning", "w"), first, second]) == 5
    assert choose_code([Finding("c", "warning", "w"), Finding("d", "skipped", "s")]) == 0
    assert blame("x", TransportError("away")) == Finding("x", "failed", "away", 5)
