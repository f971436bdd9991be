"""A Python process that reads lines of JSON and writes some, until its standard input ends."""

import os
import signal
import subprocess
import sys
from typing import cast

import msgspec

ENDS_WITHIN = 20.0


class Child:
    """Runs a module of the benchmark."""

    def __init__(self, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", module, *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self.is_alive = True

    def write(self, content: object) -> None:
        """Send it a line."""
        self._stdin.write(msgspec.json.encode(content) + b"\n")
        self._stdin.flush()

    def read(self) -> object:
        """The next line that it writes. Raises `RuntimeError` if it has ended."""
        line = self._stdout.readline()
        if not line:
            raise RuntimeError("a process of the benchmark ended before its time")
        return cast("object", msgspec.json.decode(line))

    def kill(self) -> None:
        """As `kill -9` does."""
        self.is_alive = False
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Until it is thawed."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End its standard input, and wait until it has ended too."""
        self._stdin.close()
        try:
            self._process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()
        self._stdout.close()
