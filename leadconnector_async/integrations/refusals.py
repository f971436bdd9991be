"""Errors and refused requests as responses on Starlette, and the bodies of webhooks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, cast

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from .._validation.text import escape
from ..exceptions import LeadConnectorError, UnreadableWebhookError, WebhookError
from .problems import MEDIA_TYPE, Problem, build_problem, find_retry_after, is_failure, name_status

_LARGEST_BODY: Final = 1_000_000
"""Bytes of a webhook."""
_LOGGER: Final = logging.getLogger("leadconnector_async")


class Refusal(HTTPException):
    """A request that a backend refuses.

    `status_code`, `detail` (one sentence for people) and `headers` are those of the response; `code` says why in
    one word.
    """

    code: str
    """Why, in one word."""

    def __init__(
        self, status_code: int, detail: str, *, code: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status_code, detail, headers)
        self.code = code


def install_error_handlers(app: Starlette) -> None:
    """Let every error of this package be a response with problem details (RFC 9457), as the table of errors says.

    Also requests that a backend of `app` refuses. `Retry-After` is in the response if it is known,
    and only if nothing was written. Errors that are a 5xx are logged.
    """
    app.add_exception_handler(LeadConnectorError, respond_with_error)
    app.add_exception_handler(Refusal, _respond_with_refusal)


async def respond_with_error(request: Request, error: Exception) -> Response:
    """The response for an error of this package."""
    known = error if isinstance(error, LeadConnectorError) else LeadConnectorError(type(error).__name__)
    problem = build_problem(known)
    if is_failure(problem):
        _LOGGER.error("%s %s: %s", request.method, escape(request.url.path), known, exc_info=known)
    seconds = find_retry_after(known, problem.status)
    return make_response(problem, None if seconds is None else {"Retry-After": str(seconds)})


async def _respond_with_refusal(request: Request, error: Exception) -> Response:
    refusal = cast("Refusal", error)
    status = refusal.status_code
    if status == 204:
        return Response(status_code=status)
    problem = Problem(title=name_status(status), status=status, detail=refusal.detail, code=refusal.code)
    return make_response(problem, refusal.headers)


def make_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The response with a problem."""
    return Response(msgspec.json.encode(problem), problem.status, headers, MEDIA_TYPE)


async def read_body(request: Request) -> bytes:
    """Raises `Refusal` for one that is too large, as soon as it is."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST_BODY:
                raise Refusal(413, f"A webhook has at most {_LARGEST_BODY:,} bytes.", code="webhook_too_large")
    except ClientDisconnect:
        raise Refusal(400, "The webhook was not sent completely.", code="webhook_cut") from None
    return bytes(body)


def refuse_webhook(error: WebhookError) -> Refusal:
    """Sending an event again does not make it readable, so it is acknowledged."""
    problem = build_problem(error)
    _LOGGER.warning("a webhook was not accepted: %s", error)
    status = 204 if isinstance(error, UnreadableWebhookError) else problem.status
    return Refusal(status, problem.detail, code=problem.code)
