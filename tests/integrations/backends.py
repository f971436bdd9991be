"""An application with a backend, in this process: its lifespan is run, and requests reach it without a socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.requests import Request


@asynccontextmanager
async def serve(app: Any, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running application."""
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, **options)
        async with httpx.AsyncClient(transport=transport, base_url="http://backend") as client:
            yield client


def allow(request: Request, location_id: str) -> bool:
    """The sender may use the locations that its token lists."""
    return location_id in request.headers.get("authorization", "").removeprefix("Bearer ").split(",")


def sign_in(*locations: str) -> dict[str, str]:
    """The headers of a sender who may use these."""
    return {"authorization": f"Bearer {','.join(locations)}"}
