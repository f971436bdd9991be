"""aiohttp, wrapped: one request is sent, and its whole response read."""

from __future__ import annotations

import asyncio
import html  # noqa: F401 # pyright: ignore[reportUnusedImport] - no import may follow a request; pages need it
import inspect
import select
import sys
import warnings
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import cache, partial
from types import SimpleNamespace
from typing import Final, TypeVar
from weakref import ref

import aiohttp
from aiohttp import abc
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.helpers import TimerNoop
from aiohttp.http_writer import StreamWriter
from aiohttp.payload import BytesPayload, Payload
from multidict import CIMultiDict
from yarl import URL

from .._api.request import Request
from .._secret import strip
from .._validation.text import show, show_error
from ..exceptions import ConfigurationError
from ..policy import Timeouts
from .proxy import ProxyRoute
from .reply import NoResponse, Progress, RawResponse, describe_cut
from .session import Home, borrow, make_session

T = TypeVar("T")

_LARGEST_BODY: Final = 32 * 1024 * 1024
_LONGEST_HEAD: Final = 1000
_LONGEST_MESSAGE: Final = 150
_NEVER_SENT: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)
_CERTIFICATE: Final = (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch)


class Transport:
    """The connections of a client and of all its copies. Opened on first use, in the loop that uses it."""

    __slots__ = (
        "_base",
        "_borrowed",
        "_closed",
        "_home",
        "_prefix",
        "_route",
        "body_type",
        "open_in",
        "request_type",
        "session",
    )

    def __init__(
        self, base_url: URL, borrowed: aiohttp.ClientSession | None, route: ProxyRoute | None = None
    ) -> None:
        self._base = base_url
        self._prefix = base_url.raw_path.rstrip("/")
        self._borrowed = borrowed
        self._route = route or ProxyRoute()
        self.body_type: type[TrackedBody] = TrackedBody
        self.request_type: type[CarefulRequest] = CarefulRequest
        self.session: aiohttp.ClientSession | None = None
        self._home: Home | None = None
        self.open_in: asyncio.AbstractEventLoop | None = None
        """Where `session` can be used without asking `open`. `None` for a borrowed one: others may close it."""
        self._closed = False

    def open(self, loop: asyncio.AbstractEventLoop) -> aiohttp.ClientSession:
        """The session to send with. Raises `ConfigurationError` when closed, or in another loop."""
        if self._borrowed is not None and self._borrowed.closed:
            raise ConfigurationError(
                "the borrowed session is closed; keep it open for as long as the client uses it"
            )
        if self.session is None:
            if self._closed:
                raise ConfigurationError("the client is closed; create a new one, or close it later")
            self.session = self._make_session()
            self._home = Home.find(loop)
            self.open_in = loop if self._borrowed is None else None
            if self._route:
                self.session.trace_configs.append(_trace_headers())
        elif self._home is None or self._home.loop is not loop:
            raise ConfigurationError("the client was first used in another event loop; create one client per loop")
        return self.session

    def _make_session(self) -> aiohttp.ClientSession:
        if (borrowed := self._borrowed) is not None:
            its_class = getattr(borrowed, "_request_class")  # noqa: B009 - no public name
            return borrow(borrowed, make_careful(its_class, self.request_type))
        plain = _WRITES_AT_ONCE or bool(self._route)
        return make_session(make_careful(aiohttp.ClientRequest if plain else PromptRequest, self.request_type))

    def __del__(self) -> None:
        session, home = getattr(self, "session", None), getattr(self, "_home", None)
        if session is None or session.closed or (home is not None and home.disown(session)):
            return
        connector = session.connector
        session.detach()  # or aiohttp would warn in its own words
        if self._borrowed is not None or connector is None:
            return
        with suppress(Exception):
            connector._close()  # pyright: ignore[reportPrivateUsage] - the public one must be awaited
        text = "unclosed LeadConnector; use 'async with LeadConnector(…) as client', or await client.aclose()"
        warnings.warn(text, ResourceWarning, stacklevel=2, source=self)

    async def close(self) -> None:
        """Close what is ours; a borrowed session stays open.

        Also from the event loop of another thread. Raises `ConfigurationError`, and changes nothing, if the loop
        that the connections belong to is neither running nor closed. After a fork it only forgets them.
        """
        session, home = self.session, self._home
        loop = None if home is None else home.loop
        if session is not None and home is not None and home.disown(session):
            self._closed, self.session, self.open_in = True, None, None
        elif session is None or loop is None or loop is asyncio.get_running_loop() or loop.is_closed():
            self._closed, self.session, self.open_in = True, None, None
            if session is not None:
                await session.close()
        elif loop.is_running():
            self._closed, self.session, self.open_in = True, None, None
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(session.close(), loop))
        else:
            raise ConfigurationError(
                "the client was used in another event loop, which is not running; close the client there"
            )

    def describe_url(self, request: Request[T]) -> str:
        """The URL of a request, for events: values of its query may be personal data."""
        url = self._base.with_path(self._prefix + request.path, encoded=True)
        return str(url.with_query(dict.fromkeys(request.query, "REDACTED")) if request.query else url)

    async def send(
        self,
        session: aiohttp.ClientSession,
        request: Request[T],
        headers: CIMultiDict[str],
        bounds: aiohttp.ClientTimeout,
        progress: Progress,
    ) -> RawResponse | NoResponse:
        """Send one request and read its whole response. `progress` says how far that got."""
        url = self._base.with_path(self._prefix + request.path, encoded=True)
        url = url.with_query(request.query) if request.query else url
        route = _trace(self._route, progress) if self._route else self._route
        while True:
            progress.sent, progress.response, progress.head = request.body is None and not route, None, b""
            try:
                response = await session.request(
                    request.operation.method,
                    url,
                    data=None if request.body is None else self.body_type(request.body, progress),
                    headers=headers,
                    timeout=bounds,
                    allow_redirects=False,
                    **route,
                )
                progress.response, progress.answered_at = response, asyncio.get_running_loop().time()
                arrived = response.content.is_eof() and response.status >= 200
                content = response.content.read_nowait() if arrived else await _read_bounded(response, progress)
            except StaleConnectionError:
                continue  # aiohttp has closed it, so this ends with a new connection at the latest
            except Exception as error:
                return _describe_failure(progress, error)
            except BaseException as error:
                ended = error
                del url  # its query may hold personal data
                break
            return RawResponse(response.status, response.headers, content, progress.answered_at)
        try:
            raise strip(ended)
        finally:
            del ended  # or it and the traceback would hold each other


