"""A relay in front of a server: it can stop passing anything on, and it can speak TLS to clients."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from ..servers import redirect

SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
"""What a Postgres client sends first, in plain text."""


class Relay:
    """While it is frozen, it accepts connections and bytes, and passes nothing on."""

    def __init__(self, server: str) -> None:
        self.host, self.port = urlsplit(server).hostname or "", urlsplit(server).port or 0
        self.url = ""
        self.connections = 0
        self.seen = bytearray()
        """What clients have sent in plain text before TLS."""
        self.delay = 0.0
        """Seconds that everything takes in each direction."""
        self.running = asyncio.Event()
        self.running.set()
        self.received = asyncio.Event()
        """A client has sent something since this was last cleared."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        from_server, to_server = await asyncio.open_connection(self.host, self.port)
        try:
            await asyncio.gather(self._pass_on(reader, to_server), self._pass_on(from_server, writer))
        finally:
            to_server.transport.abort()

    async def serve_tls(
        self, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """As Postgres does it: a question in plain text, then TLS."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            first = await reader.readexactly(len(SSL_REQUEST))
            self.seen += first
            if first == SSL_REQUEST:
                writer.write(b"S")
                await writer.start_tls(context)
                await self.serve(reader, writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while part := await reader.read(65536):
                self.received.set()
                await self.running.wait()
                await asyncio.sleep(self.delay)
                writer.write(part)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def relay(server: str, context: ssl.SSLContext | None = None) -> AsyncIterator[Relay]:
    """A relay to the server of a URL. With a context, it speaks TLS as a server of that kind would."""
    made = Relay(server)
    is_postgres = server.startswith("postgres")
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            if context is not None and is_postgres:
                await made.serve_tls(context, reader, writer)
            else:
                await made.serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the server is away, or the test is over
        finally:
            writer.transport.abort()

    started = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=None if is_postgres else context)
    port = started.sockets[0].getsockname()[1]
    made.url = redirect(server, port)
    try:
        yield made
    finally:
        started.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)
        await started.wait_closed()
