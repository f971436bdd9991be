"""Worker processes that a test starts, kills, stops, continues and replaces."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

TICK = 0.02


class Member:
    """One process. What it writes to standard error is kept in a file of its own."""

    def __init__(self, process: asyncio.subprocess.Process, errors: Path) -> None:
        self._process = process
        self._errors = errors
        self._reached = asyncio.Event()
        self._disarmed = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """How it ended; `None` as long as it runs."""
        return self._process.returncode

    def read_errors(self) -> str:
        return self._errors.read_text()

    async def lead_to(self, point: str, times: int, act: str, seconds: float) -> bool:
        """Let it act when it reaches a point for the n-th time; `False` if it does not in time.

        If it is to stop, it has stopped when this returns: one that is continued before would stay stopped.
        """
        self._reached.clear()
        self._arm(f"{point} {times} {act}")
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._settle()
        if not self._reached.is_set() and self.code is None:
            self._disarmed.clear()
            self._arm("nowhere 1 stop")
            await self._settle(self._disarmed.wait())
        if self._reached.is_set() and act == "stop":
            await self._until_stopped()
        return self._reached.is_set()

    async def _until_stopped(self) -> None:
        with suppress(ChildProcessError):  # it has ended instead, and asyncio has taken note of that
            await asyncio.to_thread(os.waitid, os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def _arm(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def _settle(self, *others: Coroutine[object, object, object]) -> None:
        """Until it has reached the point, or has ended, or something else."""
        waiting = [asyncio.create_task(one) for one in (self._reached.wait(), *others)]
        await asyncio.wait([*waiting, self._listening], return_when=asyncio.FIRST_COMPLETED)
        for one in waiting:
            one.cancel()

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # it has just ended by itself
            self._process.send_signal(number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def terminate(self) -> None:
        self.send(signal.SIGTERM)

    async def wait(self) -> int:
        """Until it has ended; returns its exit code."""
        await self._listening
        return await self._process.wait()

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if line.startswith(b"reached"):
                self._reached.set()
            elif line == b"armed nowhere\n":
                self._disarmed.set()


class Crew:
    """All processes that were started."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self.members: list[Member] = []

    async def start(self, *arguments: str) -> Member:
        """`python -m tests.cluster.worker ARGUMENTS`."""
        pipe = asyncio.subprocess.PIPE
        errors = self._folder / f"worker-{len(self.members)}.log"
        with errors.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.cluster.worker", *arguments),
                env=self._environment,
                stdin=pipe,
                stdout=pipe,
                stderr=log,
            )
        self.members.append(Member(process, errors))
        return self.members[-1]

    async def end(self) -> None:
        """Nobody is left behind, whatever happened."""
        for member in self.members:
            member.kill()
        await asyncio.gather(*(member.wait() for member in self.members))


@asynccontextmanager
async def gather(folder: Path, environment: Mapping[str, str]) -> AsyncIterator[Crew]:
    crew = Crew(folder, environment)
    try:
        yield crew
    finally:
        await crew.end()
