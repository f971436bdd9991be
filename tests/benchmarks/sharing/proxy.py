"""A way to the store that can be cut for one process alone."""

import asyncio
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class Proxy:
    """Passes TCP on to a port of 127.0.0.1, in a thread of its own."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._open: asyncio.Event
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Pass nothing on; nobody is told, as when a cable is pulled."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def mend(self) -> None:
        """Pass everything on again, what was held back too."""
        self._loop.call_soon_threadsafe(self._open.set)

    def _run(self, what: object) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result()  # type: ignore[arg-type]

    async def _listen(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._open.set()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        try:
            back, there = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, there}
        with suppress(asyncio.CancelledError):  # asyncio would report a handler that is cancelled
            await asyncio.gather(self._pass_on(reader, there), self._pass_on(back, writer))
        self._writers -= {writer, there}

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while content := await reader.read(65536):
                await self._open.wait()
                writer.write(content)
        except OSError:
            pass
        finally:
            writer.close()
