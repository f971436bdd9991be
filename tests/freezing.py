"""Freezes a process at a byte: a proxy lets only so much of what it sends reach the server."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from .servers import redirect

LONGEST = 30.0
"""Seconds after which a test gives up."""
_BUFFER = 64 * 1024


class FreezingProxy:
    """Passes bytes on to the server of a URL; `left` is how many still reach it, `None` for all."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "", parts.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = redirect(url, self._listener.getsockname()[1])
        self.passed = 0
        """Bytes that have reached the server."""
        self.left: int | None = None
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
        """End all connections, as if the process had ended."""
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def frozen(url: str, left: int, work: Callable[[str], object]) -> Iterator[None]:
    """Freeze a process that does `work` for the block, once so many of its bytes have reached the server."""
    proxy = FreezingProxy(url)
    with frozen_at(proxy, left, lambda: work(proxy.url)):
        yield


@contextmanager
def frozen_at(proxy: FreezingProxy, left: int, work: Callable[[], object]) -> Iterator[None]:
    """The same with connections that are open already. They are closed at the end; errors of `work` are ignored."""
    proxy.left = left

    def try_it() -> None:
        with suppress(Exception):
            work()

    working = threading.Thread(target=try_it, daemon=True)
    working.start()
    try:
        assert proxy.is_frozen.wait(LONGEST)
        yield
    finally:
        proxy.close()
        working.join(LONGEST)


def measure(url: str, work: Callable[[str], object]) -> int:
    """How many bytes `work` sends to the server."""
    proxy = FreezingProxy(url)
    try:
        work(proxy.url)
    finally:
        proxy.close()
    return proxy.passed
