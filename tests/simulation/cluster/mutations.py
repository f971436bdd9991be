"""Mistakes that the laws must notice, each in what guarantees them."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Final
from unittest import mock

from msgspec import structs

from leadconnector_async._call import fence
from leadconnector_async.jobs import registration
from leadconnector_async.jobs.journal import database, leases
from leadconnector_async.jobs.journal.groups import Hold
from leadconnector_async.jobs.journal.leases import Beat
from leadconnector_async.jobs.run import lease
from leadconnector_async.jobs.run.lease import Beaten, Lease, LeaseAction, LeaseEvent

Mutation = Callable[[], AbstractContextManager[object]]
_next_step, _observe = lease.next_step, lease.observe


def _check_nothing(hold: Hold, counts: Iterable[int], journal: object) -> None:
    pass


def _count_from_response(one: Lease, event: LeaseEvent) -> LeaseAction:
    return _next_step(one, structs.replace(event, sent_at=event.now) if isinstance(event, Beaten) else event)


def _bury_early(one: Lease, rows: Iterable[Beat], now: float) -> list[Beat]:
    return _observe(one, [Beat(row.worker, row.beats, row.lease / 2) for row in rows], now)


MUTATIONS: Final[dict[str, tuple[Mutation, int]]] = {
    "commits are not fenced": (lambda: mock.patch.object(database, "_check_hold", _check_nothing), 35),
    "writes are not fenced": (lambda: mock.patch.object(fence, "_check", return_value=None), 262),
    "burial after half a lease": (lambda: mock.patch.object(registration, "observe", _bury_early), 0),
    "taken from the living": (
        lambda: mock.patch.object(leases, "_TAKE", leases._TAKE.replace("AND worker IS NULL", "")),
        0,
    ),
    "lease from the response": (lambda: mock.patch.object(registration, "next_step", _count_from_response), 50),
}
"""Each with a number a little below that of a schedule that notices it."""
