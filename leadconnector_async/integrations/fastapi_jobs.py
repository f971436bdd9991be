"""The routes of jobs for FastAPI, whose OpenAPI document describes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import Parameter, Signature
from typing import Annotated

try:
    from fastapi import APIRouter, Path
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "FastAPI needs an extra: pip install 'leadconnector-async[fastapi]'", name=error.name
    ) from error
from starlette.requests import Request
from starlette.responses import Response

from . import job_routes


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
                response_model=None,
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