def _describe_failure(progress: Progress, error: Exception) -> RawResponse | NoResponse:
    late = isinstance(error, LateError) or isinstance(error.__cause__, LateError)
    progress.sent = progress.sent and not late and not isinstance(error, _NEVER_SENT)
    if late:
        return NoResponse(str(LateError()), late=True)
    return describe_cut(progress, _show(error), certificate=isinstance(error, _CERTIFICATE))


def _show(error: Exception) -> str:
    """Without the URL that aiohttp appends: its query may hold personal data."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{type(error).__name__}: {error.status}, {show(error.message, _LONGEST_MESSAGE)}"
    cause = error.__cause__
    if (
        type(error) is aiohttp.ClientConnectionError
        and isinstance(cause, Exception)
        and not isinstance(cause, OSError)
    ):
        return show_error(cause)  # of the body's own; aiohttp's text is the long name of the connection
    return show_error(error)


def build_timeout(timeouts: Timeouts) -> aiohttp.ClientTimeout:
    """The part of the timeouts that aiohttp applies: getting a connection."""
    return aiohttp.ClientTimeout(connect=timeouts.connect, ceil_threshold=float("inf"))


async def _read_bounded(response: aiohttp.ClientResponse, progress: Progress) -> bytes:
    if response.status < 200:  # a switch of protocols is of no use here
        response.close()
        return b""
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in response.content.iter_any():
            size += len(chunk)
            _check_size(size)
            chunks.append(chunk)
            if not progress.head:
                progress.head = chunk.lstrip()[:_LONGEST_HEAD]
    except BaseException:
        response.close()
        raise
    return b"".join(chunks)


def _check_size(size: int) -> None:
    if size > _LARGEST_BODY:
        raise ValueError(f"the body is larger than {_LARGEST_BODY // 2**20} MiB")


def _trace(route: ProxyRoute, progress: Progress) -> ProxyRoute:
    traced = route.copy()
    traced["trace_request_ctx"] = progress
    return traced


def _trace_headers() -> aiohttp.TraceConfig:
    """Records when the headers of a request are sent: through a proxy, long after it began."""

    async def record(session: aiohttp.ClientSession, context: SimpleNamespace, params: object) -> None:
        context.trace_request_ctx.sent = True

    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(record)
    config.freeze()
    return config


_polls: Final[dict[int, tuple[ref[ResponseHandler], Callable[[], object]]]] = {}
"""By the identity of a connection that was used before: how to ask whether it is readable. The reference takes it
out when the connection goes: a `WeakKeyDictionary`, at a third of the price."""
_STALE: Final = "the kept connection was closed or written to by the server"


class TrackedBody(BytesPayload):
    """A body that records when it, and with it the first byte of the request, is written to the socket."""

    def __init__(self, content: bytes, progress: Progress) -> None:
        super().__init__(content, content_type="application/json")
        self.progress = progress

    def write_with_length(  # pyright: ignore[reportIncompatibleMethodOverride] - one coroutine fewer
        self, writer: abc.AbstractStreamWriter, content_length: int | None
    ) -> Coroutine[object, object, None]:
        # aiohttp writes nothing to a connection that has ended in the meantime: it raises.
        if isinstance(writer, StreamWriter):
            transport = writer.transport
            self.progress.sent = transport is not None and not transport.is_closing()
        else:
            self.progress.sent = True
        return super().write_with_length(writer, content_length)


class LateError(Exception):
    """The lease of the slot expired; nothing was sent."""

    def __str__(self) -> str:
        return "its lease expired before it was sent"


_WRITES_AT_ONCE: Final = sys.version_info >= (3, 12)
"""aiohttp's task for a body takes its first step at once there, and seldom a second one."""
_LARGEST_AT_ONCE: Final = 16 * 1024
"""Bytes. From 64 KiB on, aiohttp's writer waits until the connection has taken what was written."""
_NO_TIMER: Final = TimerNoop()


