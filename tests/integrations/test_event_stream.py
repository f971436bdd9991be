"""Server-sent events, sent by hand as a server would call the response: in virtual time, without sockets."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from leadconnector_async.integrations.event_stream import HEARTBEAT, LONGEST, EventStream, ServerEvent

pytestmark = pytest.mark.looptime


class Browser:
    """Whoever listens: what it has received, and when it leaves."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.headers: dict[str, str] = {}
        self.text = ""
        self.is_complete = self.is_broken = False

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.is_broken:
            raise OSError("the connection is broken")
        if message["type"] == "http.response.start":
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        self.text += message["body"].decode()
        self.is_complete = not message["more_body"]


class Source:
    """Events at given moments; knows whether it was closed."""

    def __init__(self, *pauses: float) -> None:
        self.pauses = pauses
        self.is_closed = False

    async def give(self) -> AsyncGenerator[ServerEvent]:
        try:
            for number, pause in enumerate(self.pauses):
                await asyncio.sleep(pause)
                yield ServerEvent("progress", str(number), f'{{"done": {number}}}')
        finally:
            self.is_closed = True


async def answer(source: Source, browser: Browser) -> None:
    await EventStream(source.give())({"type": "http"}, browser.receive, browser.send)


async def test_events_are_sent_as_the_standard_says() -> None:
    """With name, id and data, after the time for a retry; no cache and no buffer keeps them, and it ends."""
    source, browser = Source(0, 1), Browser()
    await answer(source, browser)
    assert browser.text == (
        'retry: 2000\n\nevent: progress\nid: 0\ndata: {"done": 0}\n\nevent: progress\nid: 1\ndata: {"done": 1}\n\n'
    )
    assert browser.headers["content-type"].startswith("text/event-stream")
    assert browser.headers["cache-control"] == "no-store"
    assert browser.headers["x-accel-buffering"] == "no"
    assert "content-length" not in browser.headers
    assert (browser.is_complete, source.is_closed) == (True, True)


async def test_a_silent_stream_shows_that_it_lives() -> None:
    """A comment every fifteen seconds, which delays no event and loses none."""
    source, browser = Source(3.5 * HEARTBEAT, 0.5 * HEARTBEAT), Browser()
    await answer(source, browser)
    assert browser.text.count(": still here\n\n") == 3
    assert browser.text.count("event: ") == 2


async def test_a_stream_ends_after_a_while() -> None:
    """So that whoever connects again is asked again who it is."""
    source, browser, loop = Source(1e9), Browser(), asyncio.get_running_loop()
    began = loop.time()
    await answer(source, browser)
    assert loop.time() - began == pytest.approx(LONGEST, abs=1)
    assert (browser.is_complete, source.is_closed) == (True, True)


@pytest.mark.parametrize("how", ["leaves", "breaks", "is cancelled"])
async def test_a_listener_that_is_gone_frees_everything(how: str) -> None:
    """Whether its server says so, only fails to send, or cancels the response; no task is left."""
    source, browser = Source(1e9) if how != "breaks" else Source(60, 1e9), Browser()
    responding = asyncio.create_task(answer(source, browser))
    await asyncio.sleep(5)
    if how == "leaves":
        browser.left.set()
    elif how == "breaks":
        browser.is_broken = True
    else:
        responding.cancel()
    await asyncio.wait([responding])
    assert responding.cancelled() == (how == "is cancelled")
    assert responding.cancelled() or responding.exception() is None
    assert source.is_closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_event_of_several_lines_stays_one() -> None:
    """A line break in the data cannot begin a field."""
    event = ServerEvent("progress", "1", "a\nevent: end\r\rb\u2028c")
    assert event.encode().decode() == (
        "event: progress\nid: 1\ndata: a\ndata: event: end\ndata: \ndata: b\u2028c\n\n"
    )
