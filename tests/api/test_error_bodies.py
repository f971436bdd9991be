"""Error bodies of any content and size: only our errors, bounded texts, and steps in proportion to the size."""

import json
import pickle
import re
import sys
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import ApiError, DecodeError, LeadConnector, SlotUnavailableError
from leadconnector_async._api.body import read_trace_id
from leadconnector_async._api.errors import LARGEST_READ, MOST_MESSAGES, read_error, read_error_body
from leadconnector_async._validation.text import clean_line, read_page

from ..raw_server import answer, raw_server

SHOWN = 300 + len("…")
TOKEN = "pit-0123456789abcdef"
STEERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["message", "msg", "error", "x", ""]), inner),
    max_leaves=30,
)
HOSTILE: dict[str, Callable[[int], bytes]] = {
    "angle brackets": lambda size: b"<" * size,
    "open tags": lambda size: b"<a" * (size // 2),
    "open scripts": lambda size: b"<script>" * (size // 8),
    "open comments": lambda size: b"<!--" * (size // 4),
    "ends without a beginning": lambda size: b"</script " * (size // 9),
    "blanks": lambda size: b"<p>" + b" " * size,
    "entities": lambda size: b"<p>" + b"&#" * (size // 2),
    "one large number": lambda size: b"<p>&#" + b"9" * size + b";",
    "quotes": lambda size: b'{"message":"' + b'\\"' * (size // 2),
    "keys": lambda size: b'{"message":' * (size // 11),
    "messages": lambda size: json.dumps({"message": ["x"] * (size // 5)}).encode(),
    "brackets": lambda size: b'{"message":' + b"[" * size,
    "digits": lambda size: b'{"message":' + b"9" * size + b"}",
    "control characters": lambda size: b"\x1b[31m" * (size // 5),
}


def check(error: ApiError, status: int) -> None:
    """What every error keeps to, whatever the server said."""
    assert error.status == status
    assert len(error.messages) <= MOST_MESSAGES
    assert all(0 < len(message) <= SHOWN and not STEERS.search(message) for message in error.messages)
    assert len(str(error)) < 3000
    assert not STEERS.search(str(error))
    assert error.trace_id is None or (len(error.trace_id) <= 101 and not STEERS.search(error.trace_id))
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (str(copy), copy.messages, copy.transient) == (str(error), error.messages, error.transient)


@given(st.binary(max_size=2000), st.integers(100, 599))
def test_any_bytes_are_an_error_of_ours(body: bytes, status: int) -> None:
    """Bounded, on one line, without anything that a terminal obeys."""
    check(read_error(status, body), status)


@given(JSON, st.text() | st.none() | st.integers(), st.sampled_from([400, 401, 403, 404, 409, 422, 429, 500, 503]))
def test_any_json_is_an_error_of_ours(content: object, trace_id: object, status: int) -> None:
    """Whatever is nested in whatever, under the keys that are known and under others."""
    for body in (
        content,
        {"message": content, "traceId": trace_id},
        {"error": {"message": content}},
        {"x": content},
    ):
        check(read_error(status, json.dumps(body).encode()), status)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("status", [401, 403, 422, 503])
def test_hostile_bodies_of_every_size_are_errors_of_ours(name: str, status: int) -> None:
    """Up to ten megabytes."""
    for size in (100, 5_000, LARGEST_READ, 10_000_000):
        check(read_error(status, HOSTILE[name](size)), status)


def count_steps(read: Callable[[], object]) -> int:
    """Lines of the package that run, the calls of its regular expressions not counted apart."""
    steps = 0

    def trace(frame: FrameType, event: str, _: object) -> object:
        nonlocal steps
        steps += event == "line"
        return trace if "leadconnector_async" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        read()
    finally:
        sys.settrace(before)
    return steps


@pytest.mark.parametrize("name", HOSTILE)
def test_steps_grow_no_faster_than_the_body(name: str) -> None:
    """Eight times as large: at most eight times the steps, and beyond 64 KiB not one more."""
    small, large = (count_steps(lambda size=size: read_error_body(HOSTILE[name](size))) for size in (6_000, 48_000))  # type: ignore[misc]
    assert large <= 9 * small
    full, huge = (
        count_steps(lambda size=size: read_error(422, HOSTILE[name](size)))  # type: ignore[misc]
        for size in (LARGEST_READ + 1000, 10_000_000)
    )
    assert huge <= full * 1.01 + 10


@pytest.mark.parametrize("depth", [1, 10, 480, 980, 5_000])
@pytest.mark.parametrize("opening", ['{"message":', "[", '{"error":', '{"x":'])
def test_nesting_is_no_error_of_its_own(opening: str, depth: int) -> None:
    """At whatever depth; on a stack that is almost used up as well."""
    closing = "}" if opening.startswith("{") else "]"
    body = (opening * depth + '"deep"' + closing * depth).encode()

    def descend(left: int) -> None:
        if left:
            descend(left - 1)
        else:
            check(read_error(422, body), 422)

    descend(0)
    descend(sys.getrecursionlimit() // 2)


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        ({"error": {"code": "BAD_REQUEST", "message": "Selected slot duration is not valid", "details": []}}, 0),
        ({"msg": "Selected slot duration is not valid"}, 0),
        ({"message": {"message": {"msg": "Selected slot duration is not valid"}}}, 0),
        ({"errors": [{"field": "x", "message": "Selected slot duration is not valid"}]}, 0),
        ({"statusCode": 422, "message": "", "error": "Selected slot duration is not valid"}, 0),
        ("Selected slot duration is not valid", 0),
        ({"error": "invalid_grant", "error_description": "x"}, ["invalid_grant"]),
        ({"message": {"title": ["is too long", "is odd"]}}, ["is too long", "is odd"]),
        (
            {"message": {"startTime": ["is naive"], "endTime": "is early"}},
            ["startTime: is naive", "endTime: is early"],
        ),
        ({"statusCode": 500, "traceId": "t"}, []),
        ({"message": True, "error": None, "name": "Oops"}, ["Oops"]),
    ],
)
def test_messages_hold_the_text_alone(body: object, messages: list[str] | int) -> None:
    """In every shape that was seen, and in others; never the source of a Python dict or a piece of JSON."""
    expected = messages if isinstance(messages, list) else ["Selected slot duration is not valid"]
    assert read_error(422, json.dumps(body).encode()).messages == expected


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (401, b"", "HTTP 401: Unauthorized"),
        (401, b"HTTP 401.", "HTTP 401: Unauthorized"),
        (404, b"HTTP 404: HTTP 404", "HTTP 404: Not Found"),
        (422, b'{"message":"Error: HTTP 422 - 422: no"}', "HTTP 422: no"),
        (422, b'{"message":["HTTP status 422: one","HTTP/1.1 422 two"]}', "HTTP 422: one; two"),
        (401, b'{"message":"401 Unauthorized"}', "HTTP 401: Unauthorized"),
        (502, b"<html><title>502 Bad Gateway</title></html>", "HTTP 502: Bad Gateway"),
        (599, b"{}", "HTTP 599: no message"),
        (400, b'{"message":"400 people are too many"}', "HTTP 400: people are too many"),
        (404, b'{"message":"4040 is no id"}', "HTTP 404: 4040 is no id"),
        (
            401,
            b'{"message":"Token\'s user type mismatch"}',
            "HTTP 401: Token's user type mismatch. Use a token of the Sub-Account, not of the agency.",
        ),
    ],
)
def test_the_status_is_said_once_and_sentences_end(status: int, body: bytes, text: str) -> None:
    """Also where the body says nothing else, or nothing."""
    assert str(read_error(status, body)) == text


@pytest.mark.parametrize("status", [302, 307, 407, 511])
def test_a_network_that_answers_in_place_of_the_api_is_named(status: int) -> None:
    """A hotel asks for a sign-in; what is JSON may be the API's own, moved to another address."""
    said = "did not come from the API: the network or its proxy asks for a sign-in"
    assert said in str(read_error(status, b"<html><title>Welcome to the hotel</title></html>"))
    assert said in str(read_error(status, b""))
    assert said not in str(read_error(status, b'{"message":"moved"}'))


@pytest.mark.parametrize("status", [400, 409, 422])
@pytest.mark.parametrize(
    "text",
    [
        "The slot you have selected is no longer available.",
        "the slot you have selected is no longer available",
        " The slot you have selected is no longer available! Choose another one.",
    ],
)
def test_a_slot_that_is_taken_is_that_whatever_the_status(status: int, text: str) -> None:
    """In every shape, cut off or with a raw line end in it; but not where the status is about something else."""
    plain = json.dumps({"statusCode": status, "message": text}).encode()
    listed = json.dumps({"error": {"message": ["no", text]}}).encode()
    raw = plain[:-1] + b', "detail": "a\nb"}'
    cut = plain[:-1] + b', "detail": "' + b"x" * 100_000 + b'"}'
    for body in (plain, listed, raw, cut, b"\xef\xbb\xbf" + plain, text.encode()):
        error = read_error(status, body)
        assert type(error) is SlotUnavailableError, body[:200]
        assert error.status == status
    for other in (401, 403, 429, 503):
        assert not isinstance(read_error(other, plain), SlotUnavailableError)


def test_a_trace_id_is_one_short_line_that_steers_no_terminal() -> None:
    """Of an error and of a success."""
    hostile = "a\x1b[31m\r\nb\u202ec" + "d" * 10_000
    error = read_error(400, json.dumps({"message": "no", "traceId": hostile}).encode())
    assert error.trace_id is not None
    assert error.trace_id.startswith("a [31m b c")
    assert len(error.trace_id) == 101
    assert read_trace_id(json.dumps({"traceId": hostile}).encode()) == error.trace_id
    assert "\n" not in str(error)
    nested = read_error(400, b'{"error":{"message":"no","traceId":"t-1"}}')
    assert nested.trace_id == "t-1"


def test_a_secret_is_cut_out_of_what_is_bounded_too() -> None:
    """As it came and as JSON escapes it, at the very end of what is read as well."""
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in TOKEN).encode()
    edge = b'{"message":"' + b"x" * (LARGEST_READ - 20) + TOKEN.encode() + b'"}'
    page = b"<p>" + TOKEN.encode() + b"</p>"
    for body in (b'{"message":"%s","traceId":"%s"}' % (escaped, escaped), edge, page, TOKEN.encode()):
        error = read_error(400, body, secrets=(TOKEN,))
        assert TOKEN not in f"{error} {error.messages} {error.trace_id}"


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422])
async def test_a_hostile_error_answer_reaches_the_caller_as_an_error_of_ours(status: int) -> None:
    """Over the wire, headers included."""
    body = b'{"message":["\\u001b]0;x\\u0007","' + b"y" * 200_000 + b'"],"traceId":"\\r\\n\\u001b[2J"}'
    refusals = [answer(status, body, "x-ratelimit-max: 0", "retry-after: -1")] * 2
    async with raw_server(*refusals) as server, LeadConnector("t", base_url=server.url) as client:
        with pytest.raises(ApiError) as caught:
            await client.request("GET", "/x", response_type=dict)
    check(caught.value, status)


async def test_what_a_server_says_in_place_of_an_answer_is_shown_on_one_short_line() -> None:
    """A status line that is none, and JSON that does not fit the type."""
    hostile = b"HTTP/1.1 200 \x1b[31m" + b"x" * 5000 + b"\r\n\r\n"
    async with (
        raw_server(b"\x1b]0;evil\x07" + hostile) as server,
        LeadConnector("t", base_url=server.url) as client,
    ):
        with pytest.raises(Exception, match="no response came") as caught:
            await client.request("GET", "/x", response_type=dict, repeatable=False)
    assert not STEERS.search(str(caught.value))
    assert len(str(caught.value)) < 1000


def test_a_page_is_read_without_what_it_does_not_show() -> None:
    """Scripts, styles and comments, whatever their case; a lone bracket is text."""
    page = (
        "<STYLE>a>b</STYLE><!-- <p>no</p> --><h1>Just&nbsp;a moment&hellip;</h1><Script>if (a<b) {}</script >1 < 2"
    )
    assert read_page(page) == "Just a moment… 1 < 2"
    assert read_page("a <b") == "a"
    assert read_page("<p>&#27;[31m&#xD800;&#10;x") == "[31m\ufffd x"
    assert clean_line("a\u202eb\x9bc\nd\ud800") == "a b c d"


def test_a_success_that_cannot_be_read_is_bounded_too() -> None:
    """The reason holds nothing of the server's that is long or steers."""
    from typing import Literal

    from leadconnector_async._api.body import read_success
    from leadconnector_async._api.request import build_request

    request = build_request("GET", "/x", Literal["a", "b"])
    read = read_success(request, 200, json.dumps("\x1b[31m" + "x" * 100_000).encode())
    assert isinstance(read, DecodeError)
    assert len(str(read)) < 1000
    assert not STEERS.search(str(read))
