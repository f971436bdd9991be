"""The tables of procrastinate, in a schema of their own: created and upgraded together with those of jobs.

procrastinate does not record which of its migrations were applied, and applying one twice fails. So their names are
recorded here.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files
from importlib.util import find_spec
from typing import Final, LiteralString

import psycopg

from .._sharing.store import find_version_fault

SCHEMA: Final = "leadconnector_engine"

_CREATE: Final = """
    CREATE SCHEMA IF NOT EXISTS leadconnector_engine;
    CREATE TABLE IF NOT EXISTS leadconnector_engine.applied (name text PRIMARY KEY)
"""
_SET_PATH: Final = "SET LOCAL search_path = leadconnector_engine"
LIST_APPLIED: Final = "SELECT name FROM leadconnector_engine.applied"
_NOTE: Final = "INSERT INTO leadconnector_engine.applied SELECT unnest(%s::text[])"


def has_engine() -> bool:
    """Whether procrastinate is installed."""
    return find_spec("procrastinate") is not None


async def migrate_engine(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
    """Create or upgrade the engine's tables. The caller holds the migration lock, and no transaction is open.

    Migrations that a newer version applied are left alone.
    """
    known = list_migrations()
    await connection.execute(_CREATE)
    applied = {str(name) for (name,) in await (await connection.execute(LIST_APPLIED)).fetchall()}
    if not applied:
        await _apply(connection, _read("schema.sql"), known)
        return
    for name in known:
        if name not in applied:
            await _apply(connection, _read("migrations", name), [name])


def list_migrations() -> list[str]:
    """List the migrations of the installed version of procrastinate, in order."""
    folder = files("procrastinate.sql") / "migrations"
    return sorted(one.name for one in folder.iterdir() if one.name.endswith(".sql"))


def find_engine_fault(shown: str, applied: Collection[str]) -> str | None:
    """Why the engine's tables cannot be used by this version of procrastinate; `None` if they can."""
    known = set(list_migrations())
    if not applied:
        return find_version_fault(shown, None, 1)
    if not known <= set(applied):
        return f"{shown} has the tables of an older version of procrastinate; run: leadconnector shared migrate URL"
    if not known >= set(applied):
        return (
            f"{shown} has the tables of a newer version of procrastinate than the one installed:"
            " install the version that migrated it, or a newer one"
        )
    return None


async def _apply(
    connection: psycopg.AsyncConnection[tuple[object, ...]], statements: LiteralString, names: list[str]
) -> None:
    """Apply statements in one transaction, so that an interrupted migration leaves nothing behind."""
    async with connection.transaction():
        await connection.execute(_SET_PATH)
        await connection.execute(statements)
        await connection.execute(_NOTE, (names,))


def _read(*path: str) -> LiteralString:
    """Read an SQL file of procrastinate."""
    statements = files("procrastinate.sql").joinpath(*path)
    return statements.read_text(encoding="utf-8")  # pyright: ignore[reportReturnType]
