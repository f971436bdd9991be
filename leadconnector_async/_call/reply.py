"""The outcome of one request: its raw response, or how far it got without one."""

from __future__ import annotations

import math
from typing import Literal

import aiohttp
from msgspec import Struct
from multidict import CIMultiDictProxy

from .._secret import Masked


class RawResponse(Masked, Struct, frozen=True):
    """The response as it came."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    """Only its beginning if there is a `fault`."""
    answered_at: float
    """When its headers came, by the loop's clock."""
    fault: str = ""
    """Why the body is incomplete; empty if it is complete."""


class NoResponse(Masked, Struct, frozen=True):
    """No response came."""

    reason: str
    certificate: bool = False
    """The server's certificate was rejected."""
    late: bool = False
    """Its lease expired before it was sent."""


class Progress(Masked, Struct):
    """How far a request got; readable at any moment, even after a cancellation."""

    sent: bool = False
    """A byte of it may have reached the server. A body records when it is written. Without one, this is true as
    soon as aiohttp is called, unless a tunnel comes first: see `Transport.send`."""
    response: aiohttp.ClientResponse | None = None
    """The response, from the moment that its headers came."""
    answered_at: float = 0.0
    """That moment, by the loop's clock."""
    head: bytes = b""
    """The beginning of its body, if that came in parts."""
    alone: bool = False
    """No other request was in flight when it began."""
    send_by: float = math.inf
    """The moment at which the lease of its slot expires, by the clock of `fence`; infinite without a lease."""


def name_fault(
    progress: Progress, reply: RawResponse | NoResponse
) -> Literal["certificate", "incomplete", "no_response", "not_sent"]:
    """What kept a request from its complete response, in a word."""
    if isinstance(reply, RawResponse):
        return "incomplete"
    if reply.certificate:
        return "certificate"
    return "no_response" if progress.sent else "not_sent"


def describe_cut(progress: Progress, reason: str, *, certificate: bool = False) -> RawResponse | NoResponse:
    """What is known of a request that ended early: the response so far, if its headers came."""
    response = progress.response
    if response is None:
        return NoResponse(reason, certificate)
    head = progress.head if 200 <= response.status < 300 else b""
    return RawResponse(response.status, response.headers, head, progress.answered_at, reason)
