"""What a real browser lets foreign pages do to the sandbox, and how its own page is opened by other machines."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, expect

from leadconnector_async.sandbox import Sandbox

from .chromium import REBOUND

pytestmark = pytest.mark.asyncio(loop_scope="module")
ALL = "0.0.0.0"  # noqa: S104 - what a container listens on
FOREIGN_PAGE = """<!doctype html><title>evil</title>
<form id="form" method="post" action="{url}/_sandbox/reset" enctype="text/plain" target="frame">
<input name='{{"a":"' value='"}}'></form>
<iframe name="frame"></iframe><iframe id="framed" src="{url}/"></iframe>
<script>
const readText = async (one) => (await one.text()) || Promise.reject();
const tries = [
  () => fetch("{url}/_sandbox/reset", {{method: "POST", mode: "no-cors", body: "{{}}"}}),
  () => fetch("{url}/_sandbox/reset", {{method: "POST", headers: {{"X-Sandbox-Admin": "1"}}}}),
  () => fetch("{url}/_sandbox/reset", {{method: "DELETE"}}),
  () => fetch("{url}/_sandbox/requests").then(one => one.text()),
  () => fetch("{url}/_sandbox/requests", {{mode: "no-cors"}}).then(readText),
  () => fetch("{url}/", {{mode: "no-cors"}}).then(readText),
  () => new Promise((done, fail) => {{ const one = new EventSource("{url}/_sandbox/live");
    one.onmessage = done; one.onerror = fail; }}),
  () => new Promise((done, fail) => {{ const one = document.createElement("script");
    one.src = "{url}/_sandbox/requests"; one.onload = done; one.onerror = fail; document.head.append(one); }}),
  () => framed.contentDocument.body.textContent || Promise.reject(),
];
navigator.sendBeacon("{url}/_sandbox/reset", new Blob(["{{}}"], {{type: "application/json"}}));
form.submit();
Promise.allSettled(tries.map(async one => one())).then(all => {{
  document.title = all.map((one, place) => one.status === "fulfilled" ? place : "").join("") || "nothing";
}});
</script>"""


@asynccontextmanager
async def serve_foreign_page(url: str) -> AsyncIterator[str]:
    """A page of another port, which is another origin."""
    content = FOREIGN_PAGE.format(url=url).encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.encode() + content)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("host", ["127.0.0.1", ALL])
async def test_a_foreign_page_reads_and_changes_nothing(browser: Browser, host: str) -> None:
    """Forms, simple requests, beacons, scripts, frames and streams; even while somebody is signed in."""
    async with Sandbox(appointments=2, host=host) as sandbox, serve_foreign_page(sandbox.url) as foreign:
        sandbox.edit_appointment(sandbox.appointment_ids[0], title="reset me")
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(f"{sandbox.url}/#{sandbox.admin_token}")
        await expect(page.locator("#connection")).to_have_text("Live")
        await page.goto(f"http://{foreign}/")
        await expect(page).to_have_title("nothing")
        await page.goto(f"{sandbox.url}/")
        await expect(page.locator("#connection")).to_have_text("Live")
        assert sandbox.appointment(sandbox.appointment_ids[0]).title == "reset me"
        assert not any(one.applied for one in sandbox.requests)
        await context.close()


async def test_a_rebound_name_is_refused(browser: Browser) -> None:
    """A page that a foreign name has led here gets an error, and nothing of the sandbox."""
    async with Sandbox(appointments=2) as sandbox:
        context = await browser.new_context()
        page = await context.new_page()
        response = await page.goto(f"http://{REBOUND}:{sandbox.url.rpartition(':')[2]}/")
        assert response is not None
        assert response.status == 421
        script = "path => fetch(path, {method: 'POST', headers: {'X-Sandbox-Admin': '1'}}).then(one => one.status)"
        assert await page.evaluate(script, "/_sandbox/reset") == 421
        await context.close()


async def test_other_machines_sign_in_with_the_token(browser: Browser) -> None:
    """A wrong one says so; the right one opens the page, by a cookie that no script sees. No URL has the token."""
    async with Sandbox(appointments=2, host=ALL) as sandbox:
        context = await browser.new_context()
        page = await context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url + str(request.headers.get("referer"))))
        response = await page.goto(sandbox.url)
        assert response is not None
        assert response.status == 401
        await page.get_by_label("Admin token").fill("wrong")
        await page.get_by_role("button", name="Open the page").click()
        await expect(page.get_by_role("alert")).to_contain_text("not the admin token")
        await page.get_by_label("Admin token").fill(sandbox.admin_token)
        await page.keyboard.press("Enter")
        await expect(page.locator(".event").first).to_be_visible()
        await page.get_by_role("button", name=re.compile("Lose the response")).click()
        await expect(page.locator("#planned li")).to_have_count(1)
        (cookie,) = await context.cookies()
        assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Strict")
        assert cookie.get("value") != sandbox.admin_token
        assert await page.evaluate("document.cookie") == ""
        assert not [url for url in [*asked, page.url] if sandbox.admin_token in url]
        await context.close()


async def test_the_token_may_come_behind_the_address(browser: Browser) -> None:
    """Behind `#`, where only the page itself sees it; it is gone from the address at once."""
    async with Sandbox(appointments=2, host=ALL) as sandbox:
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(f"{sandbox.url}/#{sandbox.admin_token}")
        await expect(page.locator(".event").first).to_be_visible()
        assert page.url == f"{sandbox.url}/"
        await context.close()
