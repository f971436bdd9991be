"""One Chromium for the tests of a file, and pages in it. Without the extra `browser`, only these tests fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest_asyncio

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from .chromium import OpenPage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    from .chromium import launch  # only this needs playwright

    async with launch() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    from .chromium import watch_pages

    async with watch_pages(browser) as opener:
        yield opener
