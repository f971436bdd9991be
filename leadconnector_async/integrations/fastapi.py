"""What FastAPI needs on top of `integrations.starlette`: dependencies, routes and errors that OpenAPI describes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import cached_property
from typing import Annotated, Final, TypeAlias, cast

try:
    from fastapi import APIRouter, Depends, FastAPI, Header, Path
    from fastapi.exceptions import RequestValidationError
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "FastAPI needs an extra: pip install 'leadconnector-async[fastapi]'", name=error.name
    ) from error
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from .._limiter.headers import LocationQuota
from ..client import LeadConnector
from ..exceptions import InvalidRequestError
from ..webhooks import WebhookEvent
from . import starlette
from .fastapi_jobs import JobRoutes
from .problems import MEDIA_TYPE, InvalidField, Problem, build_invalid_problem
from .refusals import make_response
from .starlette import LOCATION_HEADER, Authorize, LocationSource, Refusal, respond_alive

__all__ = [
    "LOCATION_HEADER",
    "Authorize",
    "Backend",
    "JobRoutes",
    "LocationSource",
    "Problem",
    "Refusal",
    "install_error_handlers",
]

ClientDependency: TypeAlias = (
    Callable[[Request, str], Awaitable[LeadConnector]] | Callable[[Request], Awaitable[LeadConnector]]
)
"""The type of `Backend.client`; with a parameter `location_id` if the path names the location."""
WebhookDependency: TypeAlias = Callable[[Request], AsyncGenerator[WebhookEvent]]
"""The type of `Backend.webhook`."""
_Schema: TypeAlias = dict[str, object]
_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
"""The operations of a path, beside which it may have a summary, servers or parameters."""


class Backend(starlette.Backend):
    """A backend whose `client` is a dependency.

        backend = Backend(oauth=oauth, authorize=may_use)
        app = FastAPI(lifespan=backend.lifespan)
        Client = Annotated[LeadConnector, Depends(backend.client)]

    Settings are those of the backend for Starlette.
    """

    @cached_property
    def client(self) -> ClientDependency:
        """A dependency: the client of the location that a request is for, once `authorize` has allowed it.

        It is always the same function, so a test can replace it: `app.dependency_overrides[backend.client] = …`.
        """
        find_client = self.find_client

        async def with_path(
            request: Request, location_id: Annotated[str, Path(description="The location.")]
        ) -> LeadConnector:
            return await find_client(request)

        async def with_header(
            request: Request,
            location_id: Annotated[str, Header(alias=LOCATION_HEADER, description="The location.")],
        ) -> LeadConnector:
            return await find_client(request)

        async def without(request: Request) -> LeadConnector:
            return await find_client(request)

        source = self._settings.location
        return with_path if source == "path" else with_header if source == "header" else without

    @cached_property
    def webhook(self) -> WebhookDependency:
        """A dependency: the event of a webhook, verified, and processed once. See `receive_webhook`.

        To have it delivered again, raise an error; a response is a success, whatever its status code.
        """
        receive = self.receive_webhook

        async def receive_event(request: Request) -> AsyncGenerator[WebhookEvent]:
            async with receive(request) as event:
                yield event

        return receive_event

    @property
    def router(self) -> APIRouter:
        """The routes for `/health/live`, `/health/ready` and the quota of a location, as for Starlette."""
        router = APIRouter()
        client_of_location = Depends(self.client)

        async def read_quota(client: LeadConnector = client_of_location) -> LocationQuota:
            """What the rate limiter of the location knows and does at this moment."""
            return client.quota

        for route in self.routes:
            if route.endpoint == self.respond_with_quota:
                router.add_api_route(route.path, read_quota, tags=["quota"])
            else:
                alive = route.endpoint is respond_alive
                endpoint = respond_alive if alive else self.respond_ready
                summary = "Whether the process responds" if alive else "Whether it can take requests"
                router.add_api_route(
                    route.path, endpoint, tags=["health"], summary=summary, description="", response_model=None
                )
        return router


def install_error_handlers(app: FastAPI) -> None:
    """Let every error of this package, and every invalid request, be a response with problem details (RFC 9457).

    As for Starlette. The OpenAPI document of `app` describes them.
    """
    starlette.install_error_handlers(app)
    app.add_exception_handler(RequestValidationError, _respond_with_invalid)
    build = app.openapi
    described: list[_Schema] = []

    def openapi() -> _Schema:
        document = cast("_Schema", build())
        if not any(one is document for one in described):
            described[:] = [document]
            _describe_problems(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI's page on extending OpenAPI has it


async def _respond_with_invalid(request: Request, error: Exception) -> Response:
    """Without what was sent, which FastAPI's own response repeats."""
    found = cast("list[_Schema]", cast("RequestValidationError", error).errors())
    return make_response(build_invalid_problem([_read_fault(one) for one in found]))


def _read_fault(fault: _Schema) -> InvalidField:
    cause = cast("_Schema", fault.get("ctx") or {}).get("error")
    if isinstance(cause, InvalidRequestError):
        return InvalidField(field=cause.field, reason=cause.reason, hint=cause.hint)
    place = [str(one) for one in cast("tuple[object, ...]", fault.get("loc", ()))]
    return InvalidField(field=".".join(place[1:] or place) or None, reason=str(fault.get("msg", "it is not valid")))


def _describe_problems(document: _Schema) -> None:
    """Every operation may respond with a problem, and none as FastAPI says that it does."""
    components = cast("dict[str, _Schema]", document.setdefault("components", {}))
    schemas = components.setdefault("schemas", {})
    prefix = "LeadConnector" if {Problem.__name__, InvalidField.__name__} & schemas.keys() else ""
    template = f"#/components/schemas/{prefix}{{model}}"
    described = cast("_Schema", TypeAdapter(Problem).json_schema(ref_template=template))
    nested = cast("_Schema", described.pop("$defs", {}))
    problem = f"{prefix}{Problem.__name__}"
    schemas.update({problem: described, **{f"{prefix}{name}": one for name, one in nested.items()}})
    response = {
        "description": "A problem (RFC 9457)",
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{problem}"}}},
    }
    for path in cast("dict[str, dict[str, object]]", document.get("paths", {})).values():
        for operation in (one for method, one in path.items() if method in _METHODS):
            responses = cast("_Schema", cast("dict[str, object]", operation).get("responses", {}))
            if "HTTPValidationError" in str(responses.get("422")):
                del responses["422"]
            responses.setdefault("default", response)
    for name in ("HTTPValidationError", "ValidationError"):
        if f"#/components/schemas/{name}'" not in str(document):
            schemas.pop(name, None)
