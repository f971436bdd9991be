"""The page's files, and what an open page is told; `tests/browser` has the page itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Any

import aiohttp
import msgspec
import pytest

from leadconnector_async.sandbox import Limits, Sandbox
from leadconnector_async.sandbox.feed import Feed

from .test_guard import ALL, Attacker
from .test_sandbox import PATH, Caller

FILES = ("app.js", "calendar.js", "controls.js", "dom.js", "limits.js", "log.js", "style.css", "calendar.css")
NOT_FILES = ["index.html", "..%2fpage.py", "../page.py", "", "app.js/", "x.js", "page.py", "%2e"]
WRONG = ["?location=x", "?day=soon", "?zone=Mars/Base", "?day=2027-02-30", "?zone=../etc/passwd"]
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Reader:
    """Reads the stream as a page does."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def read(self) -> dict[str, Any]:
        while True:
            line = await self.response.content.readline()
            if line.startswith(b"data: "):
                message: dict[str, Any] = msgspec.json.decode(line.removeprefix(b"data: "))
                return message

    async def read_until(self, name: str) -> Any:
        """What the next message says that says something about it."""
        while name not in (message := await self.read()):
            pass
        return message[name]


@asynccontextmanager
async def open_stream(call: Caller, query: str = "") -> AsyncIterator[Reader]:
    async with call.session.get(f"{call.sandbox.url}/_sandbox/live{query}") as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        yield Reader(response)


@pytest.fixture
async def call() -> AsyncIterator[Caller]:
    async with Sandbox(appointments=40, locations=2) as sandbox, aiohttp.ClientSession() as session:
        yield Caller(session, sandbox)


async def test_a_browser_gets_the_page_and_everybody_else_the_api(call: Caller) -> None:
    """At the same address; the page's files name nothing outside."""
    assert (await call("GET", "/"))[0] == 404
    async with call.session.get(f"{call.sandbox.url}/", headers=BROWSER) as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert response.headers["content-security-policy"].startswith("default-src 'self';")
        text = await response.text()
    for name in FILES:
        async with call.session.get(f"{call.sandbox.url}/_sandbox/page/{name}") as response:
            assert response.status == 200
            text += await response.text()
    assert "https://" not in text
    assert "innerHTML" not in text
    assert len(call.sandbox.requests) == 1


@pytest.mark.parametrize("name", NOT_FILES)
async def test_no_other_file_is_served(name: str) -> None:
    """Whatever the name looks like."""
    async with Sandbox(appointments=1) as sandbox:
        assert await Attacker(sandbox).send(f"GET /_sandbox/page/{name}") == 400


async def test_other_machines_see_the_page_with_the_token_only() -> None:
    """Until then they get the form that asks for it, and the files of that form; the cookie is for its own port."""
    async with Sandbox(appointments=1, host=ALL) as sandbox:
        attacker = Attacker(sandbox)
        accept = "Accept: text/html"
        assert await attacker.send("GET /", accept) == 401
        assert "Admin token" in attacker.body
        assert "set-cookie" not in attacker.head.lower()
        for name in ("sign-in.js", "style.css", "icon.svg"):
            assert await attacker.send(f"GET /_sandbox/page/{name}") == 200
        for path in ("page/app.js", "page/calendar.css", "live", "session"):
            assert await attacker.send(f"GET /_sandbox/{path}") == 401
        for token in ("", "1", sandbox.token, sandbox.admin_token[:-1]):
            assert await attacker.send("POST /_sandbox/session", f"X-Sandbox-Admin: {token}") == 401
            assert "set-cookie" not in attacker.head.lower()
        assert await attacker.send("POST /_sandbox/session", f"X-Sandbox-Admin: {sandbox.admin_token}") == 204
        cookie = next(line for line in attacker.head.split("\r\n") if line.startswith("Set-Cookie: "))
        assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict")
        assert sandbox.admin_token not in attacker.head
        session = "Cookie: other=1; " + cookie.removeprefix("Set-Cookie: ").partition(";")[0]
        assert await attacker.send("GET /", accept, session) == 200
        assert await attacker.send("GET /_sandbox/page/app.js", session) == 200
        assert await attacker.send("POST /_sandbox/reset", session) == 403
        assert await attacker.send("POST /_sandbox/reset", session, "X-Sandbox-Admin: page") == 200
        for wrong in (session[:-1], session + "x", session.replace("sandbox_", "sandbox_1"), "Cookie: ;=;"):
            assert await attacker.send("GET /_sandbox/page/app.js", wrong) == 401


