"""The grants of the page *Run a job on several machines*: three Postgres roles, each with what it needs."""

import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import psycopg
import pytest

from leadconnector_async import Shared
from leadconnector_async.jobs import BulkJob, purge_jobs
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient
from ..sharing import test_grants as of_limits
from .test_page import PAGE

ROLES = ("owner", "worker", "reader")


def read_grants(names: dict[str, str]) -> list[str]:
    """The statements after the migration, with other names for the roles."""
    (block,) = [one for one in re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL) if "GRANT" in one]
    for name, other in names.items():
        block = re.sub(rf"\b{name}\b(?=[ ,;])", other, block)
    return [*block.partition("-- then")[2].partition("\n")[2].strip().split(";\n")]


@pytest.fixture
def roles(postgres_url: str) -> Iterator[dict[str, str]]:
    """The URLs of the three, in an empty database."""
    names = {name: f"{name}_{uuid.uuid4().hex}" for name in ROLES}
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for name in names.values():
            connection.execute(f"CREATE ROLE {name} LOGIN".encode())
        connection.execute(of_limits.read_grants({**names, "leads": urlsplit(postgres_url).path[1:]})[0])
        yield {name: of_limits.build_url(postgres_url, role) for name, role in names.items()}
        for name in names.values():
            connection.execute(f"DROP OWNED BY {name}".encode())
            connection.execute(f"DROP ROLE {name}".encode())


async def test_each_role_may_do_its_part_of_a_job_and_no_more(
    roles: dict[str, str], sandbox: Sandbox, make_client: MakeClient
) -> None:
    """The owner migrates and purges; a worker runs a job and alters no table; a reader sees progress, no rows."""
    names = {name: str(urlsplit(url).username) for name, url in roles.items()}
    owner = Shared(roles["owner"])
    await owner.migrate()
    await owner.aclose()
    with psycopg.connect(roles["owner"], autocommit=True) as connection:
        connection.execute(of_limits.read_grants(names)[1])
        for statement in read_grants(names):
            connection.execute(statement.encode())
    rows = [{"event_id": event_id, "title": "Moved"} for event_id in sandbox.appointment_ids[:5]]
    async with Shared(roles["worker"]) as shared:
        client = make_client(shared=shared)
        async with await BulkJob.create(f"{roles['worker']}#march", client, rows) as job:
            assert (await job.run()).counts == {"applied": 5}
        await client.aclose()
    for role, statement, allowed in (
        ("worker", "DROP TABLE leadconnector_jobs.rows", False),
        ("worker", "ALTER TABLE leadconnector_jobs.jobs ADD COLUMN x text", False),
        ("reader", "SELECT * FROM leadconnector_jobs.progress", True),
        ("reader", "SELECT id, host, pid, state, seen_at FROM leadconnector_jobs.workers", True),
        ("reader", "SELECT * FROM leadconnector_jobs.rows", False),
        ("reader", "SELECT * FROM leadconnector_jobs.facts", False),
        ("reader", "SELECT * FROM leadconnector_jobs.verdicts", False),
        ("reader", "UPDATE leadconnector_jobs.jobs SET wanted = 'cancel'", False),
    ):
        of_limits.check_grant(roles[role], statement, allowed=allowed)
    assert [name.rpartition("#")[2] for name in purge_jobs(roles["owner"], timedelta(0))] == ["march"]
