"""How many statements workers send, by what they are for: the log of the database is read."""

import asyncio
import re
import time
from collections import Counter

from msgspec import Struct

from ...servers import PostgresServer
from .crew import carry_out, hire
from .plans import take_in
from .servers import migrate

IDLE_SECONDS = 10.0
_STARTED = 50
"""After so many statements a worker has connected and registered."""
_LOGGED = ("-c", "log_statement=all", "-c", "log_parameter_max_length=0", "-c", "log_line_prefix=")
_ENTRY = re.compile(r"^LOG:  (?:statement|execute [^:]*): ", re.MULTILINE)
_KINDS = {"engine": "procrastinate_", "limits": "leadconnector_states"}


class Sent(Struct):
    """Statements of one worker."""

    per_row: dict[str, float]
    """By what they are for, while it carries out a job."""
    idle: float
    """A second, while there is nothing to do."""


def measure(rows: int, locations: int) -> Sent:
    with PostgresServer(*_LOGGED) as server:
        asyncio.run(migrate(server.url))
        take_in(f"{server.url}#counted", rows, locations)
        begin = _find_end(server)
        carry_out(server, "counted", rows, 1)
        counted = _count(server, begin)
        begin = _find_end(server)
        with hire(server.url, 1):
            while _count(server, begin).total() < _STARTED:
                time.sleep(0.5)
            begin, began = _find_end(server), time.monotonic()
            time.sleep(IDLE_SECONDS)
            idle = _count(server, begin).total() / (time.monotonic() - began)
    return Sent({kind: many / rows for kind, many in counted.items()}, idle)


def _find_end(server: PostgresServer) -> int:
    return (server.folder / "log").stat().st_size


def _count(server: PostgresServer, begin: int) -> Counter[str]:
    with (server.folder / "log").open("rb") as log:
        log.seek(begin)
        entries = _ENTRY.split(log.read().decode(errors="replace"))[1:]
    return Counter(next((kind for kind, name in _KINDS.items() if name in entry), "journal") for entry in entries)