@cache
def _makes_responses_as_known() -> bool:
    """Whether aiohttp makes its responses in the way known here; if not, it sends every request by itself."""
    known = "method url writer continue100 timer request_info traces loop session stream_writer"
    return " ".join(inspect.signature(aiohttp.ClientResponse).parameters) == known


class PromptRequest(aiohttp.ClientRequest):
    """A request whose body, if it is small, is written without a task of its own, which costs a tenth of a call.

    aiohttp needs the task to wait: for a large body, a congested connection, `100 Continue`. A few kilobytes in
    memory never wait. A callback writes them when the first step of the task would have done it, so the requests
    that one turn of the loop causes still leave together. A request that is alone is written at once. For sessions
    without traces, proxy and total timeout.
    """

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Send it."""
        body, protocol = self.body, conn.protocol
        if not (_makes_responses_as_known() and isinstance(body, BytesPayload) and protocol is not None):
            return await super().send(conn)
        if protocol.writing_paused or (body.size or 0) > _LARGEST_AT_ONCE:
            return await super().send(conn)
        loop, method = self.loop, self.method
        writer = StreamWriter(protocol, loop)
        await writer.write_headers(f"{method} {self.url.raw_path_qs} HTTP/1.1", self.headers)
        if isinstance(body, TrackedBody) and body.progress.alone:  # nothing else can leave in this turn
            _write(protocol, writer, body)
        else:
            loop.call_soon(_write, protocol, writer, body)
        return self.response_class(
            method,
            self.original_url,
            writer=None,
            continue100=None,
            timer=_NO_TIMER,
            request_info=self.request_info,
            traces=[],
            loop=loop,
            session=self.session,
            stream_writer=writer,
        )


def _write(protocol: ResponseHandler, writer: StreamWriter, body: Payload) -> None:
    """Write headers and body. If that fails, whoever waits for the response is told."""
    try:
        body.write_with_length(writer, None).send(None)  # nothing so small waits
    except StopIteration:
        writer.set_eof()
    except Exception as error:
        failure = aiohttp.ClientConnectionError(f"the request could not be written: {error!r}")
        protocol.set_exception(failure, error)


class StaleConnectionError(aiohttp.ClientConnectionError):
    """The connection was closed, or written to, while it was idle; nothing was sent on it."""


class CarefulRequest(aiohttp.ClientRequest):
    """A request that checks its connection right before it writes to it."""

    def send(  # pyright: ignore[reportIncompatibleMethodOverride] - one coroutine fewer
        self, conn: Connection
    ) -> Coroutine[object, object, aiohttp.ClientResponse]:
        """Send it. Raises `StaleConnectionError`, and aiohttp closes the connection then."""
        if is_stale(conn):
            raise StaleConnectionError(_STALE)
        return super().send(conn)


def make_careful(
    request_class: type[aiohttp.ClientRequest], careful: type[CarefulRequest]
) -> type[aiohttp.ClientRequest]:
    """The request class of a borrowed session, made as careful."""
    if request_class is aiohttp.ClientRequest:
        return careful
    return type(request_class.__name__, (careful, request_class), {})


def is_stale(connection: Connection) -> bool:
    """Whether a connection has ended, or has received bytes that no request asked for."""
    protocol = connection.protocol
    transport = None if protocol is None else protocol.transport
    if protocol is None or transport is None or transport.is_closing() or protocol.should_close:
        return True
    poll = _polls.get(id(protocol))
    if poll is not None:
        return bool(poll[1]())
    # A new connection is not checked: a TLS server may have sent session tickets that are still unread.
    if (sock := transport.get_extra_info("socket")) is not None:
        forget = ref(protocol, partial(_polls.pop, id(protocol)))
        _polls[id(protocol)] = forget, _build_poll(sock.fileno())
    return False


def _build_poll(number: int) -> Callable[[], object]:
    if not hasattr(select, "poll"):
        return lambda: select.select([number], [], [], 0)[0]
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return partial(poll.poll, 0)
