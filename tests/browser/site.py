"""The pages as they are built, in Chromium: `pytest tests/browser/site.py`, with the extra `browser`."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.async_api import expect

from .chromium import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROOT = Path(__file__).parent.parent.parent
SEARCHES = {
    "Redis": "how-to/use-redis/",
    "uvicorn": "how-to/run-several-workers/",
    "pytest": "how-to/test-your-program/",
    "429": "how-to/troubleshoot-an-error/",
    "Invalid JWT": "how-to/troubleshoot-an-error/",
    "proxy": "how-to/use-a-proxy-or-your-own-certificates/",
    "timezone": "explanation/time-zones/",
    "undo": "how-to/undo-a-job/",
    "webhook": "how-to/receive-webhooks/",
    "token store": "how-to/share-tokens-between-processes/",
}
"""What people look for, and the page that must come first."""
PAGES = ("", "tutorial/first-update/", "reference/client/", "reference/models/", "how-to/handle-errors/")
FIND_CUT = """() => [...document.querySelectorAll("article pre > code, article table")].filter(one => {
  const frame = one.closest(".md-typeset__scrollwrap") || one;
  return frame.scrollWidth > frame.clientWidth + 1;
}).map(one => one.innerText.slice(0, 80))"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Built anew, from the pages as they are."""
    command = [Path(sys.executable).parent / "zensical", "build", "--clean", "--strict"]
    file = ROOT / "docs" / "zensical.toml"
    built = subprocess.run([*command, "-f", file], check=False, capture_output=True, text=True)  # noqa: S603
    assert built.returncode == 0, built.stdout + built.stderr
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(ROOT / "docs" / "site")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("words", "path"), SEARCHES.items(), ids=list(SEARCHES))
async def test_a_search_finds_the_right_page_first(site: str, open_page: OpenPage, words: str, path: str) -> None:
    """As a reader searches: with the button, on the home page."""
    page = await open_page(site)
    await page.get_by_role("button", name="Search").click()
    await page.keyboard.type(words)
    first = page.locator("dialog a[href]").first
    await expect(first).to_have_attribute("href", re.compile(re.escape(site + path)))


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path or "home")
async def test_nothing_is_cut_off(site: str, open_page: OpenPage, path: str, width: int) -> None:
    """Neither code nor tables, nor the page as a whole, on a telephone and on a desktop."""
    page = await open_page(site + path, width=width)
    assert await page.evaluate(FIND_CUT) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_every_fence_became_code(site: str) -> None:
    """On any page: also that of a program that no test runs."""
    pages = {str(path): path.read_text() for path in (ROOT / "docs" / "site").rglob("*.html")}
    assert len(pages) > 50
    assert [path for path, text in pages.items() if "```" in text] == []


async def test_code_is_copied_by_a_button(site: str, open_page: OpenPage) -> None:
    """All of the program, and nothing else."""
    page = await open_page(f"{site}tutorial/first-update/")
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.get_by_role("button", name="Copy to clipboard").nth(1).click()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("import asyncio\n")
    assert copied.rstrip().endswith("asyncio.run(main())")


async def test_a_page_leads_to_its_neighbours(site: str, open_page: OpenPage) -> None:
    """Back, and on."""
    page = await open_page(f"{site}tutorial/first-update/")
    await page.get_by_role("link", name=re.compile("^Next:")).click()
    await expect(page.locator("h1")).to_contain_text("Move an appointment")
    await page.get_by_role("link", name=re.compile("^Previous:")).click()
    await expect(page.locator("h1")).to_contain_text("Your first update")


async def test_the_theme_can_be_switched(site: str, open_page: OpenPage) -> None:
    """From that of the system to light, and to dark."""
    page = await open_page(site)
    background = "getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(background)
    await page.locator("label[title='Switch to light mode']").click()
    await page.locator("label[title='Switch to dark mode']").click()
    await expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "slate")
    assert await page.evaluate(background) != light


async def test_a_signature_shows_types_and_leads_to_them(site: str, open_page: OpenPage) -> None:
    """Of a method, with defaults; of the constructor of a Struct; and of one of its fields."""
    page = await open_page(f"{site}reference/client/")
    method = page.locator(".doc-function", has=page.locator("[id='leadconnector_async.LeadConnector.book']"))
    signature = method.locator(".doc-signature").first
    await expect(signature).to_contain_text("when: SlotOffer | SlotOwner | datetime")
    await expect(signature).to_contain_text("within: timedelta = timedelta(days=7)")
    await expect(signature.get_by_role("link", name="SlotOffer")).to_be_visible()
    await page.goto(f"{site}reference/models/")
    struct = page.locator(".doc-class", has=page.locator("[id='leadconnector_async.models.AppointmentUpdate']"))
    await expect(struct.locator(".doc-signature").first).to_contain_text("title: str | None | UnsetType = UNSET")
    await expect(struct).to_contain_text("Shown in calendars and notifications.")
