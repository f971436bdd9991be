"""The application of the page *Share limits between processes*, under uvicorn with several workers."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from ..servers import take_port

PAGE = Path(__file__).parents[2] / "docs/pages/how-to/share-limits-between-processes.md"
SERVED = """
import os
from frontdesk import app

@app.middleware("http")
async def sign(request, call_next):
    response = await call_next(request)
    response.headers["x-worker"] = str(os.getpid())
    return response
"""
"""The page's application, whose responses say which worker they are of."""


def read_page() -> str:
    """The application."""
    (block,) = re.findall(r"```python\n(from contextlib.*?)```", PAGE.read_text(), re.DOTALL)
    return str(block)


class Site:
    """In a process group of its own."""

    def __init__(self, folder: Path, environment: Mapping[str, str], workers: int) -> None:
        self._folder, self._environment, self._workers = folder, environment, workers
        self._port = take_port()
        self.workers: set[str] = set()
        """The processes that have answered."""
        (folder / "frontdesk.py").write_text(read_page())
        (folder / "served.py").write_text(SERVED)

    async def __aenter__(self) -> "Site":
        options = ["--workers", str(self._workers), "--port", str(self._port), "--log-level", "warning"]
        self._server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "uvicorn", "served:app", *options),
            cwd=self._folder,
            env=dict(self._environment),
            start_new_session=True,
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(20):
                await self._server.wait()
        except TimeoutError:
            os.killpg(self._server.pid, signal.SIGKILL)
            await self._server.wait()

    async def read(self, event_id: str) -> int:
        """Read one appointment on a new connection, so that any worker may answer; returns the status code."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._port}", trust_env=False) as browser:
            response = await browser.get(f"/appointments/{event_id}", timeout=60)
        self.workers.add(response.headers.get("x-worker", ""))
        return response.status_code

    async def wait(self, event_id: str) -> None:
        """Until every worker has answered."""
        async with asyncio.timeout(60):
            while len(self.workers) < self._workers:
                try:
                    await self.read(event_id)
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
