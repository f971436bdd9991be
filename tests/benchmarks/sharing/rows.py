"""What each row of the tables is measured with."""

import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from ...servers import PostgresServer, StoreServer, ValkeyServer
from ...simulation.windows import WINDOWS, Algorithm
from .counting import CountingServer, Place
from .crew import Crew
from .stores import prepare

MOST = 100
RESERVE = 5
"""What an idle front desk costs a job."""
HOLD = 2.0
"""Seconds within which a slot that was taken from the store must be used."""
CALLS = 920
"""Ten windows, of 95 as of 100, also if a quarter of the first one is kept for people."""
MODELS: tuple[Algorithm, ...] = tuple(WINDOWS)
STORES = ("sqlite", "postgres", "valkey")


class Bench(Struct):
    """What all rows share: the server that counts, the processes, the stores."""

    server: CountingServer
    crew: Crew
    stores: dict[str, StoreServer]
    folder: Path
    interval: float
    models: tuple[Algorithm, ...]
    names: tuple[str, ...]
    """Of the stores."""

    @property
    def bound(self) -> float:
        """Seconds that no client can beat that does not know the phase of the window."""
        return (math.ceil(CALLS / (MOST - RESERVE)) - 1) * self.interval

    def take_place(self, model: Algorithm) -> Place:
        """A location that counts in this way."""
        return self.server.take_place(model, MOST, self.interval)

    def get_url(self, store: str) -> str:
        """The address of a store."""
        return f"sqlite:///{self.folder / 'shared.db'}" if store == "sqlite" else self.get_server(store).url

    def get_server(self, store: str) -> StoreServer:
        """The server of a store; it is started when it is needed first, and has run long enough to be believed."""
        server = self.stores.get(store)
        if server is None:
            server = self.stores[store] = {"postgres": PostgresServer, "valkey": ValkeyServer}[store]()
            server.start()
            prepare(server.url)
            time.sleep(HOLD + self.interval)  # it grants nothing before: it may have forgotten what it had granted
        return server


@contextmanager
def open_bench(interval: float, models: tuple[Algorithm, ...], names: tuple[str, ...]) -> Iterator[Bench]:
    """Ends every process that it has started."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stores: dict[str, StoreServer] = {}
        stack.callback(_close, stores)
        server = stack.enter_context(CountingServer())
        yield Bench(server, stack.enter_context(Crew()), stores, folder, interval, models, names)


def _close(stores: dict[str, StoreServer]) -> None:
    for server in stores.values():
        server.close()


def print_head(title: str, *columns: str) -> None:
    """The first lines of a table."""
    print(f"\n**{title}**\n\n| {' | '.join(columns)} |\n| {' | '.join('---' for _ in columns)} |", flush=True)


def print_row(*cells: object) -> None:
    """One line of a table."""
    print(f"| {' | '.join(str(cell) for cell in cells)} |", flush=True)
