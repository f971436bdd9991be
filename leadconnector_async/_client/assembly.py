"""What a client makes its calls with, put together: transport, limiter, pipeline.

The first client imports this, and all that a call may need with it, also after a failure: nothing may depend on an
import once a request has left. The package alone is imported without it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from .. import _api
from .._call.attempt import Attempts
from .._call.attempt import Shared as Parts
from .._call.creations import Creations
from .._call.emit import EventEmitter
from .._call.fence import FencedTransport
from .._call.gate import GatedPipeline
from .._call.pipeline import Pipeline
from .._call.proxy import find_proxy
from .._call.timeouts import AttemptTimer
from .._call.transport import Transport
from .._limiter.lane import CLOCK_LAG
from .._limiter.limiter import Limiter
from .._settings import Settings, build_headers
from ..auth import TokenSource
from ..policy import RateLimit
from ..reschedule import apply, requested

if TYPE_CHECKING:
    from ..shared import Shared

_NEEDED: Final = (apply, requested, *(getattr(_api, name) for name in _api.__all__))
"""By operations, at their first use; without a file descriptor, they could not be imported then."""


def make_parts(
    tokens: TokenSource,
    base_url: URL,
    session: aiohttp.ClientSession | None,
    limit: RateLimit,
    shared: Shared | None,
) -> Parts:
    """What all copies of a client share."""
    route = find_proxy(base_url, session)
    if shared is None:
        transport, limiter = Transport(base_url, session, route), Limiter(limit, CLOCK_LAG)
    else:
        transport = FencedTransport(base_url, session, route, shared.membership.clock)
        open_lane = partial(shared.membership.open_lane, shared.app or tokens.client_id)
        limiter = Limiter(limit, CLOCK_LAG, open_lane)
    return Parts(transport, limiter, tokens, AttemptTimer(), Creations())


def build_pipeline(parts: Parts, settings: Settings, location_id: str | None) -> Pipeline:
    """What makes the calls of one client, or of a copy with its own settings."""
    emitter = EventEmitter(settings.on_event, location_id)
    attempts = Attempts(
        parts,
        location_id=location_id,
        headers=build_headers(settings.version, settings.app_info),
        timeouts=settings.timeouts,
        emitter=emitter,
        bulk=settings.priority == "bulk",
    )
    if settings.access == "write" and settings.approve is None:
        return Pipeline(attempts, parts.creations, policy=settings.retry, emitter=emitter)
    return GatedPipeline(
        attempts,
        parts.creations,
        policy=settings.retry,
        emitter=emitter,
        access=settings.access,
        approve=settings.approve,
    )
