"""Connections to a server that pass on so many bytes, and keep all others: as from a process that is frozen."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

LONGEST = 30.0
_BUFFER = 64 * 1024


class Line:
    """A port that leads to the server of a URL; `left` is how many bytes still reach it, `None`: all."""

    def __init__(self, url: str, left: int | None = None) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "", parts.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        name = f"{parts.username}@" if parts.username else ""
        port = self._listener.getsockname()[1]
        self.url = parts._replace(netloc=f"{name}127.0.0.1:{port}").geturl()
        self.passed = 0
        self.left = left
        self.is_frozen = threading.Event()
        self._sockets: list[socket.socket] = [self._listener]
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *given: socket.socket) -> None:
        threading.Thread(target=work, args=given, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                self._start(self._pass_on, client, server)
                self._start(self._pass_back, server, client)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while part := client.recv(_BUFFER):
                if self.left is not None:
                    part = part[: self.left]
                    self.left -= len(part)
                self.passed += len(part)
                server.sendall(part)
                if self.left == 0:
                    self.is_frozen.set()

    def _pass_back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while part := server.recv(_BUFFER):
                client.sendall(part)

    def close(self) -> None:
        """The process is gone."""
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def frozen(url: str, left: int, work: Callable[[str], object]) -> Iterator[None]:
    """Do some work over a line, up to that byte, and hold the process there for the block."""
    line = Line(url, left)

    def try_it() -> None:
        with suppress(Exception):
            work(line.url)

    working = threading.Thread(target=try_it, daemon=True)
    working.start()
    try:
        assert line.is_frozen.wait(LONGEST)
        yield
    finally:
        line.close()
        working.join(LONGEST)


def measure(url: str, work: Callable[[str], object]) -> int:
    """How many bytes some work sends."""
    line = Line(url)
    try:
        work(line.url)
    finally:
        line.close()
    return line.passed
