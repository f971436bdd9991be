"""The grants of the page *Share limits between processes*: three Postgres roles, each with what it needs."""

import re
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import errors

from leadconnector_async import Shared
from leadconnector_async._sharing.store import MISSING

from .site import PAGE

ROLES = ("owner", "worker", "reader")


def read_grants(names: dict[str, str]) -> tuple[bytes, bytes]:
    """The statements before and after the migration, with other names for the roles."""
    (block,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for name, other in names.items():
        block = re.sub(rf"\b{name}\b(?=[ ,;])", other, block)
    before, _, after = block.partition("-- then")
    return before.encode(), after.partition("\n")[2].encode()


@pytest.fixture
def roles(postgres_url: str) -> Iterator[dict[str, str]]:
    """The URLs of the three, in an empty database; the tables are made by the owner, as the page says."""
    names = {name: f"{name}_{uuid.uuid4().hex}" for name in ROLES}
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for name in names.values():
            connection.execute(f"CREATE ROLE {name} LOGIN".encode())
        connection.execute(read_grants({**names, "leads": urlsplit(postgres_url).path[1:]})[0])
        yield {name: build_url(postgres_url, role) for name, role in names.items()}
        for name in names.values():
            connection.execute(f"DROP OWNED BY {name}".encode())
            connection.execute(f"DROP ROLE {name}".encode())


def build_url(url: str, role: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}").geturl()


def check_grant(url: str, statement: str, *, allowed: bool) -> None:
    """Whether the role of this URL may run a statement."""
    with psycopg.connect(url, autocommit=True) as connection:
        if allowed:
            connection.execute(statement.encode())
        else:
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement.encode())


async def test_each_role_may_do_its_part_and_no_more(roles: dict[str, str]) -> None:
    """The owner migrates; a worker uses all tables and changes none; a reader sees no token."""
    names = {name: str(urlsplit(url).username) for name, url in roles.items()}
    owner = Shared(roles["owner"])
    await owner.migrate()
    await owner.aclose()
    with psycopg.connect(roles["owner"], autocommit=True) as connection:
        connection.execute(read_grants(names)[1])
    async with Shared(roles["worker"]) as shared:
        assert (await shared.store.read("pit/here")).version == MISSING
        assert await shared.store.swap("pit/here", MISSING, b"state", 60)
    for role, statement, allowed in (
        ("worker", "DELETE FROM leadconnector_tokens", True),
        ("worker", "SELECT * FROM leadconnector_token_locks", True),
        ("worker", "DROP TABLE leadconnector_states", False),
        ("worker", "INSERT INTO leadconnector_schema VALUES (99)", False),
        ("reader", "SELECT * FROM leadconnector_states", True),
        ("reader", "DELETE FROM leadconnector_states", False),
        ("reader", "SELECT * FROM leadconnector_tokens", False),
    ):
        check_grant(roles[role], statement, allowed=allowed)
