"""Foreign pages, other machines and wrong names get nothing from the sandbox, and change nothing in it."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from leadconnector_async.sandbox import Sandbox
from leadconnector_async.sandbox.guard import is_loopback_name

ALL = "0.0.0.0"  # noqa: S104 - what a container listens on
RESET = "POST /_sandbox/reset"


class Attacker:
    """Sends whatever bytes it likes; the answers are status codes, with the heads and bodies that came."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.port = int(sandbox.url.rpartition(":")[2])
        self.head = self.body = ""

    async def send(self, start: str, *lines: str, host: str | None = "", body: str = "") -> int:
        """`start` is the method and the target; `host=None` sends no `Host`."""
        named = [] if host is None else [f"Host: {host or f'127.0.0.1:{self.port}'}"]
        length = [f"Content-Length: {len(body)}"] if body or start.startswith("POST") else []
        head = [f"{start} HTTP/1.1", *named, *lines, *length, "Connection: close"]
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(("\r\n".join(head) + "\r\n\r\n" + body).encode("latin-1"))
        answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        self.head, _, self.body = answer.partition("\r\n\r\n")
        return int(self.head.split()[1])

    def has_changed(self) -> bool:
        return self.sandbox.appointment(self.sandbox.appointment_ids[0]).title == "reset me"


@pytest.fixture
async def attacker() -> AsyncIterator[Attacker]:
    async with Sandbox(appointments=2) as sandbox:
        sandbox.edit_appointment(sandbox.appointment_ids[0], title="reset me")
        yield Attacker(sandbox)


@pytest.fixture
async def outside() -> AsyncIterator[Attacker]:
    """The same, for a sandbox that other machines can reach."""
    async with Sandbox(appointments=2, host=ALL) as sandbox:
        sandbox.edit_appointment(sandbox.appointment_ids[0], title="reset me")
        yield Attacker(sandbox)


OWN = ["127.0.0.1", "127.0.0.1:80", "127.8.9.1:1", "localhost", "LOCALHOST:9", "localhost:", "[::1]", "[::1]:8080"]
FOREIGN = [
    "evil.example",
    "evil.example:80",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil.localhost@evil.example",
    "user@127.0.0.1",
    "127.0.0.1@evil.example",
    "127.0.0.1:80:80",
    "127.0.0.1:evil",
    "127.0.0.1:80 evil.example",
    "10.0.0.1",
    ALL,
    "[::]",
    "[::1",
    "::1",
    "[::1]evil.example",
    "[::1].evil.example:80",
    "[127.0.0.1]",
    "2130706433",
    "0x7f.1",
    "127.1",
    "127.0.0.1:\u0661",
    "",
]


def test_names_of_this_machine_are_known() -> None:
    """With any port, since ports are forwarded; nothing else is one, however much it looks like it."""
    assert [name for name in OWN if not is_loopback_name(name)] == []
    assert [name for name in FOREIGN if is_loopback_name(name)] == []


@pytest.mark.parametrize("start", ["GET /_sandbox/requests", RESET, "GET /", "GET /calendars/", "OPTIONS /"])
async def test_a_rebound_name_gets_nothing(attacker: Attacker, start: str) -> None:
    """Not from the admin routes, nor from the API: its tokens follow from the seed, so that anybody knows them."""
    token = f"Authorization: Bearer {attacker.sandbox.token}"
    for host in ("evil.example", f"evil.example:{attacker.port}", "127.0.0.1.evil.example"):
        assert await attacker.send(start, token, "X-Sandbox-Admin: 1", host=host) == 421
        assert json.loads(attacker.body).keys() == {"error"}
    assert await attacker.send(start, token, "X-Sandbox-Admin: 1", host=None) == 400
    assert attacker.has_changed()
    assert len(attacker.sandbox.requests) == 0


async def test_two_hosts_are_none(attacker: Attacker) -> None:
    """Whichever of them comes first."""
    for host in ("evil.example", "127.0.0.1"):
        assert await attacker.send(RESET, "X-Sandbox-Admin: 1", "Host: 127.0.0.1", host=host) in {400, 421}
    assert attacker.has_changed()


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", None])
async def test_what_a_foreign_page_can_send_changes_nothing(attacker: Attacker, kind: str | None) -> None:
    """A form or a simple request, with any content type, whether the browser says where it comes from or not."""
    lines = [] if kind is None else [f"Content-Type: {kind}"]
    origins = ([], ["Origin: http://evil.example"], ["Origin: null"], ["Sec-Fetch-Site: cross-site"])
    for origin in origins:
        assert await attacker.send(RESET, *lines, *origin, body="{}") == 403
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "get"):
            assert await attacker.send(f"{method} /_sandbox/reset", *lines, *origin, body="{}") in {400, 403}
    assert attacker.has_changed()


async def test_another_port_is_another_page(attacker: Attacker) -> None:
    """Also with the header, which a browser asks about before it sends it: the answer allows nobody anything."""
    for origin in (
        f"http://127.0.0.1:{attacker.port + 1}",
        f"https://127.0.0.1:{attacker.port}",
        "http://localhost",
    ):
        assert await attacker.send(RESET, f"Origin: {origin}", "X-Sandbox-Admin: 1") == 403
    assert await attacker.send(RESET, "Sec-Fetch-Site: same-site", "X-Sandbox-Admin: 1") == 403
    assert await attacker.send("GET /_sandbox/requests", "Sec-Fetch-Site: cross-site") == 403
    asking = ("Origin: http://evil.example", "Access-Control-Request-Method: POST")
    for path in ("/_sandbox/reset", "/", "/calendars/"):
        await attacker.send(f"OPTIONS {path}", *asking)
        assert "access-control" not in attacker.head.lower()
    assert attacker.has_changed()


