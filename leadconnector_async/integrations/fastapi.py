"""What FastAPI needs on top of `integrations.starlette`: dependencies that the OpenAPI document describes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Annotated, TypeAlias

try:
    from fastapi import Header, Path
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "FastAPI needs an extra: pip install 'leadconnector-async[fastapi]'", name=error.name
    ) from error
from starlette.requests import Request

from ..client import LeadConnector
from ..webhooks import WebhookEvent
from . import starlette
from .starlette import (
    LOCATION_HEADER,
    Authorize,
    LocationSource,
    Problem,
    Refusal,
    install_error_handlers,
)

__all__ = [
    "LOCATION_HEADER",
    "Authorize",
    "Backend",
    "LocationSource",
    "Problem",
    "Refusal",
    "install_error_handlers",
]

ClientDependency: TypeAlias = (
    Callable[[Request, str], Awaitable[LeadConnector]] | Callable[[Request], Awaitable[LeadConnector]]
)

WebhookDependency: TypeAlias = Callable[[Request], AsyncGenerator[WebhookEvent]]


class Backend(starlette.Backend):
    """A backend whose `client` is a dependency.

        backend = Backend(oauth=oauth, authorize=may_use)
        app = FastAPI(lifespan=backend.lifespan)
        Client = Annotated[LeadConnector, Depends(backend.client)]

    Settings are those of the backend for Starlette.
    """

    @property
    def client(self) -> ClientDependency:
        """A dependency: the client of the location that a request is for, once `authorize` has allowed it."""
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

    @property
    def webhook(self) -> WebhookDependency:
        """A dependency: the event of a webhook, verified, and processed once. See `receive_webhook`.

        To have it delivered again, raise an error; a response is a success, whatever its status code.
        """
        receive = self.receive_webhook

        async def receive_event(request: Request) -> AsyncGenerator[WebhookEvent]:
            async with receive(request) as event:
                yield event

        return receive_event
