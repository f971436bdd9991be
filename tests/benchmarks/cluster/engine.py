"""What the engine costs: tickets that are written, handed out and removed, with nothing done for them."""

import asyncio
import time

from msgspec import Struct

from leadconnector_async._sharing.url import parse_address
from leadconnector_async.integrations.procrastinate import ProcrastinateTickets
from leadconnector_async.jobs.tickets import Ticket

from ...servers import PostgresServer
from ..made import build_location_id
from .servers import migrate, read_database_cpu

LEASE, SLOTS = 6.0, 64


class Drained(Struct):
    """Per ticket, in milliseconds."""

    write: float
    """CPU of the process that writes them."""
    work: float
    """CPU of the worker."""
    database: float
    wall: float


async def drain(server: PostgresServer, locations: int) -> Drained:
    tickets = ProcrastinateTickets(parse_address(server.url), LEASE)
    stopping, left = asyncio.Event(), set(range(locations))

    async def run(ticket: Ticket) -> None:
        left.discard(int(ticket.location[8:]))
        if not left:
            stopping.set()

    database, started = read_database_cpu(server), time.process_time()
    await tickets.defer([Ticket(1, build_location_id(location)) for location in range(locations)])
    written, began = time.process_time(), time.perf_counter()
    await tickets.work(run, SLOTS, stopping)
    ended, wall = time.process_time(), time.perf_counter() - began
    await tickets.aclose()
    seconds = (written - started, ended - written, read_database_cpu(server) - database, wall)
    return Drained(*(1e3 * one / locations for one in seconds))


def measure(locations: int) -> Drained:
    with PostgresServer() as server:
        asyncio.run(migrate(server.url))
        return asyncio.run(drain(server, locations))