async def test_the_sandboxs_own_page_and_programs_may(attacker: Attacker) -> None:
    """By any of its names, with any value of the header."""
    for host in (f"127.0.0.1:{attacker.port}", f"localhost:{attacker.port}", f"[::1]:{attacker.port}"):
        own = (f"Origin: http://{host}", "Sec-Fetch-Site: same-origin")
        assert await attacker.send("GET /_sandbox/requests", *own, host=host) == 200
        assert await attacker.send(RESET, *own, "X-Sandbox-Admin: 1", host=host) == 200
    assert not attacker.has_changed()


async def test_an_empty_header_is_none(attacker: Attacker) -> None:
    """The value may be anything but nothing."""
    assert await attacker.send(RESET, "X-Sandbox-Admin:") == 403
    assert attacker.has_changed()


TRICKS = [
    "/_sandbox%2freset",
    "/%5fsandbox/reset",
    "//_sandbox/reset",
    "/./_sandbox/reset",
    "/x/../_sandbox/reset",
    "/_sandbox\\reset",
    "/_SANDBOX/reset",
    "/_sandbox",
    "http://127.0.0.1/_sandbox/reset",
    "http://evil.example/_sandbox/reset",
    "_sandbox/reset",
]


@pytest.mark.parametrize("target", TRICKS)
async def test_other_spellings_are_no_way_around(attacker: Attacker, target: str) -> None:
    """What checks a path and what serves it read it as it came; the rest is the API's, which has no such route."""
    for start in (f"GET {target}", f"POST {target}"):
        assert await attacker.send(start, f"Authorization: Bearer {attacker.sandbox.token}") in {400, 403, 404}
        assert await attacker.send(start, "X-Sandbox-Admin: 1", host="evil.example") in {400, 421}
    assert attacker.has_changed()


async def test_paths_below_the_prefix_lead_nowhere_else(attacker: Attacker) -> None:
    """Neither to files nor to other routes."""
    for path in ("../reset", "..%2freset", "%2e%2e/reset", "reset/", "reset%00", "/reset", "reset;x"):
        assert await attacker.send(f"POST /_sandbox/{path}", "X-Sandbox-Admin: 1") == 400
    assert attacker.has_changed()


async def test_other_machines_need_the_token(outside: Attacker) -> None:
    """To read and to change, by any name, with the header alone; a wrong or shortened token is none."""
    token = outside.sandbox.admin_token
    wrong = ([], ["1"], [token[:-1]], [token + "x"], [token.swapcase()], [outside.sandbox.token], ["\xff"])
    for start in ("GET /_sandbox/appointments", "GET /_sandbox/requests", RESET, "POST /_sandbox/tokens"):
        for host in (f"127.0.0.1:{outside.port}", "sandbox:8080", "evil.example"):
            for lines in wrong:
                sent = [f"X-Sandbox-Admin: {line}" for line in lines]
                assert await outside.send(start, *sent, host=host) == 401
        for elsewhere in (f"{start}?token={token}", f"{start}#{token}"):
            assert await outside.send(elsewhere, f"Referer: http://x/?{token}") == 401
    assert outside.has_changed()
    assert await outside.send("GET /_sandbox/requests", f"X-Sandbox-Admin: {token}", host="sandbox") == 200
    assert await outside.send(RESET, f"X-Sandbox-Admin: {token}", host="sandbox") == 200
    assert not outside.has_changed()


async def test_other_machines_can_use_the_api(outside: Attacker) -> None:
    """With a token of the API, as they would use the real one."""
    path = f"/calendars/events/appointments/{outside.sandbox.appointment_ids[0]}"
    own = (f"Authorization: Bearer {outside.sandbox.token}", "Version: 2021-04-15")
    assert await outside.send(f"GET {path}", *own, host="sandbox") == 200
    assert await outside.send(f"GET {path}", f"Authorization: Bearer {outside.sandbox.admin_token}") == 401


async def test_what_is_not_the_apis_says_how_to_treat_it(attacker: Attacker) -> None:
    """Refusals too: not to be kept, framed, sniffed or combined with others. The API's responses are as ever."""
    for start, lines in (("GET /_sandbox/requests", []), (RESET, []), ("GET /_sandbox/x", [])):
        await attacker.send(start, *lines)
        head = attacker.head.lower()
        assert "content-security-policy: default-src 'self';" in head
        for line in ("x-content-type-options: nosniff", "referrer-policy: no-referrer", "cache-control: no-store"):
            assert line in head
        assert "frame-ancestors 'none'" in head
    await attacker.send("GET /calendars/", f"Authorization: Bearer {attacker.sandbox.token}")
    assert "content-security-policy" not in attacker.head.lower()


async def test_the_admin_token_cannot_be_computed() -> None:
    """It is another one each time, is long, and is neither in the repr nor in the log."""
    first, second = Sandbox(seed=1), Sandbox(seed=1)
    assert first.token == second.token
    assert first.admin_token != second.admin_token
    assert len(first.admin_token) >= 40
    assert first.admin_token not in repr(first)


@pytest.mark.parametrize("host", ["localhost", "sandbox.example", "", "127.0.0.1:80", "[::1]", None, 0])
async def test_a_host_is_an_address(host: object) -> None:
    """Anything else is refused before a port is opened."""
    with pytest.raises(ValueError, match="must be an IP address, such as '127"):
        Sandbox(host=host)  # type: ignore[arg-type]


async def test_the_url_leads_to_a_sandbox_that_listens_on_all_addresses() -> None:
    """That of the loopback."""
    async with Sandbox(appointments=1, host=ALL) as sandbox:
        assert sandbox.url.startswith("http://127.0.0.1:")
        assert await Attacker(sandbox).send("GET /calendars/") == 401
