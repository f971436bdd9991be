"""The page: its files, and the stream of what happens."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from aiohttp import web

from .app import SandboxApp
from .feed import Feed, encode_event
from .guard import HEADERS, PREFIX, Guard

LIVE: Final = f"{PREFIX}live"
SESSION: Final = f"{PREFIX}session"
_FOLDER: Final = Path(__file__).parent / "static"
FILES: Final = f"{PREFIX}page/"
OPEN_FILES: Final = frozenset(f"{FILES}{name}" for name in ("sign-in.js", "style.css", "icon.svg"))
"""Those that whoever signs in needs before."""
_NAMES: Final = frozenset(one.name for one in _FOLDER.iterdir() if one.suffix != ".html")
_KINDS: Final = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
_GAP: Final = 0.2
"""Seconds between two messages: whatever happens in the meantime is one message, and one frame of the page."""
_QUIET: Final = 50
"""Gaps without a message after which one is sent to see whether the page is still open."""


def wants_page(method: str, path: str, accepted: str) -> bool:
    """Whether a browser asks for the page; everything else at `/` is the API's."""
    return method in {"GET", "HEAD"} and path == "/" and "text/html" in accepted


def send_page(*, is_signed_in: bool) -> web.Response:
    """The page, or the one that asks for the admin token."""
    return _send_file("index.html") if is_signed_in else _send_file("sign-in.html", 401)


def find_file(path: str) -> web.Response | None:
    """One of the page's files; `None` if there is none of that name."""
    name = path.removeprefix(FILES)
    return _send_file(name) if path.startswith(FILES) and name in _NAMES else None


async def stream(request: web.BaseRequest, feed: Feed) -> web.StreamResponse:
    """Send everything, then what is new, until the page is closed."""
    loop = asyncio.get_running_loop()
    response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
    await response.prepare(request)
    quiet = 0
    try:
        while True:
            message = feed.read(loop.time())
            quiet = 0 if message else quiet + 1
            if message is not None:
                await response.write(encode_event(message))
            elif quiet % _QUIET == 0:
                await response.write(b":\n\n")
            await asyncio.sleep(_GAP)
    except ConnectionError:  # the page is closed
        return response


def sign_in(guard: Guard, host: str) -> web.Response:
    """A cookie instead of the token, for the page's own requests."""
    response = web.Response(status=204, headers=HEADERS)
    response.headers["Set-Cookie"] = guard.make_cookie(host)
    return response


def open_feed(app: SandboxApp, path: str) -> Feed:
    """What the query of a page asks for. Raises `ValueError`."""
    query = parse_qs(path.partition("?")[2])
    location_id, day, zone = (query.get(name, [None])[0] for name in ("location", "day", "zone"))
    return Feed(app, location_id, day, zone)


def _send_file(name: str, status: int = 200) -> web.Response:
    kind = _KINDS[name.rpartition(".")[2]]
    content = (_FOLDER / name).read_bytes()
    return web.Response(status=status, body=content, content_type=kind, charset="utf-8", headers=HEADERS)