async def test_a_page_is_told_everything_and_then_what_is_new(call: Caller) -> None:
    """A change by a request and one by somebody else, with the request, the limit, a fault and the clock."""
    sandbox, event_id = call.sandbox, call.sandbox.appointment_ids[0]
    async with open_stream(call) as reader:
        everything = await reader.read()
        assert (everything["type"], everything["day"]) == ("everything", "2027-03-10")
        assert everything["location"] == sandbox.location_id
        assert everything["days"] == {"2027-03-10": 40}
        assert {event_id} < {one["id"] for one in everything["events"]}
        await call.put(event_id, title="<b>new</b>")
        news = await reader.read()
        assert [(one["id"], one["title"]) for one in news["events"]] == [(event_id, "<b>new</b>")]
        (request,) = news["requests"]
        assert (request["status"], request["applied"], request["title"]) == (200, True, "<b>new</b>")
        assert [(one["used"], one["most"]) for one in news["limits"]] == [(1, 100)]
        sandbox.edit_appointment(event_id, title="by hand")
        assert (await reader.read_until("events"))[0]["title"] == "by hand"
        sandbox.faults.plan("update_appointment", ["503"])
        (planned,) = await reader.read_until("faults")
        assert (planned["operation"], planned["faults"]) == ("update_appointment", ["503"])
        sandbox.advance(3600)
        assert (await reader.read_until("clock")).startswith("2027-03-03T01:00:0")
        sandbox.delete_appointment(event_id)
        news = await reader.read()
        assert (news["gone"], news["days"]) == ([event_id], {"2027-03-10": 39})
        sandbox.reset()
        assert (await reader.read())["days"] == {"2027-03-10": 40}


def read_from(sandbox: Sandbox, *wanted: str | None) -> Feed:
    return Feed(sandbox._app, *(*wanted, *(None,) * (3 - len(wanted))))


async def test_many_changes_are_one_message() -> None:
    """Each appointment once, as it is in the end, and the newest requests; nothing new is no message at all."""
    sandbox = Sandbox(appointments=40)
    feed = read_from(sandbox)
    assert feed.read(0.0) is not None
    assert feed.read(0.0) is None
    for number in range(1000):
        sandbox.edit_appointment(sandbox.appointment_ids[number % 2], title=str(number))
        sandbox._app.receive("GET", "/x", {}, b"", 0.0)
    news: Any = feed.read(0.0)
    assert {one.title for one in news.events} == {"998", "999"}
    assert (len(news.events), len(news.requests), news.total) == (2, 100, 1000)
    assert news.requests[-1].number == 1000
    assert feed.read(0.0) is None


async def test_an_open_page_changes_nothing() -> None:
    """What it reads is not counted, and the sandbox's calendar does not begin with it."""
    sandbox = Sandbox(appointments=1, limits=Limits(max_requests=2, interval=10.0, daily=3, others=1.0))
    feed = read_from(sandbox)
    for second in range(5):
        feed.read(float(second))
    assert not sandbox._app.clock.is_running
    headers = {"authorization": f"Bearer {sandbox.token}", "version": "2021-04-15"}
    path = PATH + sandbox.appointment_ids[0]
    seen = []
    for _ in range(3):
        seen.append(sandbox._app.receive("GET", path, headers, b"", 100.0).status)
        feed.read(100.0)
    assert seen == [200, 200, 429]
    usage: Any = read_from(sandbox).read(100.0)
    assert (usage.limits[0].used, usage.limits[0].wait_seconds) == (2, 10.0)


async def test_a_day_is_one_on_a_clock_of_choice() -> None:
    """Each calendar's own, or one for all; with the instances of series, and nothing of other locations."""
    sandbox = Sandbox(appointments=20, locations=2)
    own: Any = read_from(sandbox, None, "2027-03-15").read(0.0)
    assert {one.title for one in own.events} >= {"Course 1", "Course 2"}
    everything: Any = read_from(sandbox, sandbox.location_ids[1]).read(0.0)
    assert {one.start for one in everything.events if not one.title.startswith("Course")} >= {480}
    assert {one.id for one in everything.events} & set(sandbox.appointment_ids) == set()
    kolkata = next(one for one in sandbox.store.calendars.values() if one.zone == "Asia/Kolkata")
    for zone, start in (("own", 480), ("Asia/Kolkata", 480), ("UTC", 150), ("America/New_York", None)):
        shown: Any = read_from(sandbox, None, "2027-03-10", zone).read(0.0)
        starts = [one.start for one in shown.events if one.calendar == kolkata.id and one.room != "Course room"]
        assert min(starts, default=None) == start


@pytest.mark.parametrize("query", WRONG)
async def test_a_wrong_question_is_a_400(call: Caller, query: str) -> None:
    """With words."""
    status, answer, _ = await call("GET", f"/_sandbox/live{query}")
    assert (status, [*answer]) == (400, ["error"])


async def test_closed_pages_are_forgotten(call: Caller) -> None:
    """A sandbox stops at once, even while pages are open, and goes on when one is closed."""
    async with open_stream(call) as reader:
        await reader.read()
    async with open_stream(call) as reader:
        await reader.read()
        await asyncio.wait_for(call.sandbox.stop(), 30)


async def test_the_busiest_day_is_shown_first() -> None:
    """The first of them; an empty sandbox shows its own day."""
    sandbox = Sandbox(appointments=4)
    later = sandbox.appointment(sandbox.appointment_ids[0])
    for event_id in sandbox.appointment_ids[:3]:
        known = sandbox.appointment(event_id)
        by = timedelta(days=9)
        sandbox.edit_appointment(event_id, start_time=known.start_time + by, end_time=known.end_time + by)
    moved: Any = read_from(sandbox).read(0.0)
    assert date.fromisoformat(moved.day) == later.start_time.date() + timedelta(days=9)
    empty: Any = read_from(Sandbox(appointments=0)).read(0.0)
    assert empty.day == "2027-03-03"
