"""Jobs on the web: routes that submit, follow and control the jobs of a `JobService`, each for one location.

`Backend.authorize` is asked for every request. A job's name belongs to its location: `L1.day` in the service is the
job `day` of location `L1`, so that nobody can see, or be in the way of, a job of a location that is not theirs.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final, Literal, TypeAlias, cast, get_args

import msgspec
from msgspec import Struct, structs

try:
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import Response
    from starlette.routing import Route
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "this needs Starlette: pip install 'leadconnector-async[fastapi]', or starlette alone", name=error.name
    ) from error

from .._validation.arguments import refuse
from .._validation.settings import check_kind
from ..exceptions import ConfigurationError, JobNotFoundError, JournalError
from ..jobs import JobEntry, JobOptions, JobProgress, JobResult, JobService, RowState
from ..jobs.places import conceal_place
from ..jobs.states import NOT_APPLIED
from .event_stream import EventStream, ServerEvent
from .signals import noticing_end
from .starlette import Backend, Refusal

_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_LONGEST_NAME: Final = 40
_LONGEST_TOGETHER: Final = 63
"""Characters of a location and a name, which a service separates by a dot."""
_MOST_LISTED: Final = 1_000
MOST_ROWS: Final = 1_000
"""On one page of a result."""
MOST_AFTER: Final = 1_000_000_000
"""More rows than a job can have."""
_LARGEST_ARRAY: Final = 16 * 1024 * 1024
_LARGEST_STREAM: Final = 1024 * 1024 * 1024
_LARGEST_LINE: Final = 1024 * 1024
_STOPPING_SECONDS: Final = 2
"""After which a client may repeat what a server has refused while it shuts down: by then another one responds."""
_ENDED: Final = ("done", "refused")
LINES: Final = ("application/x-ndjson", "application/jsonl", "application/x-jsonlines")

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
Row: TypeAlias = dict[str, object]


class JobRoute(Struct, frozen=True):
    """One route: its path ends with this, below the jobs of a location."""

    method: Literal["GET", "POST"]
    path: str
    endpoint: Endpoint
    summary: str
    result: object
    """The type of the response; `None` for a stream of events."""
    status: int = 200


class JobRoutes:
    """The jobs of a backend: a `JobService` that lives as long as the application, and its routes.

        jobs = JobRoutes(backend, "jobs/")
        app = Starlette(routes=jobs.routes, lifespan=jobs.lifespan)

    `place`, `options`, `take_over_every` and `allow_plaintext` are those of `JobService`. The lifespan includes
    that of `backend`, whose client carries the jobs out. Call `install_error_handlers(app)`, too.
    """

    def __init__(
        self,
        backend: Backend,
        place: str | os.PathLike[str],
        *,
        options: JobOptions | None = None,
        take_over_every: float = 2.0,
        allow_plaintext: bool = False,
    ) -> None:
        given = conceal_place(place)
        del place  # an error shows the parameters of each function that it went through
        self._backend = check_kind("backend", backend, Backend)

        def build() -> JobService:
            return JobService(
                given,
                backend.root,
                options=options,
                take_over_every=take_over_every,
                allow_plaintext=allow_plaintext,
            )

        self._build = build
        self._service: JobService | None = None

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None]:
        """Open the backend and the service: `Starlette(lifespan=jobs.lifespan)`.

        `app` is the application. The service begins to stop when the process is told to end: event streams end, so
        that the server does not wait for them.
        """
        async with self._backend.lifespan(app), self._build() as service:
            self._service = service
            try:
                with noticing_end(service.stop):
                    yield
            finally:
                self._service = None

    @property
    def service(self) -> JobService:
        """The service, for jobs that no request causes. Raises `ConfigurationError` outside the lifespan."""
        if self._service is None:
            raise ConfigurationError("the jobs are not running: pass lifespan=jobs.lifespan to the application")
        return self._service

    @property
    def prefix(self) -> str:
        """Where the routes are: the path names the location if the backend takes it from there."""
        return f"{'/locations/{location_id}' if self._backend.reads_path else ''}/jobs"

    @property
    def routes(self) -> list[Route]:
        """The routes, for Starlette."""
        return [Route(self.prefix + one.path, one.endpoint, methods=[one.method]) for one in self.list_routes()]

    def list_routes(self) -> tuple[JobRoute, ...]:
        """All routes, whatever the framework."""
        submitted = "Submit a job: rows as a JSON array, or as JSON lines."
        result = "Read the result of a job, with a page of its rows."
        resumed = "Continue a job that was paused or has stopped."
        return (
            JobRoute("GET", "", self._list, "List the jobs of a location.", list[JobEntry]),
            JobRoute("POST", "/{name}", self._submit, submitted, JobProgress, 202),
            JobRoute("GET", "/{name}", self._read, "Read the progress of a job.", JobProgress),
            JobRoute("GET", "/{name}/events", self._follow, "Follow a job: server-sent events.", None),
            JobRoute("GET", "/{name}/result", self._result, result, JobResult),
            JobRoute("POST", "/{name}/pause", self._pause, "Pause a job.", JobProgress),
            JobRoute("POST", "/{name}/resume", self._resume, resumed, JobProgress),
            JobRoute("POST", "/{name}/cancel", self._cancel, "Cancel a job.", JobProgress),
        )

    async def _list(self, request: Request) -> Response:
        prefix = f"{_check_location(await self._backend.find_location(request))}."
        jobs = (await self.service.list_jobs(prefix))[-_MOST_LISTED:]
        return _respond([structs.replace(one, name=one.name.removeprefix(prefix)) for one in jobs])

    async def _submit(self, request: Request) -> Response:
        location, name = await self._find(request)
        rows: Iterable[Row] | AsyncIterator[Row]
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in LINES and kind != "application/json":  # what a form of any website can send with a cookie
            raise Refusal(415, f"Send rows as application/json or {LINES[0]}.", code="plan_type")
        try:
            rows = _stream_lines(request) if kind in LINES else await _read_array(request)
            if not self.service.is_running:
                again = {"Retry-After": str(_STOPPING_SECONDS)}
                raise Refusal(503, "This server is shutting down.", code="stopping", headers=again)
            progress = await self.service.submit(name, rows, location_id=location)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        return _respond(progress, 202, {"Location": request.url.path})

    async def _read(self, request: Request) -> Response:
        _, name = await self._find(request)
        return _respond(await self.service.read_progress(name))

    async def _follow(self, request: Request) -> Response:
        """Of a client that has seen the end already, the connection ends for good: 204, says the standard."""
        _, name = await self._find(request)
        last_id = request.headers.get("last-event-id")
        progress = await self.service.read_progress(name)
        if last_id is not None and progress.phase in _ENDED and last_id == _name_event(progress):
            return Response(status_code=204)
        return EventStream(_describe_events(self.service, name, last_id))

    async def _result(self, request: Request) -> Response:
        _, name = await self._find(request)
        after, most = (
            _read_count(request, "after", 0, MOST_AFTER, 0),
            _read_count(request, "most", 1, MOST_ROWS, 100),
        )
        states = _read_states(request) or NOT_APPLIED
        return _respond(await self.service.read_result(name, states=states, after=after, most=most))

    async def _pause(self, request: Request) -> Response:
        _, name = await self._find(request)
        await self.service.pause(name)
        return _respond(await self.service.read_progress(name))

    async def _resume(self, request: Request) -> Response:
        _, name = await self._find(request)
        await self.service.resume(name, skip_refused=_read_flag(request, "skip_refused"))
        return _respond(await self.service.read_progress(name))

    async def _cancel(self, request: Request) -> Response:
        _, name = await self._find(request)
        await self.service.cancel(name)
        return _respond(await self.service.read_progress(name))

    async def _find(self, request: Request) -> tuple[str, str]:
        """The location of a request, once it is allowed, and the name of its job in the service."""
        location = _check_location(await self._backend.find_location(request))
        name = str(request.path_params["name"])
        longest = min(_LONGEST_NAME, _LONGEST_TOGETHER - len(location))
        if not 0 < len(name) <= longest or not _NAME_CHARACTERS.issuperset(name):
            raise refuse(
                "name", name, "it is not the name of a job", f"use 1 to {longest} letters, digits, - and _"
            )
        return location, f"{location}.{name}"


def _check_location(location: str) -> str:
    """A dot would make two locations of one: `a.b` with the job `c` is not `a` with the job `b.c`."""
    if not _NAME_CHARACTERS.issuperset(location) or len(location) >= _LONGEST_TOGETHER:
        raise JobNotFoundError("There are no jobs for a location with such an id.")
    return location


def _respond(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    content = msgspec.json.encode(value)
    return Response(content, status, {"Cache-Control": "no-store", **(headers or {})}, "application/json")


def _read_states(request: Request) -> list[RowState]:
    states, known = request.query_params.getlist("state"), get_args(RowState)
    for state in states:
        if state not in known:
            raise refuse("state", state, "it is not the state of a row", f"use {', '.join(known)}")
    return cast("list[RowState]", states)


def _read_count(request: Request, name: str, least: int, most: int, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 19 or not least <= int(text) <= most:
        hint = f"use a whole number of at least {least} and at most {most:,}"
        raise refuse(name, text, "it is not a valid number", hint)
    return int(text)


def _read_flag(request: Request, name: str) -> bool:
    """In lower case or, as Python writes it, in title case; any other word is refused rather than taken for no."""
    text = request.query_params.get(name, "false")
    if text.lower() not in ("true", "false"):
        raise refuse(name, text, "it is neither true nor false", "use true or false")
    return text.lower() == "true"


async def _read_array(request: Request) -> list[Row]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_ARRAY:
            raise _refuse_size("send JSON lines (application/x-ndjson), which may be larger")
    try:
        return msgspec.json.decode(body, type=list[Row])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise refuse("body", None, "it is not a JSON array of objects", "send one object for each row") from error


async def _stream_lines(request: Request) -> AsyncIterator[Row]:
    """The rows of a body of JSON lines, as they arrive."""
    rest, total, line = b"", 0, 0
    async for chunk in request.stream():
        total += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LARGEST_LINE or total > _LARGEST_STREAM:
            raise _refuse_size("split it into several jobs")
        for content in lines:
            line += 1
            if content.strip():
                yield _read_line(content, line)
    if rest.strip():
        yield _read_line(rest, line + 1)


def _read_line(content: bytes, line: int) -> Row:
    try:
        return msgspec.json.decode(content, type=Row)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise refuse("body", None, f"line {line} is not a JSON object", "send one object on each line") from error


def _refuse_size(hint: str) -> Refusal:
    return Refusal(413, f"The plan is too large: {hint}.", code="plan_too_large")


async def _describe_events(service: JobService, name: str, last_id: str | None) -> AsyncGenerator[ServerEvent]:
    """The progress of a job as events, then `end`. A client that connects again does not get its last one twice."""
    event: ServerEvent | None = None
    with suppress(JournalError):  # it was removed, for example: whoever connects again is told
        async with aclosing(service.watch(name)) as watching:
            async for progress in watching:
                event = ServerEvent("progress", _name_event(progress), msgspec.json.encode(progress).decode())
                if event.id != last_id:
                    yield event
                last_id = None
        if event is not None and service.is_running:
            yield ServerEvent("end", event.id, event.data)


def _name_event(progress: JobProgress) -> str:
    """The id of an event: the same on every worker."""
    return f"{progress.phase}-{progress.done}-{progress.applied}-{progress.failed}-{progress.unknown}"
