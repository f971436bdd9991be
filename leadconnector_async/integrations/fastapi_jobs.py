"""The routes of jobs for FastAPI, whose OpenAPI document describes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import Parameter, Signature
from typing import Annotated, Final, TypeAlias, get_args

try:
    from fastapi import APIRouter, Path
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "FastAPI needs an extra: pip install 'leadconnector-async[fastapi]'", name=error.name
    ) from error
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..jobs import RowState
from . import job_routes
from .event_stream import EventStream
from .job_routes import LINES, MOST_ROWS

_Schema: TypeAlias = dict[str, object]
_Responses: TypeAlias = dict[int | str, _Schema]

_EVENTS: Final = (
    "Events `progress`, whenever something has changed, and `end`, once the job has ended; the data of each is a"
    " `JobProgress` in JSON, and its id is for `Last-Event-ID`."
)
_RESPONSES: Final[dict[str, _Responses]] = {
    "/{name}/events": {
        200: {"description": _EVENTS, "content": {"text/event-stream": {"schema": {"type": "string"}}}},
        204: {"description": "The job has ended, and its last event was received: do not connect again."},
    },
}
"""What responses are, beside the models; by path."""


def _describe_query(name: str, description: str, schema: _Schema) -> _Schema:
    return {"name": name, "in": "query", "description": description, "schema": schema}


_ROW: Final[_Schema] = {
    "type": "object",
    "properties": {"event_id": {"type": "string"}},
    "additionalProperties": True,
    "description": "The columns of a plan: `event_id`, and fields to change, in snake or camel case.",
}
_STATES: Final[_Schema] = {"type": "array", "items": {"type": "string", "enum": list(get_args(RowState))}}
_REQUESTS: Final[dict[tuple[str, str], _Schema]] = {
    ("POST", "/{name}"): {
        "requestBody": {
            "description": f"Rows in a JSON array, or, as `{LINES[0]}`, one on each line.",
            "required": True,
            "content": {"application/json": {"schema": {"type": "array", "items": _ROW, "title": "Rows"}}},
        }
    },
    ("GET", "/{name}/events"): {
        "parameters": [
            {
                "name": "Last-Event-ID",
                "in": "header",
                "description": "The id of the last event that was received.",
                "schema": {"type": "string"},
            }
        ]
    },
    ("GET", "/{name}/result"): {
        "parameters": [
            _describe_query(
                "state", "States of the rows; by default, those of rows that were not applied.", _STATES
            ),
            _describe_query("after", "`next_page` of the page before.", {"type": "integer", "minimum": 0}),
            _describe_query(
                "most", "Rows on the page; 100 by default.", {"type": "integer", "minimum": 1, "maximum": MOST_ROWS}
            ),
        ]
    },
    ("POST", "/{name}/resume"): {
        "parameters": [
            _describe_query("skip_refused", "Run a refused job without its bad rows.", {"type": "boolean"}),
        ]
    },
}
"""What routes read from the request by themselves; by method and path."""


class JobRoutes(job_routes.JobRoutes):
    """The jobs of a backend: a `JobService` that lives as long as the application, and its routes.

        jobs = JobRoutes(backend, "jobs/")
        app = FastAPI(lifespan=jobs.lifespan)
        app.include_router(jobs.router)

    Settings and routes are those of the class for Starlette. Call `install_error_handlers(app)`, too.
    """

    @property
    def router(self) -> APIRouter:
        """The routes, described for OpenAPI."""
        router = APIRouter(prefix=self.prefix, tags=["jobs"])
        for one in self.list_routes():
            names = [name for name in ("location_id", "name") if f"{{{name}}}" in self.prefix + one.path]
            router.add_api_route(
                one.path,
                _declare(one, names),
                methods=[one.method],
                status_code=one.status,
                summary=one.summary,
                name=one.endpoint.__name__.removeprefix("_"),
                response_class=JSONResponse if one.result else EventStream,
                response_model=one.result,
                responses=_RESPONSES.get(one.path),
                openapi_extra=_REQUESTS.get((one.method, one.path)),
            )
        return router


def _declare(route: job_routes.JobRoute, names: list[str]) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a route with the parameters of its path, which FastAPI describes."""

    async def endpoint(request: Request, **_: object) -> Response:
        return await route.endpoint(request)

    kind = Parameter.POSITIONAL_OR_KEYWORD
    parameters = [Parameter(name, kind, annotation=Annotated[str, Path()]) for name in names]
    signature = Signature([Parameter("request", kind, annotation=Request), *parameters])
    setattr(endpoint, "__signature__", signature)  # noqa: B010 - no attribute that types know
    return endpoint
