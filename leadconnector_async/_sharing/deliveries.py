"""Which webhooks were processed: each once, by one of the processes that share a store, and again if that failed.

A delivery is leased while it is processed. When that has succeeded, it is recorded; when it has failed, its lease
is given back, so that the next delivery of the same event is processed. A process that was killed leaves a lease,
which ends by itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct, structs

from ..exceptions import LeadConnectorError
from .keys import GIVEN_BACK_SECONDS, MOST_TRIES, KeyRow, KeyStore

ClaimState: TypeAlias = Literal["begun", "done", "busy"]
"""It is leased now; it was processed; or somebody else has leased it."""

LEASE_SECONDS: Final = 10.0
"""How long a process that was killed keeps its delivery from the others."""
_RENEWALS: Final = 4
"""Of a lease, before it ends."""
_LOGGER: Final = logging.getLogger("leadconnector_async")


class Entry(Struct, frozen=True, array_like=True):
    """What a store knows of an event."""

    holder: str
    until: float
    """By the store's clock: when the lease ends."""
    clock: str
    """Names that clock."""
    is_done: bool = False


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Entry).decode


def name_delivery(app: str, event_id: str) -> str:
    """The row of an event."""
    content = msgspec.json.encode(("webhook", app, event_id))
    return hashlib.sha256(b"delivery\0" + content).hexdigest()[:40]


class DeliveryLedger:
    """The deliveries in one store. What was processed is remembered for `keep_seconds`."""

    def __init__(self, store: KeyStore, keep_seconds: float, lease_seconds: float = LEASE_SECONDS) -> None:
        self._store = store
        self._keep_seconds = keep_seconds
        self._lease_seconds = lease_seconds

    @asynccontextmanager
    async def process(self, name: str) -> AsyncGenerator[ClaimState]:
        """Lease an event for the block, if nobody has processed it, or is about to.

        An error in the block gives it back. Raises `StoreUnavailableError`: then nothing was leased.
        """
        holder = secrets.token_hex(8)
        state = await self._claim(name, holder)
        if state != "begun":
            yield state
            return
        renewing = asyncio.get_running_loop().create_task(self._renew(name, holder))
        try:
            yield state
        except BaseException:
            await _end(renewing)
            await self._give_back(name, holder)
            raise
        await _end(renewing)
        await self._record(name, holder)

    async def _claim(self, name: str, holder: str) -> ClaimState:
        row = await self._store.read(name)
        entry = _read(row)
        if entry is not None and entry.is_done:
            return "done"
        if entry is not None and entry.clock == row.clock and row.keeps_lease(entry.until, self._lease_seconds):
            return "busy"
        leased = Entry(holder, row.now + self._lease_seconds, row.clock)
        taken = await self._store.swap(name, row.version, _encode(leased), self._keep_seconds, sync=False)
        return "begun" if taken else "busy"

    async def _renew(self, name: str, holder: str) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / _RENEWALS)
            try:
                row = await self._store.read(name)
                entry = _read(row)
                if entry is None or entry.holder != holder:
                    return
                renewed = structs.replace(entry, until=row.now + self._lease_seconds)
                await self._store.swap(name, row.version, _encode(renewed), self._keep_seconds, sync=False)
            except LeadConnectorError as error:
                _LOGGER.debug("the lease of a webhook was not renewed: %s", error)

    async def _record(self, name: str, holder: str) -> None:
        """Never raises: the event was processed, and another delivery of it would be processed again at worst."""
        try:
            for _ in range(MOST_TRIES):
                row = await self._store.read(name)
                done = _encode(Entry(holder, row.now, row.clock, is_done=True))
                if await self._store.swap(name, row.version, done, self._keep_seconds):
                    return
            _LOGGER.warning("a webhook was processed, which could not be recorded: others changed its row")
        except LeadConnectorError as error:
            _LOGGER.warning("a webhook was processed, which could not be recorded: %s", error)

    async def _give_back(self, name: str, holder: str) -> None:
        """Without the store, the lease ends by itself."""
        try:
            row = await self._store.read(name)
            entry = _read(row)
            if entry is not None and entry.holder == holder:
                await self._store.swap(name, row.version, b"", GIVEN_BACK_SECONDS, sync=False)
        except LeadConnectorError as error:
            _LOGGER.debug("a webhook was not given back: %s", error)


def _read(row: KeyRow) -> Entry | None:
    """`None` too for what something else has changed: the event is processed again at worst."""
    try:
        return _decode(row.content) if row.content else None
    except (msgspec.MsgspecError, ValueError, TypeError):
        return None


async def _end(task: asyncio.Task[None]) -> None:
    """A renewal that is on its way could come after the last change."""
    task.cancel()
    await asyncio.wait([task])
